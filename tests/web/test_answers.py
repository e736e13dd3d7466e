"""Every answer in a real browser: what is pressed, what the store then holds, what the person sees."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.web.browser import IMAGE, SHOWN, press, said, saved, shown
from tests.web.conftest import Page


def test_labels_by_key_and_records_how(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server, frame=True)
    before = shown(tab)
    press(tab, "2", "1", "Enter")
    assert shown(tab) != before
    saved(tab)
    assert said(page_server) == [("label", 2, None), ("label", 1, None), ("label", 3, None)]
    first = page_server.events()[0]
    assert first.input_mode == "key"
    assert first.suggestion_class_id == 1
    assert first.suggestion_probability == pytest.approx(0.61)
    assert (first.suggestion_visible, first.overlay_visible, first.overlay_kind) == (True, True, "evidence")
    assert first.shown_ms is not None
    assert first.shown_ms < 60_000
    assert tab.evaluate("raum.timings.length") == 3
    assert tab.inner_text('[data-part="today"]') == "3 today"


def test_a_reject_is_stored_at_once_and_its_reason_follows(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    rejected = shown(tab)
    press(tab, "x")
    assert shown(tab) != rejected
    assert tab.inner_text('[data-part="note"]').startswith("rejected")
    assert tab.locator(".rm-group figcaption").all_inner_texts() == ["Birch", "Cedar", "Elm"], "of the image now shown"
    press(tab, "2")
    saved(tab)
    assert said(page_server) == [("reject", None, None), ("reject", None, "none_of_the_classes")]
    assert len({event.image_id for event in page_server.events()}) == 1
    press(tab, "2")
    saved(tab)
    assert said(page_server)[-1] == ("label", 2, None), "after the reason a digit is a class again"


def test_undo_shows_the_image_as_it_was_answered(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    seen = []
    for key in ("2", "x", "s"):
        seen.append(shown(tab))
        press(tab, key)
        tab.keyboard.press("Escape")
    for image in reversed(seen):
        tab.keyboard.press("z")
        assert shown(tab) == image
    assert "rm-before" in (tab.get_attribute(".rm-choice >> nth=1", "class") or "")
    saved(tab)
    assert [kind for kind, _, _ in said(page_server)] == ["label", "reject", "skip", "retract", "retract", "retract"]
    press(tab, "3")
    saved(tab)
    assert said(page_server)[-1] == ("label", 3, None)
    assert f"/image/{page_server.events()[-1].image_id}" == seen[0]


def test_undo_goes_on_after_a_reload(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    answered = shown(tab)
    press(tab, "4")
    saved(tab)
    tab.reload()
    tab.wait_for_selector(IMAGE)
    tab.keyboard.press("z")
    tab.wait_for_function(f"({SHOWN}) === '{answered}'")
    assert "Elm" in tab.inner_text('[data-part="said"]')


def test_a_reload_shows_the_same_image_again(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    press(tab, "1")
    saved(tab)
    before = shown(tab)
    tab.reload()
    tab.wait_for_selector(IMAGE)
    assert shown(tab) == before


def test_search_picks_and_adds_classes(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    press(tab, "/")
    tab.keyboard.type("ced")
    tab.keyboard.press("Enter")
    saved(tab)
    assert said(page_server) == [("label", 3, None)]
    assert page_server.events()[0].input_mode == "search"
    press(tab, "/")
    tab.keyboard.type("x1s")
    assert len(said(page_server)) == 1, "keys are off while typing"
    assert tab.inner_text(".rm-option") == "add the class “x1s”"
    tab.keyboard.press("Enter")
    tab.wait_for_function("document.querySelector('[data-part=said]').textContent === 'added x1s'")
    saved(tab)
    assert said(page_server)[-1] == ("label", 5, None)


def test_flag_stays_and_skip_moves_on(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    before = shown(tab)
    press(tab, "f")
    saved(tab)
    assert shown(tab) == before
    press(tab, "s")
    saved(tab)
    assert shown(tab) != before
    assert [kind for kind, _, _ in said(page_server)] == ["flag", "skip"]


def test_answers_wait_while_the_server_is_away_and_survive_a_reload(
    page_server: Page, opened: Callable[..., Any]
) -> None:
    tab = opened(page_server)
    page_server.stop()
    press(tab, "1", "2", "3")
    tab.wait_for_selector('.rm-saved[data-state="away"]')
    assert tab.inner_text(".rm-saved") == "server away, 3 answers waiting here"
    assert said(page_server) == []
    page_server.start()
    saved(tab)
    assert [class_id for _, class_id, _ in said(page_server)] == [1, 2, 3]
    tab.wait_for_selector(IMAGE)  # what could not be loaded meanwhile has come
    page_server.stop()
    press(tab, "4")
    tab.wait_for_selector('.rm-saved[data-state="away"]')
    page_server.start()
    tab.reload()
    tab.wait_for_selector(IMAGE)
    saved(tab)
    assert [class_id for _, class_id, _ in said(page_server)] == [1, 2, 3, 4]


def test_images_that_fail_while_the_server_is_away_come_when_it_is_back(
    page_server: Page, opened: Callable[..., Any]
) -> None:
    tab = opened(page_server)
    tab.wait_for_function("() => raum.label.stock.waiting.every((ready) => ready.done)")
    tab.evaluate("raum.label.stock.waiting.forEach((ready) => (ready.broken = true))")
    tab.evaluate("raum.label.answer('label', { class_id: 1 }, 'key')")
    assert tab.evaluate("raum.label.current.broken")
    tab.wait_for_selector(IMAGE)
    tab.wait_for_function(
        "() => !raum.label.current.broken && raum.label.stock.waiting.every((ready) => !ready.broken)"
    )
    tab.wait_for_function("() => !document.querySelector('.rm-stage').innerText.includes('could not be loaded')")


def test_a_refused_answer_is_told_and_stops_nobody(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    tab.evaluate("raum.label.answer('label', { class_id: 777 }, 'key')")
    press(tab, "2")
    saved(tab)
    assert said(page_server) == [("label", 2, None)]
    assert tab.inner_text('[data-part="said"]').startswith("one answer was refused:")


def test_answers_of_a_tab_that_died_are_sent_by_the_next(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    left = """() => {
        const body = { uuid: raum.uuid(), annotator: "me", kind: "label", class_id: 4, image_id: 9 };
        const entries = [{ uuid: body.uuid, path: "/api/v1/events", body }];
        localStorage.setItem("raum.outbox.dead", JSON.stringify({ at: 1, entries }));
    }"""
    tab.evaluate(left)
    tab.reload()
    tab.wait_for_selector(IMAGE)
    tab.wait_for_function("localStorage.getItem('raum.outbox.dead') === null")
    saved(tab)
    assert said(page_server) == [("label", 4, None)]


def test_two_tabs_of_one_person_get_different_images(page_server: Page, opened: Callable[..., Any]) -> None:
    here, there = opened(page_server), opened(page_server)
    assert shown(here) != shown(there)
    press(here, "1")
    press(there, "2")
    saved(here)
    saved(there)
    assert len({event.image_id for event in page_server.events()}) == 2
