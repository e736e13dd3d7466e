"""The attention's own maps on the page: one key goes through all, a frame is drawn, a piece enlarged, cells greyed out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from store import database, queue
from store.records import NewPublication, QueueRow
from tests.web.browser import IMAGE, press, saved
from tests.web.conftest import Page, draw_map

MAP = '[data-part="map"]'
BOX = [0.5, 0.25, 0.9, 0.75]
OWN = {
    "sam": {},
    "zoom": {"box": BOX, "votes": [[1, 0.48], [2, 0.71]]},
    "first": {"class_id": 2},
    "rest": {"class_id": 2, "erased": True, "votes": [[2, 0.6], [3, 0.5]]},
    "fused": {"class_id": 2, "box": BOX},
}
# (x, y, width, height in shares of the picture) -> mean of each channel of what is painted there
PAINTED = """([x, y, w, h]) => { const c = document.querySelector('.rm-frame canvas');
    const box = [x * c.width, y * c.height, Math.max(1, w * c.width), Math.max(1, h * c.height)];
    const d = c.getContext('2d').getImageData(...box).data;
    const sum = [0, 0, 0, 0]; for (let i = 0; i < d.length; i++) sum[i % 4] += d[i] / (d.length / 4); return sum; }"""


@pytest.fixture
def looked(make_page: Callable[..., Page]) -> Page:
    """A page whose queue has every kind of map."""
    server = make_page()
    workspace = Path(server.settings.workspace)
    db = database.open(server.settings.database)
    with db.write() as tx:
        before = queue.head(tx, queue.current(tx).id)  # type: ignore[union-attr]
        rows = [
            QueueRow(**vars(row) | {"overlays": [*row.overlays, *OWN], "beside": {k: v for k, v in OWN.items() if v}})
            for row in before
        ]
        new = NewPublication(kind="refresh", watermark=0, created_at=2.0, calibrated=True, pool_size=24)
        published = queue.publish(tx, new, rows)
    db.close()
    for at, row in enumerate(rows):
        for kind in row.overlays:
            file = workspace / "overlays" / str(published) / f"{row.image_id}-{kind}.png"
            draw_map(file, at)
            if kind == "rest":
                grey = Image.open(file).convert("L")
                erased = Image.new("L", grey.size)
                erased.paste(255, (0, 0, 3, 3))
                Image.merge("RGB", (grey, erased, Image.new("L", grey.size))).save(file)
    return server


def test_one_key_goes_through_every_kind_then_off(looked: Page, opened: Callable[..., Any]) -> None:
    tab = opened(looked)
    captions = []
    for _ in range(9):
        captions.append(tab.inner_text(MAP))
        press(tab, "o")
    assert [each.split(",")[0] for each in captions] == [
        "where the evidence for Ash lies",
        "what speaks for Ash rather than Birch",
        "where the network learnt to look",
        "where the network looks again",
        "the network's first evidence for Birch",
        "what else speaks for Birch",
        "all that speaks for Birch",
        "map hidden (h shows it)",
        "where the evidence for Ash lies",
    ]
    press(tab, "o", "1")
    saved(tab)
    assert looked.events()[0].overlay_kind == "sam", "what was looked at is kept with the answer"


def test_a_zoom_shows_its_frame_and_the_piece_beside_with_every_look(looked: Page, opened: Callable[..., Any]) -> None:
    tab = opened(looked)
    press(tab, "o", "o", "o")
    assert tab.evaluate(PAINTED, [0.6, 0.4, 0.2, 0.2])[3] == 0, "nothing covers what is in the frame"
    assert tab.evaluate(PAINTED, [0.5, 0.4, 0.005, 0.2])[3] > 60, "its edge is drawn"
    piece = tab.locator(".rm-crop canvas")
    assert piece.get_attribute("role") == "img"
    assert "enlarged" in piece.get_attribute("aria-label")
    assert tab.locator(".rm-crop span").all_inner_texts() == ["whole Ash 48 %", "zoom Birch 71 %"]
    size = tab.evaluate("(c => [c.width, c.height])(document.querySelector('.rm-crop canvas'))")
    natural = tab.evaluate("(i => [i.naturalWidth, i.naturalHeight])(document.querySelector('.rm-frame img'))")
    wanted = (BOX[2] - BOX[0]) * natural[0] / ((BOX[3] - BOX[1]) * natural[1])
    assert size[0] / size[1] == pytest.approx(wanted, rel=0.02)
    image, panel = tab.locator(IMAGE).bounding_box(), piece.bounding_box()
    assert panel["x"] >= image["x"] + image["width"], "beside the image, not over it"
    assert panel["height"] > 60
    assert tab.locator(".rm-near img").first.bounding_box()["height"] > 20, "the neighbours stay in sight"
    press(tab, "o")
    assert tab.locator(".rm-crop").count() == 0


def test_what_was_erased_is_greyed_out_under_the_second_map(looked: Page, opened: Callable[..., Any]) -> None:
    tab = opened(looked)
    press(tab, *"ooooo")
    red, green, blue, cover = tab.evaluate(PAINTED, [0.02, 0.02, 0.1, 0.1])
    assert cover > 200
    assert max(red, green, blue) - min(red, green, blue) < 30, "grey"
    assert tab.evaluate(PAINTED, [0.9, 0.9, 0.05, 0.05])[3] == 0, "only there"
    assert tab.locator(".rm-crop span").all_inner_texts() == ["whole Birch 60 %", "rest Cedar 50 %"]
    assert tab.locator(".rm-crop canvas").count() == 0
    press(tab, "o")
    assert tab.evaluate(PAINTED, [0.02, 0.02, 0.1, 0.1])[3] == 0
    assert tab.evaluate(PAINTED, [0.5, 0.4, 0.005, 0.2])[3] > 60, "the fused map has its frame"


def test_a_blind_image_has_neither_map_nor_piece(looked: Page, opened: Callable[..., Any]) -> None:
    tab = opened(looked)
    press(tab, *"ooo", *"11111")
    assert "asked blind" in tab.inner_text(".rm-note")
    assert tab.locator(".rm-crop").count() == 0
    assert "Ash" not in tab.inner_text(MAP)
