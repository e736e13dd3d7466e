"""What a person sees in a real browser: maps, blind images, many classes, the first screen, phones, tabs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.web.browser import IMAGE, SHOWN, press, said, saved
from tests.web.conftest import Page


def test_the_map_is_drawn_by_default_cycled_and_hidden(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    painted = """() => { const c = document.querySelector('.rm-frame canvas'); if (!c) return 0;
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
        let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 20; return n / (d.length / 4); }"""
    assert 0.005 < tab.evaluate(painted) < 0.6
    assert tab.inner_text('[data-part="map"]') == "where the evidence for Ash lies"
    press(tab, "o")
    assert tab.inner_text('[data-part="map"]') == "what speaks for Ash rather than Birch"
    press(tab, "o")
    assert tab.evaluate(painted) == 0
    press(tab, "o", "h")
    assert tab.evaluate(painted) == 0
    press(tab, "1")
    saved(tab)
    assert page_server.events()[0].overlay_visible is False


def test_a_late_image_is_overtaken_by_one_that_is_ready(make_page: Callable[..., Page], chromium: Any) -> None:
    """Not for 300 ms, and it keeps its turn: it is the next one."""
    tab = chromium.new_page()
    held: list[Any] = []
    tab.route("**/assets/**", lambda route: route.abort())
    tab.route("**/image/1", lambda route: held.append(route))
    tab.goto(make_page().url)
    tab.wait_for_selector(IMAGE)
    assert tab.evaluate(SHOWN) == "/image/2"
    for route in held:
        route.continue_()
    tab.wait_for_function("() => raum.label.stock.first.done")
    press(tab, "1")
    tab.wait_for_function(f"() => ({SHOWN}) === '/image/1'")
    tab.close()


def test_wide_windows_show_image_and_map_side_by_side(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server, width=1920, height=1080)
    assert tab.locator(".rm-frame img").count() == 2
    assert tab.locator('[data-frame="plain"] canvas').count() == 0
    assert tab.locator('[data-frame="map"] canvas').count() == 1


def test_blind_images_show_no_help_and_cannot_be_accepted(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    press(tab, *"11111")
    tab.wait_for_selector(".rm-note.rm-blind")
    assert tab.locator(".rm-compare img").count() == 0
    assert tab.locator(".rm-frame canvas").count() == 0
    assert [text for text in tab.locator(".rm-share").all_inner_texts() if text] == []
    blind = tab.evaluate(SHOWN)
    press(tab, "Enter")
    assert tab.evaluate(SHOWN) == blind
    press(tab, "3")
    saved(tab)
    event = page_server.events()[-1]
    assert (event.class_id, event.suggestion_visible, event.overlay_visible, event.queue_reason) == (
        3,
        False,
        False,
        "audit",
    )


def test_names_are_text_never_html(make_page: Callable[..., Page], opened: Callable[..., Any]) -> None:
    names = ("<img src=x onerror=window.hacked=1>", "<b>bold</b>", "a & b")
    tab = opened(make_page(names), frame=True)
    assert tab.locator(".rm-choice:visible .rm-name-of").all_inner_texts() == list(names)
    press(tab, "/")
    assert tab.locator(".rm-option").first.inner_text().startswith("<img src=x")
    tab.keyboard.press("Escape")
    tab.click("button[role=tab]:has-text('Progress')")
    tab.wait_for_selector(".rp-row")
    assert sorted(tab.locator(".rp-name").all_inner_texts()) == sorted(names)
    assert tab.evaluate("window.hacked") is None
    assert tab.locator(".raum b, .rp-row b").count() == 0


def test_more_than_nine_classes_follow_the_model(make_page: Callable[..., Page], opened: Callable[..., Any]) -> None:
    server = make_page(tuple(f"Kind {letter}" for letter in "ABCDEFGHIJKL"))
    tab = opened(server)
    press(tab, "1", "1")
    tab.wait_for_selector(IMAGE)
    rows = tab.locator(".rm-choice .rm-name-of").all_inner_texts()
    assert rows[:3] == ["Kind C", "Kind D", "Kind E"]
    assert len(rows) == 9
    saved(tab)
    assert [class_id for _, class_id, _ in said(server)] == [1, 2]


def test_the_first_screen_asks_for_a_folder_or_the_demo(
    make_page: Callable[..., Page], opened: Callable[..., Any]
) -> None:
    server = make_page(empty=True)
    tab = opened(server, wait=".rm-cards", frame=True)
    tab.fill("#rm-folder", "/no/such/folder")
    tab.click("text=Use this folder")
    tab.wait_for_selector(".rm-problem:has-text('/no/such/folder')")
    tab.fill("#rm-folder", str(server.workspace))
    tab.fill("#rm-classes", "Ash\n\n Birch ")
    tab.click("text=Use this folder")
    tab.wait_for_selector('.rm-state[data-kind="arriving"]')
    assert "waiting for the worker" in tab.inner_text(".rm-state")


def test_a_phone_shows_image_classes_and_every_answer(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server, width=360, height=740, has_touch=True, frame=True)
    assert tab.locator(".rm-choice:visible").count() == 4
    boxes = [tab.locator(selector).first.bounding_box() for selector in (IMAGE, ".rm-choice", '[data-action="reject"]')]
    assert all(
        box and box["x"] >= 0 and box["x"] + box["width"] <= 360 and box["y"] + box["height"] <= 740 for box in boxes
    )
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    tab.tap('.rm-choice:has-text("Birch")')
    saved(tab)
    assert page_server.events()[0].input_mode == "touch"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_tab_opens_and_labelling_never_scrolls(
    page_server: Page, opened: Callable[..., Any], scheme: str
) -> None:
    tab = opened(page_server, color_scheme=scheme, frame=True)
    assert tab.evaluate("document.documentElement.scrollHeight") <= 720
    assert tab.evaluate("document.documentElement.dataset.raumTheme") == scheme
    tab.click("button[role=tab]:has-text('Progress')")
    tab.wait_for_selector('[data-part="accuracy"] :text("not yet measured")')
    before = len(page_server.events())
    tab.keyboard.press("1")
    tab.click("button[role=tab]:has-text('Data')")
    tab.wait_for_selector("text=No file had to be set aside.")
    tab.fill("#rd-folder", str(Path(__file__).parent))
    tab.fill("#rd-boxes", "/nowhere/boxes.json")
    tab.click("text=Add this folder")
    tab.wait_for_selector("text=there is no file '/nowhere/boxes.json' on this machine")
    tab.click("button[role=tab]:has-text('Label')")
    tab.wait_for_selector(".rm-choice")
    assert len(page_server.events()) == before, "a key on another tab answers nothing"
    press(tab, "1")
    saved(tab)
    assert len(page_server.events()) == before + 1


def test_help_lists_the_keys_and_nothing_is_fetched_from_elsewhere(
    page_server: Page, opened: Callable[..., Any]
) -> None:
    tab = opened(page_server, frame=True)
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.reload()
    tab.wait_for_selector(".raum-slot .raum")
    tab.wait_for_selector(IMAGE)
    press(tab, "?")
    assert tab.is_visible(".rm-help")
    tab.keyboard.press("Escape")
    assert not tab.is_visible(".rm-help")
    assert asked
    assert [url for url in asked if not url.startswith((page_server.url, "data:", "blob:"))] == []
