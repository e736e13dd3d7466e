"""The first-run guide: five steps beside the controls, done by doing, skippable, never again; and empty states that help."""

from collections.abc import Callable
from typing import Any

import pytest

from store import database, images, labels
from store.records import NewEvent
from tests.web.browser import IMAGE, press, said, saved
from tests.web.conftest import Page

STEP = ".rm-guide-head .rm-quiet"


def test_each_step_is_done_by_doing_it_and_never_shown_again(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server, guide=True)
    for step, keys in enumerate(("1", "Enter", "o", "x", "z"), start=1):
        assert tab.inner_text(STEP) == f"{step} of 5"
        assert tab.locator(".rm-guided").count() >= 1
        press(tab, keys)
        tab.keyboard.press("Escape")
    assert not tab.is_visible(".rm-guide")
    assert tab.locator(".rm-guided").count() == 0
    saved(tab)
    assert [kind for kind, _, _ in said(page_server)] == ["label", "label", "reject", "retract"]
    tab.reload()
    tab.wait_for_selector(IMAGE)
    assert not tab.is_visible(".rm-guide")
    press(tab, "?")
    tab.click("text=the first steps again")
    assert tab.inner_text(STEP) == "1 of 5"


@pytest.mark.parametrize("size", [(1280, 720), (360, 740)])
def test_the_guide_is_skipped_and_never_over_the_image(
    page_server: Page, opened: Callable[..., Any], size: tuple[int, int]
) -> None:
    width, height = size
    tab = opened(page_server, guide=True, width=width, height=height)
    image, card = tab.locator(IMAGE).bounding_box(), tab.locator(".rm-guide").bounding_box()
    beside = card["x"] >= image["x"] + image["width"] or card["y"] >= image["y"] + image["height"]
    assert beside
    assert card["y"] + card["height"] <= height
    tab.click("text=next")
    tab.click("text=skip the guide")
    tab.reload()
    tab.wait_for_selector(IMAGE)
    assert not tab.is_visible(".rm-guide")


def test_an_empty_queue_says_so_and_leads_on(page_server: Page, opened: Callable[..., Any]) -> None:
    db = database.open(page_server.settings.database)
    with db.write() as tx:
        for image in images.all_ok(tx):
            event = NewEvent(uuid=f"all-{image.id}", image_id=image.id, annotator_id=_me(tx), kind="label", class_id=1)
            labels.append(tx, event, 2.0)
    db.close()
    tab = opened(page_server, wait='.rm-state[data-kind="done"]', frame=True)
    assert tab.inner_text(".rm-state p").startswith("Everything is labelled.")
    tab.click(".rm-state >> text=open Data")
    tab.wait_for_selector("text=Add images")


def _me(tx: Any) -> int:
    from store import annotators

    return annotators.ensure(tx, "me", 1.0).id
