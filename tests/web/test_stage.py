"""The image: zoom and pan, the map and its contour, a labelled image beside it, the evidence region."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.web.browser import IMAGE, SHOWN, press, said, saved
from tests.web.conftest import Page

ZOOM = "raum.label.stage.zoom"
MAP = '[data-part="map"]'
INK = """() => { const c = document.querySelector('.rm-frame canvas'); if (!c) return 0;
    const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
    let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 20; return n; }"""
DARK = """() => { const c = document.querySelector('.rm-frame canvas');
    const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
    let n = 0; for (let i = 0; i < d.length; i += 4) n += d[i + 3] > 60 && d[i] < 120; return n; }"""


def middle(tab: Any, selector: str = IMAGE) -> tuple[float, float]:
    box = tab.locator(selector).first.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_wheel_drag_and_keys_zoom_and_the_map_follows(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    x, y = middle(tab)
    before = tab.locator(IMAGE).bounding_box()
    tab.mouse.move(x, y)
    tab.mouse.wheel(0, -600)
    tab.wait_for_function(f"{ZOOM}.k > 2")
    after = tab.locator(IMAGE).bounding_box()
    assert after["width"] > 2 * before["width"]
    assert tab.locator(".rm-frame canvas").bounding_box() == after, "the map lies over the image"
    assert middle(tab) == pytest.approx((x, y), abs=2), "the point under the pointer stays"
    tab.mouse.down()
    tab.mouse.move(x + 60, y + 30, steps=3)
    tab.mouse.up()
    assert middle(tab) == pytest.approx((x + 60, y + 30), abs=2)
    press(tab, "0")
    assert tab.locator(IMAGE).bounding_box() == before
    press(tab, "+", "+", "Shift+ArrowRight")
    assert tab.evaluate(f"{ZOOM}.k") > 1.5
    press(tab, "-", "-")
    assert tab.evaluate(f"{ZOOM}.k") == pytest.approx(1)
    press(tab, "+", "1")
    saved(tab)
    assert tab.evaluate(f"{ZOOM}.k") == 1, "the next image is shown whole"


def test_two_fingers_zoom_the_image_and_not_the_page(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server, width=420, height=860, has_touch=True, is_mobile=True)
    x, y = middle(tab)
    touch = tab.context.new_cdp_session(tab)

    def fingers(kind: str, apart: float) -> None:
        points = [{"x": x - apart, "y": y, "id": 0}, {"x": x + apart, "y": y, "id": 1}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [] if kind == "touchEnd" else points})

    fingers("touchStart", 30)
    for apart in (40, 60, 80, 90):
        fingers("touchMove", apart)
    fingers("touchEnd", 90)
    assert tab.evaluate(f"{ZOOM}.k") == pytest.approx(3, abs=0.6)
    assert tab.evaluate("visualViewport.scale") == 1
    assert said(page_server) == [], "a gesture answers nothing"


def test_zoom_never_loses_the_image(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    call = "([name, values]) => import('/surface/x/zoom.js').then((zoom) => zoom[name](...values))"
    seen = {"left": -0.5, "top": 0, "right": 1.5, "bottom": 1}

    def run(name: str, *values: Any) -> Any:
        return tab.evaluate(call, [name, list(values)])

    closer = run("zoomed", {"k": 1, "x": 0, "y": 0}, 4, [0.25, 0.5], seen)
    assert run("inside", closer, [0.25, 0.5]) == pytest.approx([0.25, 0.5])
    far = run("panned", closer, [100, -100], seen)
    assert (far["x"], far["y"] + far["k"]) == (pytest.approx(-0.5), pytest.approx(1)), "its edges stay at the frame's"
    little = run("zoomed", {"k": 1, "x": 0, "y": 0}, 1.5, [0, 0], seen)
    assert little["x"] == pytest.approx(-0.25), "narrower than its frame it stays in the middle"
    assert run("zoomed", closer, 0.01, [0, 0], seen) == {"k": 1, "x": 0, "y": 0}


def test_the_contour_runs_where_it_is_set(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    ring = tab.evaluate(DARK)
    assert ring > 100
    press(tab, ".", ".", ".")
    assert 0 < tab.evaluate(DARK) < ring, "further in the ring is shorter"
    press(tab, ".", ".")
    assert tab.evaluate(DARK) == 0, "at 100 % there is none"
    assert tab.evaluate(INK) > 0, "the tint stays"
    press(tab, ",")
    assert tab.input_value('[aria-label^="Level of the map"]') == "90"
    tab.reload()
    tab.wait_for_selector(IMAGE)
    assert tab.input_value('[aria-label^="Level of the map"]') == "90", "kept in the browser"


def test_maps_can_be_peeked_at_or_off(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    press(tab, "?")
    tab.select_option(".rm-select", "peek")
    tab.keyboard.press("Escape")
    assert tab.evaluate(INK) == 0
    assert tab.inner_text(MAP) == "hold h to see the map"
    tab.keyboard.down("h")
    assert tab.evaluate(INK) > 0
    assert "evidence for" in tab.inner_text(MAP)
    tab.keyboard.up("h")
    assert tab.evaluate(INK) == 0
    press(tab, "1")
    press(tab, "1")
    press(tab, "?")
    tab.select_option(".rm-select", "off")
    press(tab, "h")
    assert tab.evaluate(INK) == 0
    press(tab, "1")
    saved(tab)
    told = [(event.overlay_visible, event.overlay_kind) for event in page_server.events()]
    assert told == [(True, "evidence"), (False, None), (False, None)], "a peek counts as seen"


def test_a_labelled_image_beside_this_one(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    tab.click(".rm-beside >> nth=1")
    tab.wait_for_function("raum.label.stage.beside !== null")
    assert tab.locator(IMAGE).count() == 2
    assert tab.inner_text(MAP) == "beside: labelled Ash; c next, Esc back"
    x, y = middle(tab)
    tab.mouse.move(x, y)
    tab.mouse.wheel(0, -500)
    tab.wait_for_function(f"{ZOOM}.k > 2")
    scales = tab.locator(".rm-view").evaluate_all("(views) => views.map((view) => view.style.transform)")
    assert scales[0] == scales[1] != "", "both are zoomed alike"
    press(tab, "c")
    tab.wait_for_function("raum.label.stage.beside.name === 'Birch'")
    press(tab, "Escape")
    assert tab.locator(IMAGE).count() == 1
    assert "evidence for" in tab.inner_text(MAP)
    press(tab, "c")
    tab.wait_for_function("raum.label.stage.beside !== null")
    before = tab.evaluate(SHOWN)
    press(tab, "2")
    saved(tab)
    assert said(page_server) == [("label", 2, None)], "digits go on answering"
    assert tab.evaluate(SHOWN) != before
    assert tab.locator(IMAGE).count() == 1


def test_evidence_is_marked_by_drag_click_and_keys(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server)
    box = tab.locator(IMAGE).bounding_box()

    def at(u: float, v: float) -> tuple[float, float]:
        return box["x"] + u * box["width"], box["y"] + v * box["height"]

    press(tab, "e")
    tab.mouse.move(*at(0.2, 0.3))
    tab.mouse.down()
    tab.mouse.move(*at(0.6, 0.7), steps=4)
    tab.mouse.up()
    assert tab.locator(".rm-region rect").count() == 1
    press(tab, "1")
    assert tab.locator(".rm-region rect").count() == 0, "the next image has none"
    box = tab.locator(IMAGE).bounding_box()
    press(tab, "e")
    tab.mouse.click(*at(0.5, 0.5))
    press(tab, "2", "e", "Escape", "3", "e", "ArrowRight", "Enter", "x", "e", "e", "s")
    saved(tab)
    found = [None if event.region is None else json.loads(event.region) for event in page_server.events()]
    drawn, clicked, left, keyed, taken = found
    assert [drawn[side] for side in "xywh"] == pytest.approx([0.2, 0.3, 0.4, 0.4], abs=0.01)
    assert clicked["x"] + clicked["w"] / 2 == pytest.approx(0.5, abs=0.01)
    assert left is None, "Esc ends without a mark"
    assert keyed == {"x": 0.425, "y": 0.375, "w": 0.25, "h": 0.25}
    assert taken is None
    for _ in range(5):
        press(tab, "z")
    corner = float(tab.locator(".rm-region rect").get_attribute("x"))
    assert corner == pytest.approx(0.2, abs=0.01), "an undo shows it again"


def test_evidence_is_shown_again_after_a_reload(page_server: Page, opened: Callable[..., Any]) -> None:
    tab = opened(page_server, width=420, height=860, has_touch=True)
    tab.tap(".rm-mark button")
    tab.touchscreen.tap(*middle(tab))
    press(tab, "1")
    saved(tab)
    assert page_server.events()[0].region is not None
    tab.reload()
    tab.wait_for_selector(IMAGE)
    press(tab, "z")
    tab.wait_for_selector(".rm-region rect", state="attached")
