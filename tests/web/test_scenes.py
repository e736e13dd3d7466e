"""A camera trap's boxes on the page: the crop is labelled, its scene stands small in the panel and large at a key."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from app import ingest, ingest_scenes
from store import classes, database, images
from tests import camera
from tests.web.browser import IMAGE, press, said, saved
from tests.web.conftest import Page

INSET = ".rm-scene img"


def taken_in(page: Page) -> dict[int, tuple[int, int, int, int]]:
    """The season in the workspace of a page that had no images; the boxes by image."""
    folder = camera.season(page.workspace / "photos")
    file = camera.detected(page.workspace / "detections.json")
    db = database.open(page.settings.database)
    asked = ingest_scenes.Asked(str(file))
    ingest.ingest(db, folder, workspace=page.workspace, now=time.time(), class_names=["Fox", "Hare"], boxes=asked)
    with db.read() as tx:
        found = {image.id: image.box for image in images.all_ok(tx) if image.box}
        assert len(classes.all_(tx)) == 2
    db.close()
    return found


def test_a_crop_is_labelled_and_seen_in_its_scene(make_page: Callable[..., Page], opened: Callable[..., Any]) -> None:
    page = make_page(empty=True)
    boxes = taken_in(page)
    tab = opened(page)
    shown = tab.evaluate("raum.label.current.item.image_id")
    box = boxes[shown]
    crop = tab.evaluate(
        f"(({{ naturalWidth, naturalHeight }}) => [naturalWidth, naturalHeight])(document.querySelector('{IMAGE}'))"
    )
    assert all(side <= inner + 2 * max(box[2:]) // 10 + 2 for side, inner in zip(crop, box[2:], strict=True)), (
        "the crop"
    )
    tab.wait_for_function(f"document.querySelector('{INSET}').naturalWidth > 0")
    assert tab.evaluate(f"document.querySelector('{INSET}').naturalWidth") == camera.WIDE
    assert tab.evaluate("document.documentElement.scrollHeight <= innerHeight"), "no scrolling"
    press(tab, "v")
    tab.wait_for_function("raum.label.stage.beside?.scene === true")
    assert tab.locator(IMAGE).count() == 2
    assert tab.inner_text(".rm-map") == "beside: the whole scene; Esc back"
    press(tab, "v")
    tab.wait_for_function("raum.label.stage.beside === null")
    tab.click(".rm-scene-button")
    tab.wait_for_function("raum.label.stage.beside?.scene === true")
    press(tab, "Escape")
    tab.wait_for_function("raum.label.stage.beside === null")
    press(tab, "2")
    saved(tab)
    assert said(page) == [("label", 2, None)]
    assert page.events()[0].image_id == shown


def test_a_whole_picture_has_no_scene(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    assert not tab.is_visible(".rm-scene")
    press(tab, "v")
    assert tab.evaluate("raum.label.stage.beside") is None
    assert "no scene around it" in tab.inner_text(".rm-said")
    with page_server.client() as client:
        answer = client.get("/scene/1")
        assert answer.status_code == 404
        assert "whole picture" in answer.text


def test_addresses_are_not_taken_from_the_page(page_server: Page) -> None:
    with page_server.client() as client:
        payload = {"folder": "s3://bucket/x"}
        answer = client.post("/api/v1/commands", json={"kind": "ingest", "payload": payload})
    assert answer.status_code == 400
    assert "launch.py serve --images s3://bucket/x" in answer.text


def test_the_first_screen_takes_a_box_file(make_page: Callable[..., Page], opened: Callable[..., Any]) -> None:
    page = make_page(empty=True)
    folder = camera.season(page.workspace / "photos")
    file = camera.detected(page.workspace / "detections.json")
    tab = opened(page, wait="#rm-boxes")
    tab.fill("#rm-folder", str(folder))
    tab.fill("#rm-boxes", str(folder / "none.json"))
    tab.click("text=Use this folder")
    tab.wait_for_function("document.querySelector('.rm-problem').textContent.includes('there is no file')")
    tab.fill("#rm-boxes", str(file))
    with tab.expect_response("**/api/v1/commands") as answered:
        tab.click("text=Use this folder")
    assert answered.value.ok
    db = database.open(page.settings.database)
    from store import commands

    with db.write() as tx:
        asked = commands.take(tx, time.time())
    db.close()
    assert asked is not None
    assert asked.payload["boxes"] == {"file": str(file)}
