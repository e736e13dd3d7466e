"""The evidence grid in a real browser: boxes over a class's images, wrong ones taken out, one key for the rest, undo."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from app import evidence_file, regions
from store import annotators, database, labels
from store.records import NewEvent
from tests.web.browser import saved
from tests.web.conftest import Page

CELLS = "[...document.querySelectorAll('[data-grid=\"evidence\"] .rg-cells:not(.rg-ahead) .rg-cell')]"
IDS = CELLS + ".map((cell) => Number(cell.querySelector('img').src.match(/\\d+$/)[0]))"
STATES = CELLS + ".map((cell) => cell.dataset.state)"
PAGE = "() => window.raum.modes.evidence.page !== null"
GRID = '[data-grid="evidence"]'
LABELLED = 20


@pytest.fixture
def server(make_page: Callable[..., Page]) -> Page:
    """Twenty images of Birch by whoever sits here, the first of them marked; boxes proposed for the others."""
    made = make_page()
    db = database.open(made.settings.database)
    with db.write() as tx:
        me = annotators.ensure(tx, "Ann", 1.0).id
        for image_id in range(1, LABELLED + 1):
            region = json.dumps({"x": 0.1, "y": 0.1, "w": 0.2, "h": 0.2}) if image_id == 1 else None
            about = {"image_id": image_id, "annotator_id": me, "kind": "label", "class_id": 2}
            labels.append(tx, NewEvent(uuid=str(uuid.uuid4()), region=region, **about), 2.0)
    db.close()
    rows = [
        evidence_file.Row(image_id=i, box=(0.5, 0.25, 0.25, 0.5), score=1 - i / 100) for i in range(2, LABELLED + 1)
    ]
    of_class = evidence_file.Class(class_id=2, marked=1, rows=rows)
    evidence_file.write(made.workspace, evidence_file.Proposals(watermark=LABELLED, classes=[of_class]))
    return made


def confirmed(server: Page) -> list[Any]:
    return [event for event in server.events() if event.overlay_kind == "proposed"]


def named(opened: Callable[..., Any], server: Page, **options: Any) -> Any:
    tab = opened(server, **options)
    tab.evaluate("window.raum.label.rename('Ann')")
    tab.wait_for_selector('button[data-mode-action="evidence"]:not([hidden])')
    return tab


def test_a_page_of_boxes_is_confirmed_by_one_key_and_taken_back_by_one(
    server: Page, opened: Callable[..., Any]
) -> None:
    tab = named(opened, server, height=520)
    tab.keyboard.press("m")
    tab.wait_for_function(PAGE)
    ids = tab.evaluate(IDS)
    assert ids == list(range(2, LABELLED + 1))
    assert tab.inner_text(f"{GRID} .rg-title") == "Birch: take out where the box is wrong"
    assert "found by 1 marked image" in tab.inner_text(f"{GRID} .rg-told")
    places = tab.evaluate(
        "[...document.querySelectorAll('[data-grid=\"evidence\"] .rg-cell')].slice(0, 1).map((cell) => {"
        "const [a, b] = ['img', 'rect'].map((name) => cell.querySelector(name).getBoundingClientRect());"
        "const { naturalWidth: w, naturalHeight: h } = cell.querySelector('img');"
        "const k = Math.min(a.width / w, a.height / h), x = a.x + (a.width - k * w) / 2, y = a.y + (a.height - k * h) / 2;"
        "return [(b.x - x) / (k * w), (b.y - y) / (k * h), b.width / (k * w), b.height / (k * h)]; })[0]"
    )
    assert places == pytest.approx([0.5, 0.25, 0.25, 0.5], abs=0.02), "the box lies where the picture lies in its cell"
    tab.keyboard.press("Space")
    tab.click(f"{GRID} .rg-cells:not(.rg-ahead) .rg-cell >> nth=2")
    tab.keyboard.press("s")
    assert tab.evaluate(STATES) == ["out", "kept", "out", *["kept"] * (len(ids) - 3)]
    tab.keyboard.press("Enter")
    saved(tab)
    new = confirmed(server)
    assert [event.image_id for event in new] == [ids[1], *ids[3:]]
    assert {(event.kind, event.class_id) for event in new} == {("label", 2)}
    assert regions.read(new[0].region) == {"x": 0.5, "y": 0.25, "w": 0.25, "h": 0.5}
    tab.wait_for_function("() => !window.raum.modes.evidence.loading")
    assert tab.evaluate(IDS) == [], "what was taken out does not come back"
    assert tab.inner_text(f"{GRID} .rg-nothing").startswith("No boxes to confirm just now")
    tab.keyboard.press("z")
    saved(tab)
    assert tab.evaluate(IDS) == ids
    assert tab.evaluate(STATES)[:3] == ["out", "kept", "out"]
    assert sum(event.kind == "retract" for event in server.events()) == len(new)
    tab.keyboard.press("Escape")
    assert tab.evaluate("window.raum.modes.mode") == "single"


def test_by_touch_and_where_nothing_is_proposed(server: Page, opened: Callable[..., Any]) -> None:
    tab = named(opened, server, width=360, height=740, has_touch=True)
    tab.tap('button[data-mode-action="evidence"]')
    tab.wait_for_function(PAGE)
    ids = tab.evaluate(IDS)
    tab.tap(f"{GRID} .rg-cells:not(.rg-ahead) .rg-cell >> nth=0")
    tab.tap('.rg-keys button[data-mode-action="confirm"]')
    saved(tab)
    assert [event.image_id for event in confirmed(server)] == ids[1:]
    tab.evaluate("window.raum.modes.showEvidence(1)")
    tab.wait_for_function(
        "() => document.querySelector('[data-grid=\"evidence\"] .rg-nothing').innerText.includes('Mark the')"
    )
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
