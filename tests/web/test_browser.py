"""The labelling surface in a real browser: every key, what it leaves in the store, and what a person sees."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.web import browser
from tests.web.conftest import Page

IMAGE = ".rm-frame img"
SHOWN = "document.querySelector('.rm-frame img')?.getAttribute('src') ?? ''"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser.launched() as found:
        yield found


@pytest.fixture
def opened(chromium: Any) -> Iterator[Callable[..., Any]]:
    """opened(page_server, width=..., height=...) is a tab with the first image on it; no console error may appear.

    With frame=True Gradio's own bundle is loaded, too; without, the surface stands alone, as in the page's first second.
    """
    contexts: list[Any] = []
    errors: list[str] = []

    def open_tab(
        server: Page, *, width: int = 1280, height: int = 720, wait: str = IMAGE, frame: bool = False, **options: Any
    ) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        tab = context.new_page()
        tab.on("pageerror", lambda problem: errors.append(str(problem)))
        tab.on("console", lambda told: errors.append(told.text) if told.type == "error" else None)
        if not frame:
            tab.route("**/assets/**", lambda route: route.abort())
        tab.goto(server.url)
        if frame:
            tab.wait_for_selector(".raum-slot .raum")
        tab.wait_for_selector(wait)
        return tab

    yield open_tab
    for context in contexts:
        context.close()
    assert [error for error in errors if "net::ERR" not in error and "400 (Bad Request)" not in error] == []


def press(tab: Any, *keys: str) -> None:
    """Press each key once the image before it is on the page."""
    for key in keys:
        tab.wait_for_selector(IMAGE)
        tab.keyboard.press(key)


def saved(tab: Any) -> None:
    tab.wait_for_selector('.rm-saved[data-state="saved"]')


def said(server: Page) -> list[tuple[str, int | None, str | None]]:
    return [(event.kind, event.class_id, event.reason) for event in server.events()]


def test_labels_by_key_and_records_how(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server, frame=True)
    before = tab.evaluate(SHOWN)
    press(tab, "2", "1", "Enter")
    assert tab.evaluate(SHOWN) != before
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


def test_wide_windows_show_image_and_map_side_by_side(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server, width=1920, height=1080)
    assert tab.locator(".rm-frame img").count() == 2
    assert tab.locator('[data-frame="plain"] canvas').count() == 0
    assert tab.locator('[data-frame="map"] canvas').count() == 1


def test_a_reject_is_stored_at_once_and_its_reason_follows(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    rejected = tab.evaluate(SHOWN)
    press(tab, "x")
    assert tab.evaluate(SHOWN) != rejected
    assert tab.inner_text('[data-part="note"]').startswith("rejected")
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
        seen.append(tab.evaluate(SHOWN))
        press(tab, key)
        tab.keyboard.press("Escape")
    for image in reversed(seen):
        tab.keyboard.press("z")
        assert tab.evaluate(SHOWN) == image
    assert "rm-before" in (tab.get_attribute(".rm-choice >> nth=1", "class") or "")
    saved(tab)
    assert [kind for kind, _, _ in said(page_server)] == ["label", "reject", "skip", "retract", "retract", "retract"]
    press(tab, "3")
    saved(tab)
    assert said(page_server)[-1] == ("label", 3, None)
    assert f"/image/{page_server.events()[-1].image_id}" == seen[0]


def test_undo_goes_on_after_a_reload(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    answered = tab.evaluate(SHOWN)
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
    before = tab.evaluate(SHOWN)
    tab.reload()
    tab.wait_for_selector(IMAGE)
    assert tab.evaluate(SHOWN) == before


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
    before = tab.evaluate(SHOWN)
    press(tab, "f")
    saved(tab)
    assert tab.evaluate(SHOWN) == before
    press(tab, "s")
    saved(tab)
    assert tab.evaluate(SHOWN) != before
    assert [kind for kind, _, _ in said(page_server)] == ["flag", "skip"]


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
    page_server.stop()
    press(tab, "4")
    tab.wait_for_selector('.rm-saved[data-state="away"]')
    page_server.start()
    tab.reload()
    tab.wait_for_selector(IMAGE)
    saved(tab)
    assert [class_id for _, class_id, _ in said(page_server)] == [1, 2, 3, 4]


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


def test_a_phone_shows_image_three_classes_and_every_answer(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server, width=360, height=740, has_touch=True, frame=True)
    assert tab.locator(".rm-choice:visible").count() == 3
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
    tab.wait_for_selector(".rp-figures b")
    assert "not yet measured" in tab.inner_text('[data-part="accuracy"]')
    before = len(page_server.events())
    tab.keyboard.press("1")
    tab.click("button[role=tab]:has-text('Data')")
    tab.wait_for_selector("text=No file had to be set aside.")
    tab.click("button[role=tab]:has-text('Label')")
    time.sleep(0.2)
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
