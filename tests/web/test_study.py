"""A study in a real browser: begun on the Progress tab, obeyed by the page, and told in sentences."""

from collections.abc import Callable
from typing import Any

from tests.web.conftest import Page


def test_a_study_is_begun_obeyed_and_ended_on_the_page(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server, frame=True)
    tab.click("button[role=tab]:has-text('Progress')")
    place = "[data-part=study]"
    tab.wait_for_selector(f"{place} legend:has-text('A new study')")
    tab.uncheck(f"{place} label:has-text('hide suggestions') input")
    tab.uncheck(f"{place} label:has-text('hide maps') input")
    tab.click(f"{place} :text('begin the study')")
    tab.wait_for_selector(f"{place} [role=status]:has-text('a study compares something')")
    tab.check(f"{place} label:has-text('hide suggestions') input")
    tab.check(f"{place} label:has-text('hide maps') input")
    tab.fill(f"{place} label:has-text('images in a block') input", "2")
    tab.click(f"{place} :text('begin the study')")
    tab.wait_for_selector(f"{place} :text('Study 1 of suggestion and map goes on: 0 answers')")
    assert "too few to compare times" in tab.inner_text(place)
    with page_server.client() as client:
        asked = client.post("/api/v1/next", params={"client": "other", "annotator": "ben", "count": 9}).json()["images"]
    part = [item for item in asked if item["reason"].startswith("study:1:")]
    seen = {(bool(item["suggestions"]), bool(item["overlays"])) for item in part}
    assert part == [item for item in asked if not item["blind"] or item["reason"].startswith("study")]
    assert len(part) >= 8
    assert len(seen) == 4, "two images under each condition"
    tab.click("button[role=tab]:has-text('Label')")
    tab.wait_for_selector(".rm-frames img")
    for _ in range(9):
        tab.keyboard.press("1")
        tab.wait_for_timeout(60)
    tab.click("button[role=tab]:has-text('Progress')")
    tab.click(f"{place} :text('end the study')")
    tab.wait_for_selector(f"{place} :text('has ended')")
    said = [event for event in page_server.events() if (event.queue_reason or "").startswith("study:1:")]
    assert said
    for event in said:
        assert event.suggestion_class_id is not None, "known to the server, seen or not"
    rows = tab.locator(f"{place} tbody tr th").all_inner_texts()
    assert rows == ["suggestion and map", "suggestion", "map", "neither"]
