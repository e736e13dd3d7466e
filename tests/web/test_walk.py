"""Going back through one's own answers and changing one; flags with a note."""

from collections.abc import Callable
from typing import Any

from tests.web.browser import SHOWN, press, said, saved, shown
from tests.web.conftest import Page

NOTE = '[data-part="note"]'


def standing(server: Page) -> dict[int, tuple[str, int | None]]:
    """What counts of each image: its latest event that was not taken back."""
    events = server.events()
    gone = {event.target_seq for event in events}
    kept = [event for event in events if event.kind != "retract" and event.seq not in gone]
    return {event.image_id: (event.kind, event.class_id) for event in kept}


def test_an_earlier_answer_is_shown_and_changed(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    seen = []
    for key in ("1", "2", "3"):
        seen.append(shown(tab))
        press(tab, key)
    present = shown(tab)
    press(tab, "[")
    assert shown(tab) == seen[2]
    assert tab.inner_text(NOTE).startswith("1 back")
    press(tab, "ArrowLeft")
    assert shown(tab) == seen[1]
    assert "rm-before" in (tab.get_attribute(".rm-choice >> nth=1", "class") or ""), "as it was answered"
    press(tab, "]")
    assert shown(tab) == seen[2]
    press(tab, "]")
    assert shown(tab) == present, "on again to the image that waits"
    press(tab, "[", "[", "Enter")
    assert shown(tab) == present
    press(tab, "[", "[", "4")
    assert shown(tab) == present
    assert tab.inner_text('[data-part="said"]') == "changed to Elm"
    saved(tab)
    assert [kind for kind, _, _ in said(page_server)] == ["label", "label", "label", "retract", "label"]
    second = int(seen[1].rsplit("/", 1)[1])
    assert standing(page_server)[second] == ("label", 4)
    press(tab, "z")
    assert shown(tab) == seen[1], "an undo takes the change back"
    press(tab, "1", "1")
    saved(tab)
    assert shown(tab) not in (*seen, present)
    assert len(standing(page_server)) == 4


def test_answers_from_before_a_reload_are_found_again(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    seen = []
    for key in ("1", "x", "s"):
        seen.append(shown(tab))
        press(tab, key)
        tab.keyboard.press("Escape")
    saved(tab)
    tab.reload()
    present = shown(tab)
    for image in reversed(seen):
        tab.keyboard.press("[")
        tab.wait_for_function(f"({SHOWN}) === '{image}'")
    tab.keyboard.press("[")
    tab.wait_for_function("document.querySelector('[data-part=said]').textContent === 'no earlier answer of yours'")
    tab.keyboard.press("2")
    saved(tab)
    assert standing(page_server)[int(seen[0].rsplit("/", 1)[1])] == ("label", 2)
    assert shown(tab) == present


def test_a_flag_takes_a_note_and_never_stands_in_the_way(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    before = shown(tab)
    press(tab, "f", "f")
    tab.keyboard.type("1 or 2?")
    tab.keyboard.press("Enter")
    assert not tab.is_visible('[data-part="flag"]')
    press(tab, "1", "f", "2")
    saved(tab)
    events = page_server.events()
    assert [(event.kind, event.note) for event in events] == [
        ("flag", None),
        ("flag", "1 or 2?"),
        ("label", None),
        ("flag", None),
        ("label", None),
    ]
    assert {f"/image/{event.image_id}" for event in events[:3]} == {before}
    press(tab, "f", "z")
    press(tab, "f")
    tab.click("text=unflag")
    saved(tab)
    assert [event.kind for event in page_server.events()[5:]] == ["flag", "retract", "flag", "retract"]
    assert not tab.is_visible('[data-part="flag"]')


def test_a_finger_or_a_screen_reader_walks_back_on_and_out(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server, width=360, height=640, has_touch=True, is_mobile=True)
    seen = []
    for key in ("1", "2"):
        seen.append(shown(tab))
        press(tab, key)
    present = shown(tab)
    today = tab.get_by_role("button", name="2 today: look back at your own answers")
    high = tab.evaluate("document.querySelector('.rm-frames').getBoundingClientRect().height")
    assert not tab.is_visible(".rm-walk")
    today.tap()
    assert shown(tab) == seen[1]
    bar = tab.get_by_role("group", name="Your own answers")
    boxes = [each.bounding_box() for each in (today, *bar.get_by_role("button").all())]
    assert len(boxes) == 4
    for box in boxes:
        assert box["height"] >= 44 <= box["width"]
        assert 0 <= box["x"] <= box["x"] + box["width"] <= 360
        assert box["y"] + box["height"] <= 640
    bar.get_by_text("earlier").tap()
    assert shown(tab) == seen[0]
    assert tab.evaluate("document.querySelector('.rm-frames').getBoundingClientRect().height") == high, "nothing jumps"
    bar.get_by_text("later").tap()
    assert shown(tab) == seen[1]
    bar.get_by_text("later").tap()
    assert shown(tab) == present
    assert not tab.is_visible(".rm-walk")
    today.tap()
    bar.get_by_text("earlier").tap()
    bar.get_by_text("back to labelling").tap()
    assert shown(tab) == present
    today.focus()
    tab.keyboard.press("Enter")
    bar.get_by_text("back to labelling").focus()
    tab.keyboard.press("Enter")
    assert shown(tab) == present
    assert tab.evaluate("document.activeElement.dataset.part") == "today", "the focus stays where one came from"
    today.tap()
    tab.locator(".rm-choice").nth(3).tap()
    saved(tab)
    assert standing(page_server)[int(seen[1].rsplit("/", 1)[1])] == ("label", 4)
