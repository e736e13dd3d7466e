"""The labelling view by window and finger: phones, tablets, a phone on its side, large screens."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.web.browser import IMAGE, saved
from tests.web.conftest import Page

NINE = tuple(f"Kind {letter}" for letter in "ABCDEFGHI")
COARSE = "matchMedia('(pointer: coarse)').matches"


def boxes(tab: Any, selector: str) -> list[dict[str, float]]:
    return [box for each in tab.locator(selector).all() if (box := each.bounding_box())]


@pytest.mark.parametrize(("width", "height"), [(360, 740), (420, 860), (480, 800)])
def test_a_phone_shows_all_nine_classes_and_every_answer(
    make_page: Callable[..., Page], opened: Callable[..., Any], width: int, height: int
) -> None:
    server = make_page(NINE)
    tab = opened(server, width=width, height=height, has_touch=True)
    shown = boxes(tab, ".rm-choice:visible")
    assert len(shown) == 9
    wide = sorted(shown, key=lambda box: box["y"])[:3]
    assert all(box["width"] > 0.85 * width for box in wide), "the three likeliest are wide"
    keys = boxes(tab, ".rm-key:visible")
    assert all(box["width"] >= (44 if width >= 420 else 28) for box in keys), "nine keys share one row"
    assert all(box["width"] >= 44 for box in shown)
    for box in [*shown, *keys]:
        assert box["height"] >= 44
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert box["y"] + box["height"] <= height
    image = tab.locator(IMAGE).first.bounding_box()
    assert image["y"] + image["height"] <= wide[0]["y"], "the image is on top"
    assert image["height"] > 140
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.tap('.rm-choice:has-text("Kind I")')
    saved(tab)
    assert (server.events()[0].class_id, server.events()[0].input_mode) == (9, "touch")
    stage = tab.locator(".rm-frames").bounding_box()
    tab.tap('[data-action="reject"]')
    assert tab.locator(".rm-reason:visible").count() == 3
    assert tab.locator(".rm-frames").bounding_box() == stage, "nothing jumps when the reason is asked"


def test_no_class_is_wide_on_a_phone_when_asked_blind(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server, width=420, height=860, has_touch=True)
    assert tab.locator(".rm-lead").count() == 3
    for _ in range(5):
        tab.keyboard.press("1")
        tab.wait_for_selector(IMAGE)
    tab.wait_for_selector(".rm-note.rm-blind")
    assert tab.locator(".rm-lead").count() == 0
    assert len({round(box["width"]) for box in boxes(tab, ".rm-choice:visible")}) == 1


@pytest.mark.parametrize(("width", "height"), [(1024, 768), (1180, 820), (768, 1024)])
def test_a_tablet_has_targets_for_fingers(
    make_page: Callable[..., Page], opened: Callable[..., Any], width: int, height: int
) -> None:
    tab = opened(make_page(NINE), width=width, height=height, has_touch=True)
    assert tab.evaluate(COARSE)
    shown = boxes(tab, ".rm-choice:visible, .rm-key:visible, .rm-search input")
    assert len(shown) >= 17
    assert all(box["height"] >= 44 and box["width"] >= 44 for box in shown)
    assert all(box["y"] + box["height"] <= height for box in shown)


@pytest.mark.parametrize(("width", "height", "least"), [(1280, 720, 14), (1920, 1080, 14), (3840, 2160, 24)])
def test_nothing_scrolls_and_text_grows_with_the_window(
    make_page: Callable[..., Page], opened: Callable[..., Any], width: int, height: int, least: int
) -> None:
    tab = opened(make_page(NINE), width=width, height=height)
    assert tab.evaluate("document.documentElement.scrollHeight") <= height
    panel = tab.locator(".rm-panel")
    assert panel.evaluate("(panel) => panel.scrollHeight <= panel.clientHeight")
    sizes = ".rm-name-of, .rm-share, .rm-note, .rm-caption, .rm-key, .rm-count"
    found = tab.locator(sizes).evaluate_all("(all) => all.map((each) => parseFloat(getComputedStyle(each).fontSize))")
    assert min(found) >= least
