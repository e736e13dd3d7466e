"""The grid and yes/no modes in a real browser: every key, touch, undo, offline in the middle, two people."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app import predictions
from app.web import routes
from store import database, queue
from store.records import NewPublication, QueueRow
from tests.web.browser import SHOWN, press, said, saved, shown
from tests.web.conftest import HOLDOUT, NAMES, POOL, Page

CELL = ".rg-cells:not(.rg-ahead) .rg-cell"
CELLS = f"[...document.querySelectorAll('{CELL}')]"
PAGE = CELLS + ".map((cell) => Number(cell.querySelector('img').src.match(/\\d+$/)[0]))"
GRID = "() => window.raum.modes.grid.page !== null"
TAKEN = CELLS + ".map((cell) => cell.dataset.state)"


def predict(workspace: Path, *, sure: float = 0.95, spread: float = 0.002) -> None:
    """The model holds the first half of the pool for Birch, the rest and the holdout for Cedar, the first the safest;
    its queue asks the first six images, of which the sixth is an audit."""
    ids = np.arange(1, POOL + HOLDOUT + 1, dtype=np.int64)
    top = np.where(ids <= POOL // 2 + 2, 2, 3).astype(np.int32)
    confidence = (sure - spread * np.arange(len(ids))).astype(np.float32)
    found = predictions.Predictions(
        ids,
        top,
        confidence,
        np.zeros(len(ids), np.float32),
        {"class_ids": [1, 2, 3, 4], "checkpoint": None, "round": None},
    )
    rows = [
        QueueRow(
            position=at, image_id=at + 1, reason="audit" if at == 5 else "uncertain", suggestions=[(2, 0.6), (1, 0.3)]
        )
        for at in range(6)
    ]
    db = database.open(workspace / "raum.db")
    with db.write() as tx:
        new = NewPublication(kind="refresh", watermark=0, created_at=2.0, calibrated=True, pool_size=POOL)
        published = queue.publish(tx, new, rows)
    db.close()
    predictions.write(workspace, published, found)


@pytest.fixture
def server(make_page: Callable[..., Page]) -> Page:
    made = make_page()
    predict(made.workspace)
    return made


def grid(tab: Any) -> list[int]:
    tab.keyboard.press("g")
    tab.wait_for_function(GRID)
    return list(tab.evaluate(PAGE))


def leases(server: Page) -> dict[str, set[int]]:
    db = database.open(server.settings.database)
    with db.read() as tx:
        rows = tx.exec_driver_sql("SELECT client, image_id FROM leases").all()
    db.close()
    found: dict[str, set[int]] = {}
    for client, image_id in rows:
        found.setdefault(client, set()).add(image_id)
    return found


def test_a_page_is_judged_by_keys_alone(server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(server, height=520, frame=True)
    before = tab.evaluate(SHOWN)
    ids = grid(tab)
    assert len(ids) >= 8
    assert tab.inner_text(".rg-title").startswith("Birch")
    for key in ("ArrowRight", "Space", "ArrowDown", "s", "Home", "Space", "Space", "End", "Space"):
        tab.keyboard.press(key)
    columns = tab.evaluate("window.raum.modes.grid.page.columns")
    out, skipped = [1, len(ids) - 1], 1 + columns
    states = ["out" if at in out else "skip" if at == skipped else "kept" for at in range(len(ids))]
    assert tab.evaluate(TAKEN) == states
    assert "3 taken out" in tab.inner_text(".rg-told")
    assert f"confirm {len(ids) - 3}" in tab.inner_text(".rg-keys")
    tab.keyboard.press("x")
    tab.keyboard.press("1")
    tab.keyboard.press("Enter")
    saved(tab)
    events = server.events()
    labelled = {event.image_id for event in events if event.kind == "label"}
    assert labelled == {each for each, state in zip(ids, states, strict=True) if state == "kept"}
    assert {event.class_id for event in events if event.kind == "label"} == {2}
    assert [(event.kind, event.image_id, event.note) for event in events if event.kind != "label"] == [
        ("skip", ids[skipped], "not Birch")
    ]
    assert {(e.input_mode, e.queue_reason, e.suggestion_visible) for e in events} == {("grid", "grid", True)}
    assert all(0 <= event.shown_ms < 5000 for event in events)
    of_grid = [held for client, held in leases(server).items() if client.endswith(":grid")]
    assert of_grid
    assert not {ids[at] for at in out} & set().union(*of_grid)
    assert not set(tab.evaluate(PAGE)) & set(ids), "what was taken out does not come back on the next page"
    tab.wait_for_function("() => !window.raum.modes.grid.loading")
    ahead = tab.evaluate("window.raum.modes.grid.pages.flatMap((page) => page.ids)")
    assert not {ids[at] for at in out} & set(ahead), "nor on one that the tab has claimed ahead"
    tab.keyboard.press("Escape")
    assert tab.evaluate(SHOWN) == before, "the single image waited"
    press(tab, "1")
    saved(tab)
    assert said(server)[-1] == ("label", 1, None)


def test_one_undo_takes_back_the_page_and_shows_it_as_it_was(server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(server, height=520)
    ids = grid(tab)
    for key in ("Space", "ArrowRight", "s", "Enter"):
        tab.keyboard.press(key)
    tab.wait_for_function(f"() => !({PAGE}).includes({ids[0]})")
    saved(tab)
    following = tab.evaluate(PAGE)
    tab.keyboard.press("z")
    assert tab.evaluate(PAGE) == ids
    assert tab.evaluate(TAKEN)[:3] == ["out", "skip", "kept"]
    saved(tab)
    assert [event.kind for event in server.events()].count("retract") == len(ids) - 1
    assert set(ids) <= set().union(*leases(server).values())
    tab.keyboard.press("Space")  # the second is its class after all
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("Space")
    tab.keyboard.press("Enter")
    saved(tab)
    if following:
        assert tab.evaluate(PAGE) == following
    tab.keyboard.press("g")
    tab.keyboard.press("z")  # from the single image, too
    tab.wait_for_function(GRID)
    assert tab.evaluate(PAGE) == ids
    saved(tab)
    db = database.open(server.settings.database)
    with db.read() as tx:
        assert tx.exec_driver_sql("SELECT count(*) FROM image_state WHERE kind IS NOT NULL").scalar_one() == 0
    db.close()


def test_taps_take_out_and_the_bar_confirms_on_a_tablet_and_a_phone(
    server: Page, opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "RELOAD_SECONDS", 0.1)
    for width, height in ((820, 1180), (420, 860)):
        tab = opened(server, width=width, height=height, has_touch=True, is_mobile=True)
        tab.tap('[data-part="keys"] [data-mode-action="grid"]')
        tab.wait_for_function(GRID)
        ids = tab.evaluate(PAGE)
        assert len(ids) <= (24 if width > 500 else 15)
        box = tab.locator(CELL).first.bounding_box()
        assert box["width"] >= 118
        assert tab.evaluate("document.scrollingElement.scrollWidth") <= width
        tab.locator(CELL).nth(1).tap()
        assert tab.evaluate(TAKEN)[:3] == ["kept", "out", "kept"]
        tab.locator(CELL).nth(1).tap()
        tab.locator(CELL).nth(0).tap()
        tab.tap('[data-mode-action="confirm"]')
        saved(tab)
        labelled = {event.image_id for event in server.events() if event.kind == "label"}
        assert set(ids[1:]) <= labelled
        assert ids[0] not in labelled
        tab.tap('.rg-keys [data-mode-action="undo"]')
        assert tab.evaluate(PAGE) == ids
        saved(tab)
        tab.goto(
            f"{server.url}/healthz"
        )  # gives the images back; a context that is closed takes the last request along
        tab.context.close()


def test_a_page_confirmed_offline_is_kept_and_sent_once(server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(server, width=420, height=700)
    first = grid(tab)
    tab.wait_for_function("() => window.raum.modes.grid.pages.some((page) => page.ready)")
    server.stop()
    tab.keyboard.press("Enter")
    tab.wait_for_function(f"() => ({PAGE}).length && !({PAGE}).includes({first[0]})")
    second = tab.evaluate(PAGE)
    tab.keyboard.press("Space")
    tab.keyboard.press("Enter")
    tab.wait_for_selector('.rm-saved[data-state="away"]')
    assert "2 answers waiting" in tab.inner_text(".rm-saved")
    server.start()
    tab.wait_for_selector('.rm-saved[data-state="saved"]', timeout=20_000)
    events = server.events()
    assert {event.image_id for event in events} == {*first, *second[1:]}
    assert len(events) == len({event.uuid for event in events}) == len(first) + len(second) - 1


def test_two_people_never_get_the_same_image(
    server: Page, opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "RELOAD_SECONDS", 0.1)
    tabs = [opened(server, width=420, height=700) for _ in range(2)]
    tabs[1].evaluate("window.raum.label.rename('ben')")
    pages = [grid(tab) for tab in tabs]
    for tab in tabs:
        tab.wait_for_function("() => !window.raum.modes.grid.loading")
    held = leases(server)
    flat = [image_id for ids in held.values() for image_id in ids]
    assert len(flat) == len(set(flat))
    assert not set(pages[0]) & set(pages[1])
    for tab in tabs:
        tab.keyboard.press("Enter")
        saved(tab)
    answered = [event.image_id for event in server.events()]
    assert len(answered) == len(set(answered))
    assert not set(answered) & set(range(POOL + 1, POOL + HOLDOUT + 1)), "never a holdout image"
    assert 6 not in answered, "nor an audit"


def test_the_person_chooses_the_class_of_the_page(server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(server)
    grid(tab)
    options = tab.eval_on_selector_all(".rg-choice option", "found => found.map((each) => each.textContent)")
    assert [each.split(" (")[0] for each in options] == ["the class with most images", "Birch", "Cedar"]
    tab.select_option(".rg-choice", "3")
    tab.wait_for_function("() => document.querySelector('.rg-title').textContent.startsWith('Cedar')")
    tab.keyboard.press("Enter")
    saved(tab)
    assert {event.class_id for event in server.events()} == {3}
    tab.wait_for_function("() => document.querySelector('.rg-nothing').textContent.includes('Choose another class')")


def test_yes_or_no_by_keys(make_page: Callable[..., Page], opened: Callable[..., Any]) -> None:
    server = make_page()
    predict(server.workspace, sure=0.75)
    tab = opened(server, frame=True)
    before = tab.evaluate(SHOWN)
    tab.keyboard.press("y")
    question = (
        "() => document.querySelector('.ry-text').checkVisibility() && document.querySelector('.ry-text').textContent"
    )
    tab.wait_for_function(question)
    asked = tab.inner_text(".ry-text")
    assert asked.startswith("Is this a")
    name = asked.removeprefix("Is this an ").removeprefix("Is this a ").removesuffix("?")
    image = tab.evaluate(SHOWN)
    tab.keyboard.press("y")
    tab.wait_for_function(f"() => ({SHOWN}) !== {image!r}")
    saved(tab)
    first = server.events()[0]
    assert (first.kind, first.class_id) == ("label", NAMES.index(name) + 1)
    assert (first.input_mode, first.queue_reason) == ("yesno", "yesno")
    tab.wait_for_function(question)
    struck = tab.inner_text(".ry-text").split()[-1].removesuffix("?")
    image = tab.evaluate(SHOWN)
    tab.keyboard.press("n")
    assert tab.evaluate(SHOWN) == image, "the image stays until it is known what it is"
    assert tab.inner_text(".ry-text").startswith("Not a")
    assert tab.locator(".ry-struck .rm-name-of").inner_text() == struck
    assert len(server.events()) == 1
    other = 1 + (NAMES.index(struck) + 1) % 4
    tab.keyboard.press(str(other))
    saved(tab)
    second = server.events()[1]
    assert (second.class_id, second.input_mode, second.note) == (other, "yesno-no", f"not {struck}")
    tab.wait_for_function(f"() => ({SHOWN}) !== {image!r}")
    tab.keyboard.press("z")
    assert tab.evaluate(SHOWN) == image
    saved(tab)
    assert said(server)[-1][0] == "retract"
    tab.keyboard.press("Escape")
    assert tab.evaluate(SHOWN) == before, "the single image waited"
    assert not tab.is_visible(".ry-text")
    press(tab, "1")
    saved(tab)
    assert server.events()[-1].queue_reason == "uncertain"
    assert len(tab.evaluate("window.raum.modes.timings.yesno")) == 1


def test_yes_or_no_by_touch_stays_with_one_class_and_works_offline(
    make_page: Callable[..., Page], opened: Callable[..., Any]
) -> None:
    server = make_page()
    predict(server.workspace, sure=0.75)
    tab = opened(server, width=420, height=860, has_touch=True, is_mobile=True)
    tab.tap('[data-part="keys"] [data-mode-action="yesno"]')
    tab.wait_for_selector(".ry-yes")
    tab.wait_for_function("() => window.raum.label.stock.waiting.filter((each) => each.done).length >= 3")
    server.stop()
    for _ in range(3):
        image = tab.evaluate(SHOWN)
        tab.tap(".ry-yes")
        tab.wait_for_function(f"() => ({SHOWN}) !== {image!r}")
    server.start()
    tab.wait_for_selector('.rm-saved[data-state="saved"]', timeout=20_000)
    assert len(server.events()) == 3
    assert len({event.class_id for event in server.events()}) == 1
    tab.tap(".ry-no")
    assert tab.is_visible(".rm-choice")
    tab.tap(".ry-yes")  # yes after all
    saved(tab)
    assert server.events()[-1].input_mode == "yesno-no"


def test_the_proposal_is_told_and_never_followed_by_itself(server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(server, width=1360)
    tab.wait_for_selector(".rm-proposal")
    told = tab.get_attribute(".rm-proposal", "title")
    assert told.startswith("grid for Birch: about 0.")
    assert told.endswith("s an image instead of 3.0: g")
    press(tab, "1", "2", "3")
    assert tab.get_attribute(".raum", "data-view") in (None, "single")
    tab.click(".rm-proposal")
    tab.wait_for_function(GRID)
    assert not tab.is_visible(".rm-proposal")


def test_a_proposal_that_is_on_its_way_shows_no_empty_button(server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(server, width=1360)
    asked: list[Any] = []
    tab.route("**/api/v1/modes?*", lambda route: asked.append(route))
    with tab.expect_request("**/api/v1/modes?*"):
        tab.reload()
    shown(tab)
    assert not tab.is_visible(".rm-proposal")
    for each in asked:
        each.continue_()
    tab.wait_for_selector(".rm-proposal")
    assert tab.inner_text(".rm-proposal").startswith("g")


def test_without_a_model_the_modes_say_so(make_page: Callable[..., Page], opened: Callable[..., Any]) -> None:
    tab = opened(make_page())
    tab.keyboard.press("g")
    tab.wait_for_function("() => document.querySelector('.rg-nothing').textContent.includes('not sure of any')")
    tab.keyboard.press("y")
    tab.wait_for_function("() => document.querySelector('.raum').dataset.view === 'single'")
    assert "no more images for yes or no" in tab.inner_text('[data-part="said"]')
    press(tab, "1")
    saved(tab)


def test_the_next_page_is_painted_as_fast_as_a_single_image(server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(server, width=420, height=700)
    grid(tab)
    for _ in range(2):
        tab.wait_for_function("() => window.raum.modes.grid.page && !window.raum.modes.grid.loading")
        tab.keyboard.press("Enter")
        tab.wait_for_timeout(150)
    assert len(tab.evaluate("window.raum.modes.timings.grid")) == 2
    assert max(tab.evaluate("window.raum.modes.timings.grid")) < 1000
