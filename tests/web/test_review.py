"""The Review tab in a real browser, by keys alone: keep, change, reject, discuss, undo; what the store then holds."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from app import review_file
from store import annotators, database, labels
from store.records import NewEvent
from tests.web.conftest import Page

IMAGE = ".rv .rm-frame img"
SHOWN = f"document.querySelector('{IMAGE}')?.getAttribute('src') ?? ''"


def _said(server: Page) -> None:
    """Two people label eight images, and differ on the first four; one is rejected, one flagged."""
    db = database.open(server.settings.database)
    with db.write() as tx:
        people = [annotators.ensure(tx, name, 1.0).id for name in ("ada", "ben")]
        for image in range(1, 9):
            for person, class_id in zip(people, (1, 2) if image < 5 else (3, 3), strict=True):
                _append(tx, image, person, "label", class_id)
        _append(tx, 9, people[0], "reject", None)
        _append(tx, 10, people[1], "flag", None)
        watermark = labels.watermark(tx)
    db.close()
    rows = [_row(image, "disagreement") for image in range(1, 5)] + [_row(5, "suspected"), _row(6, "suspected")]
    rows += [_row(9, "reject"), _row(10, "flag")]
    person = {"answers": 8, "accuracy": 0.9, "low": 0.7, "high": 0.98}
    told = [{"annotator_id": people[0], **person}, {"annotator_id": people[1], **person}]
    lists = review_file.Lists(watermark=watermark, publication=1, rows=rows, people=told, method="dawid_skene")
    review_file.write(server.workspace, lists)


def _append(tx: Any, image: int, person: int, kind: str, class_id: int | None) -> None:
    region = '{"x": 0.25, "y": 0.5, "w": 0.25, "h": 0.25}' if image == 5 else None
    new = NewEvent(
        uuid=str(uuid.uuid4()), image_id=image, annotator_id=person, kind=kind, class_id=class_id, region=region
    )
    labels.append(tx, new, 2.0)


def _row(image: int, kind: str) -> review_file.Row:
    return review_file.Row(
        image_id=image,
        kind=kind,
        score=1.0 / image,
        why="two people differ",
        opinion=[(4, 0.8), (2, 0.2)],
        neighbours=[(4, [11, 12, 13]), (2, [14, 15])],
    )


def _decided(server: Page) -> list[tuple[str, int, int | None, int | None]]:
    return [(each.kind, each.image_id, each.class_id, each.target_seq) for each in server.events()[18:]]


@pytest.fixture
def review(page_server: Page, opened: Callable[..., Any]) -> Any:
    """The Review tab with the first disagreement on it, opened by keys alone."""
    _said(page_server)
    tab = opened(page_server, frame=True)
    tab.focus("button[role=tab]:has-text('Label')")
    tab.keyboard.press("ArrowRight")
    tab.focus("button[role=tab]:has-text('Review')")
    tab.keyboard.press("Enter")
    tab.wait_for_selector(IMAGE)
    tab.focus(".rv .rm-panel summary")
    tab.evaluate("document.activeElement.blur()")
    return tab


def _saved(tab: Any) -> None:
    tab.wait_for_selector('.rv .rm-saved[data-state="saved"]')


def test_a_review_goes_by_keys_and_every_decision_is_an_event(review: Any, page_server: Page) -> None:
    tab = review
    assert tab.evaluate(SHOWN) == "/image/5"
    assert tab.locator(".rv-said li").all_inner_texts() == ["ada\nCedar", "ben\nCedar"]
    outline = tab.locator(".rv .rm-region rect")
    assert [outline.get_attribute(name) for name in ("x", "y", "width")] == ["0.25", "0.5", "0.25"]
    assert "marked as evidence" in tab.inner_text('.rv [data-part="map"]')
    tab.keyboard.press("c")
    tab.wait_for_function("raum.label.review.stage.beside !== null")
    assert tab.locator(IMAGE).count() == 2, "a labelled image stands beside it"
    tab.keyboard.press("Escape")
    assert tab.locator(IMAGE).count() == 1
    assert "Elm" in tab.inner_text(".rv .rm-compare")
    tab.keyboard.press("l")
    tab.wait_for_function(f"({SHOWN}) === '/image/1'")
    assert tab.locator(".rv-said li").all_inner_texts() == ["ada\nAsh", "ben\nBirch"]
    tab.keyboard.press("Enter")  # keeps what counts now: the latest answer
    tab.wait_for_function(f"({SHOWN}) === '/image/2'")
    tab.keyboard.press("4")
    tab.wait_for_function(f"({SHOWN}) === '/image/3'")
    tab.keyboard.press("s")
    tab.wait_for_function(f"({SHOWN}) === '/image/4'")
    tab.keyboard.press("x")
    tab.wait_for_function(f"({SHOWN}) === '/image/3'")
    tab.keyboard.press("z")
    tab.wait_for_function(f"({SHOWN}) === '/image/4'")
    tab.keyboard.press("f")
    tab.wait_for_function(f"({SHOWN}) === '/image/3'")
    tab.keyboard.press("/")
    tab.keyboard.type("ced")
    tab.keyboard.press("Enter")
    tab.wait_for_selector(".rv .rm-state p")
    assert "No disagreements" in tab.inner_text(".rv .rm-state")
    _saved(tab)
    assert _decided(page_server) == [
        ("review", 1, 2, None),
        ("review", 2, 4, None),
        ("review", 4, None, None),
        ("retract", 4, None, 21),
        ("flag", 4, None, None),
        ("review", 3, 3, None),
    ]
    first = page_server.events()[18]
    assert (first.input_mode, first.queue_reason, first.suggestion_visible) == ("key", "disagreement", True)


def test_counts_empty_lists_and_people_are_told(review: Any) -> None:
    tab = review
    tab.wait_for_selector("button[role=tab][data-count='7']")
    under = "getComputedStyle(document.querySelector('[role=tab][data-count]'), '::after')"
    assert tab.evaluate(f"[{under}.content, {under}.height]") == ['""', "2px"], (
        "the chosen tab's line, not a squeezed count"
    )
    numbers = tab.locator(".rv-number").all_inner_texts()
    assert numbers == ["2", "4", "1", "1"]
    tab.keyboard.press("l")
    tab.keyboard.press("l")
    tab.wait_for_function(f"({SHOWN}) === '/image/10'")
    said = "[...document.querySelectorAll('.rv-said li')].map((each) => each.innerText).join('|')"
    tab.wait_for_function(f"{said} === 'ben\\nflag'")
    tab.keyboard.press("Enter")
    assert "nobody has given a class yet" in tab.inner_text(".rv .rm-said")
    tab.focus(".rv summary")
    tab.keyboard.press("Enter")
    assert "ada" in tab.inner_text(".rv-people table")
    assert "70 % – 98 %" in tab.inner_text(".rv-people table")


@pytest.mark.parametrize("width", [360, 1280])
def test_the_review_fits_narrow_and_wide_windows(page_server: Page, opened: Callable[..., Any], width: int) -> None:
    _said(page_server)
    tab = opened(page_server, width=width, height=740, frame=True)
    tab.click("button[role=tab]:has-text('Review')")
    tab.wait_for_selector(IMAGE)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    boxes = [
        tab.locator(where).first.bounding_box()
        for where in (IMAGE, ".rv .rm-choice:visible", '.rv [data-action="keep"]')
    ]
    assert all(box and box["x"] >= 0 and box["x"] + box["width"] <= width and box["y"] < 740 for box in boxes)
