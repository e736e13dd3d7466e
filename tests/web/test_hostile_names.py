"""Class names, notes, people's names and file names that are HTML, quotes or right-to-left text: shown as text in every tab."""

import uuid
from collections.abc import Callable
from typing import Any

from app import review_file
from store import annotators, database, images, labels
from store.records import NewEvent, NewImage
from tests.web.browser import press
from tests.web.conftest import Page

HTML = "<img src=x onerror=window.hacked=1>"
NAMES = (HTML, "\"quoted' &amp; `ticked`", "ינשוף \u200fעץ", "=1+1")
PEOPLE = (f"ann {HTML}", 'O\'Neil "the" <b>bold</b>')
NOTE = f"{HTML}\n</span><script>window.hacked=2</script>\u202egpj"
FILES = (f"{HTML}.jpg", "two\nlines.jpg", "photo\u202egpj.exe.jpg", "\"'`.jpg")


def fill(server: Page) -> None:
    """Two people with hostile names disagree, flag with a hostile note, and four files with hostile names are set aside."""
    db = database.open(server.settings.database)
    with db.write() as tx:
        people = [annotators.ensure(tx, name, 1.0).id for name in PEOPLE]
        for person, class_id in zip(people, (1, 2), strict=True):
            _append(tx, person, kind="label", class_id=class_id, image_id=1)
        _append(tx, people[0], kind="flag", note=NOTE, image_id=2)
        watermark = labels.watermark(tx)
        bad = [NewImage(path=f"/pictures/{name}", status="quarantined", problem=f"{name}: broken") for name in FILES]
        images.add_many(tx, bad)
    db.close()
    rows = [
        review_file.Row(
            image_id=image, kind=kind, score=1.0, why=f"why {HTML}", opinion=[(1, 0.8)], neighbours=[(1, [3])]
        )
        for image, kind in ((1, "disagreement"), (2, "flag"))
    ]
    told = [{"annotator_id": person, "answers": 8, "accuracy": 0.9, "low": 0.7, "high": 0.98} for person in people]
    review_file.write(
        server.workspace,
        review_file.Lists(watermark=watermark, publication=1, rows=rows, people=told, method="dawid_skene"),
    )


def _append(tx: Any, person: int, **values: Any) -> None:
    labels.append(tx, NewEvent(uuid=str(uuid.uuid4()), annotator_id=person, **values), 2.0)


def nothing_ran(tab: Any) -> None:
    assert tab.evaluate("window.hacked") is None
    assert tab.locator("img[src='x'], .raum script, .raum b, .rp script, .rp-name *, .rp td *").count() == 0


def test_every_tab_shows_hostile_text_as_text(make_page: Callable[..., Page], opened: Callable[..., Any]) -> None:
    server = make_page(NAMES)
    fill(server)
    tab = opened(server, frame=True)
    texts = "(all) => all.map((each) => each.textContent)"
    assert tab.locator(".rm-choice:visible .rm-name-of").evaluate_all(texts) == list(NAMES)
    tab.fill("[data-part=name]", PEOPLE[0])
    tab.keyboard.press("Tab")
    press(tab, "/")
    options = tab.locator(".rm-option span:first-child").evaluate_all(texts)
    assert set(NAMES) <= set(options)
    tab.keyboard.press("Escape")
    nothing_ran(tab)

    tab.click("button[role=tab]:has-text('Review')")
    tab.wait_for_selector(".rv-filter[data-kind=disagreement]")
    tab.click(".rv-filter[data-kind=disagreement]")
    tab.wait_for_selector(".rv-said li:nth-child(2)")
    assert tab.locator(".rv-who").evaluate_all(texts) == list(PEOPLE)
    assert tab.locator(".rv-what").evaluate_all(texts) == list(NAMES[:2])
    tab.click(".rv-filter[data-kind=flag]")
    tab.wait_for_selector(".rv-what:has-text('flag')")
    assert tab.locator(".rv-what").evaluate_all(texts) == [f"flag: {NOTE}"]
    tab.click(".rv-people summary")
    tab.wait_for_selector(".rv-people tbody tr")
    assert sorted(tab.locator(".rv-people tbody th").evaluate_all(texts)) == sorted(PEOPLE)
    nothing_ran(tab)

    with server.client() as web:
        told = {"act": "note", "note": NOTE, "annotator": PEOPLE[0]}
        assert web.post("/api/v1/classes/1", json=told).status_code == 200
    tab.click("button[role=tab]:has-text('Classes')")
    tab.wait_for_selector(".cl-row")
    assert tab.locator(".cl-row:not(.cl-gone) .cl-name").evaluate_all(texts) == list(NAMES)
    tab.click(".cl-row[data-id='1']")
    tab.wait_for_function(
        "(note) => [...document.querySelectorAll('.cl-side textarea')].some((e) => e.value === note)", arg=NOTE
    )
    nothing_ran(tab)

    tab.click("button[role=tab]:has-text('Browse')")
    tab.wait_for_selector(".bw-cell[aria-label]")
    shown = " ".join(
        tab.locator(".bw-cell").evaluate_all("(all) => all.map((each) => each.getAttribute('aria-label'))")
    )
    assert f"labelled {NAMES[1]}" in shown
    nothing_ran(tab)

    tab.click("button[role=tab]:has-text('Progress')")
    tab.wait_for_selector(".rp-row")
    assert sorted(tab.locator(".rp-name").evaluate_all(texts)) == sorted(NAMES)
    titles = tab.locator(".rp-name").evaluate_all("(all) => all.map((each) => each.title)")
    assert sorted(titles) == sorted(NAMES)
    nothing_ran(tab)

    tab.click("button[role=tab]:has-text('Data')")
    tab.wait_for_selector(".rp-quarantine tbody tr")
    cells = tab.locator(".rp-quarantine tbody td").evaluate_all(texts)
    assert sorted(cells[::2]) == sorted(f"/pictures/{name}" for name in FILES)
    assert all(name in " ".join(cells[1::2]) for name in FILES)
    nothing_ran(tab)


def test_the_csv_of_hostile_names_opens_without_a_formula(make_page: Callable[..., Page]) -> None:
    server = make_page(NAMES)
    with server.client() as web:
        for image_id, class_id in ((1, 4), (2, 1)):
            said = {"uuid": str(uuid.uuid4()), "image_id": image_id, "annotator": "=cmd|' /C calc'!A0", "kind": "label"}
            assert web.post("/api/v1/events", json={**said, "class_id": class_id, "note": "\t=1"}).status_code == 200
        text = web.get("/api/v1/export").text
    assert "'=1+1" in text
    assert "'=cmd|" in text
    assert "'\t=1" in text
    assert HTML in text
    assert ",=" not in text
