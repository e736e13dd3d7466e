"""The Browse tab in a real browser: filters, scrolling through thousands, selecting, acting on many and undoing it, the map."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app import browse_layout, predictions
from store import classes, database, images, queue
from store.records import NewImage, NewPublication
from tests.web.conftest import NAMES, Page

MANY = 3000
FIRST = ".bw-cell[aria-posinset='1']"
KINDS = 4


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of 3,000 images of four kinds that a model has looked at; every 50th is held out."""
    workspace = tmp_path_factory.mktemp("many") / "workspace"
    db = database.open(workspace / "raum.db")
    rows = [_row(workspace / f"pool/kind{i % KINDS}/{i:05d}.jpg", i) for i in range(MANY)]
    with db.write() as tx:
        ids = np.array(images.add_many(tx, rows), np.int64)
        made = [classes.add(tx, name, 1.0).id for name in NAMES]
        new = NewPublication(
            kind="refresh", watermark=0, created_at=1.0, calibrated=True, embeddings="embeddings/start"
        )
        number = queue.publish(tx, new, [])
    db.close()
    _draw(workspace, ids, rows)
    rng, kinds = np.random.default_rng(0), np.arange(MANY) % KINDS
    place = workspace / "embeddings" / "start"
    place.mkdir(parents=True)
    np.save(place / "image_ids.npy", ids)
    embeddings = 4 * rng.standard_normal((KINDS, 8))[kinds] + 0.3 * rng.standard_normal((MANY, 8))
    np.save(place / "embeddings.npy", embeddings.astype(np.float16))
    (place / "meta.json").write_text("{}")
    browse_layout.write(place, workspace / "cache" / "map" / "start")
    sure = (0.4 + 0.5 * np.arange(MANY) / MANY).astype(np.float32)
    meta = {"class_ids": made, "checkpoint": None}
    found = predictions.Predictions(ids, np.array(made, np.int32)[kinds], sure, np.zeros(MANY, np.float32), meta)
    predictions.write(workspace, number, found)
    return workspace


def _row(path: Path, number: int) -> NewImage:
    return NewImage(path=str(path), digest=f"{number:064x}", width=48, height=48, holdout=int(number % 50 == 7))


def _draw(workspace: Path, ids: Any, rows: list[NewImage]) -> None:
    """One small picture of each kind; every image and thumbnail is a link to one of them."""
    for number in range(KINDS):
        Image.new("RGB", (48, 48), (60 * number, 200 - 40 * number, 90)).save(workspace / f"{number}.jpg")
    for i, (image_id, row) in enumerate(zip(ids, rows, strict=True)):
        for target in (Path(row.path), workspace / "thumbnails" / str(image_id // 1000) / f"{image_id}.jpg"):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(workspace / f"{i % KINDS}.jpg", target)


@pytest.fixture
def many(prepared: Path, tmp_path: Path) -> Any:
    """A served page over a copy of it; the pictures stay where they are."""
    workspace = tmp_path / "workspace"
    shutil.copytree(prepared, workspace, ignore=shutil.ignore_patterns("pool", "thumbnails", "*.jpg"))
    (workspace / "thumbnails").symlink_to(prepared / "thumbnails", target_is_directory=True)
    served = Page(workspace)
    yield served
    served.stop()


@pytest.fixture
def browse(many: Page, opened: Callable[..., Any]) -> Any:
    return _open(many, opened)


def _open(served: Page, opened: Callable[..., Any], **options: Any) -> Any:
    tab = opened(served, frame=True, **options)
    tab.click("button[role=tab]:has-text('Browse')")
    tab.wait_for_selector(".bw-cell img[src]")
    return tab


def _total(tab: Any, text: str) -> None:
    tab.wait_for_function(f"document.querySelector('.bw-total').textContent.startsWith('{text}')")


def _said(tab: Any, text: str) -> None:
    tab.wait_for_function(f"document.querySelector('.bw-status .rm-said').textContent.startsWith('{text}')")


def _settled(served: Page) -> dict[int, tuple[str, int | None]]:
    gone = {event.target_seq for event in served.events()}
    standing = [event for event in served.events() if event.kind in ("label", "reject") and event.seq not in gone]
    return {event.image_id: (event.kind, event.class_id) for event in standing}


def test_thousands_scroll_with_few_cells_and_any_place_is_reached(browse: Any) -> None:
    tab = browse
    _total(tab, "3,000 images")
    assert tab.locator(".bw-cell").count() < 120
    assert "02999.jpg, open, model says Elm 90 %" in tab.get_attribute(FIRST, "aria-label")
    tab.evaluate("document.querySelector('.bw-grid').scrollTop = 1e9")
    tab.wait_for_selector(f".bw-cell[aria-posinset='{MANY}'] img[src='/thumb/1']")
    assert tab.locator(".bw-cell").count() < 120
    tab.focus(".bw-grid")
    tab.keyboard.press("Home")
    tab.wait_for_selector(f"{FIRST} img[src='/thumb/{MANY}']")
    tab.keyboard.press("End")
    tab.wait_for_selector(f".bw-cell[aria-posinset='{MANY}'] img[src]")
    assert tab.get_attribute(".bw-grid", "aria-activedescendant") == f"bw-{MANY - 1}"


def test_pictures_that_were_scrolled_past_are_not_fetched(browse: Any) -> None:
    tab = browse
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    tab.evaluate("""async () => {
        const grid = document.querySelector('.bw-grid');
        for (let step = 1; step <= 20; step += 1) {
            grid.scrollTop = (step * grid.scrollHeight) / 20;
            await new Promise(requestAnimationFrame);
        }
    }""")
    tab.wait_for_selector(f".bw-cell[aria-posinset='{MANY}'] img[src]")
    pages = [url for url in asked if "/api/v1/browse?" in url]
    pictures = [url for url in asked if "/thumb/" in url]
    assert 1 <= len(pages) <= 15, "of 30: a page that is only passed is not asked for"
    assert len(pictures) < MANY / 3


def test_a_resized_grid_keeps_its_cells_and_pictures_and_only_moves_them(browse: Any) -> None:
    tab = browse
    for top in (0, 4000):
        tab.evaluate("(top) => { document.querySelector('.bw-grid').scrollTop = top; }", top)
        tab.wait_for_function("""() => { const seen = [...document.querySelectorAll('.bw-cell img')];
            return document.elementFromPoint(300, 360).closest('.bw-cell')
                && seen.every((each) => each.complete && each.naturalWidth); }""")
        tab.wait_for_timeout(100)  # the load event of the last picture comes a moment later
        columns, before = tab.evaluate("""() => {
            const cells = [...document.querySelectorAll('.bw-cell')];
            window.kept = new Map(cells.map((cell) => [cell.id, cell.querySelector('img')]));
            window.loaded = new Set();
            for (const picture of window.kept.values()) picture.addEventListener('load', () => window.loaded.add(picture));
            return [new Set(cells.map((cell) => cell.getBoundingClientRect().x)).size, cells.length];
        }""")
        tab.set_viewport_size({"width": 900 if columns > 6 else 1280, "height": 720})
        count = "new Set([...document.querySelectorAll('.bw-cell')].map((cell) => cell.getBoundingClientRect().x)).size"
        tab.wait_for_function(f"{count} !== {columns}")
        there, same, loaded = tab.evaluate("""() => {
            const there = [...document.querySelectorAll('.bw-cell')].filter((cell) => window.kept.has(cell.id));
            const same = there.filter((cell) => window.kept.get(cell.id) === cell.querySelector('img'));
            return [there.length, same.length, same.filter((cell) => window.loaded.has(window.kept.get(cell.id))).length];
        }""")
        assert there == same >= before / 2
        assert loaded == 0, "no picture was taken off and loaded again"


def test_filters_and_orders(browse: Any) -> None:
    tab = browse
    tab.keyboard.press("/")
    tab.keyboard.type("0123")
    _total(tab, "11 images")
    tab.click(".bw-clear:has-text('show everything')")
    _total(tab, "3,000 images")
    tab.click(".bw-more summary")
    tab.select_option("[data-filter=suggested]", label="Birch (720)")
    _total(tab, "720 images")
    tab.fill("[data-filter=low]", "85")
    tab.keyboard.press("Tab")
    _total(tab, "72 images")
    tab.select_option("[data-filter=order]", "unsure")
    tab.wait_for_function(f"document.querySelector(\"{FIRST}\").getAttribute('aria-label').includes('Birch 85 %')")
    tab.select_option("[data-filter=state]", "labelled")
    tab.wait_for_selector(".bw-empty:has-text('No image is like that')")
    tab.click(".bw-clear:has-text('show everything')")
    tab.select_option("[data-filter=state]", "holdout")
    _total(tab, "60 images")
    assert "model says" not in tab.get_attribute(FIRST, "aria-label")
    assert "held out" in tab.get_attribute(FIRST, "aria-label")


def test_many_are_labelled_by_keys_and_one_undo_takes_it_back_also_after_a_reload(
    browse: Any, many: Page, opened: Callable[..., Any]
) -> None:
    tab = browse
    tab.focus(".bw-grid")
    tab.keyboard.press("ArrowRight")
    for _ in range(3):
        tab.keyboard.press("Shift+ArrowRight")
    tab.keyboard.press("Shift+ArrowDown")
    columns = tab.evaluate("""() => { const y = (i) => document.getElementById(`bw-${i}`).getBoundingClientRect().y;
        let n = 1; while (y(n) === y(0)) n += 1; return n; }""")
    chosen = 4 + columns
    assert tab.inner_text(".bw-status .bw-count") == f"{chosen} selected"
    tab.keyboard.press("l")
    tab.keyboard.type("ced")
    tab.keyboard.press("Enter")
    _said(tab, f"{chosen} images labelled Cedar")
    assert _settled(many) == {MANY - 1 - i: ("label", 3) for i in range(chosen)}
    first = many.events()[0]
    assert (first.input_mode, first.queue_reason, first.suggestion_visible) == ("bulk", "browse", True)
    tab.wait_for_selector(".bw-cell[aria-posinset='2'][data-state='labelled'] .bw-sign:has-text('✓')")
    tab.reload()
    tab.wait_for_selector(".raum-slot .raum")
    tab.click("button[role=tab]:has-text('Browse')")
    tab.wait_for_selector(".bw-cell[data-state='labelled']")
    tab.focus(".bw-grid")
    tab.keyboard.press("z")
    _said(tab, f"undone: {chosen} images labelled Cedar")
    assert _settled(many) == {}
    tab.wait_for_selector(".bw-cell[aria-posinset='2'][data-state='open']")
    tab.keyboard.press("z")
    _said(tab, "nothing left to undo here")


def test_click_shift_click_drag_and_reject_leaves_the_holdout_alone(browse: Any, many: Page) -> None:
    tab = browse
    cells = tab.locator(".bw-cell")
    cells.nth(1).click()
    assert tab.inner_text(".bw-status .bw-count") == "1 selected"
    cells.nth(4).click(modifiers=["Shift"])
    assert tab.inner_text(".bw-status .bw-count") == "4 selected"
    cells.nth(2).click(modifiers=["Control"])
    assert tab.inner_text(".bw-status .bw-count") == "3 selected"
    a, b = cells.nth(0).bounding_box(), cells.nth(2).bounding_box()
    tab.mouse.move(a["x"] + 40, a["y"] + 40)
    tab.mouse.down()
    tab.mouse.move(b["x"] + 60, b["y"] + 80, steps=6)
    tab.mouse.up()
    assert tab.inner_text(".bw-status .bw-count") == "3 selected"
    assert [cells.nth(i).get_attribute("aria-selected") for i in range(4)] == ["true", "true", "true", "false"]
    tab.keyboard.press("Escape")
    tab.select_option("[data-filter=state]", "holdout")
    _total(tab, "60 images")
    tab.locator(FIRST).click()
    tab.keyboard.press("x")
    _said(tab, "0 images rejected; 1 left alone (kept for blind")
    assert many.events() == []
    tab.keyboard.press("f")
    _said(tab, "1 image flagged")
    tab.wait_for_selector(f"{FIRST} .bw-extra:has-text('⚑')")


def test_all_means_a_thousand_and_is_said_so(browse: Any, many: Page) -> None:
    tab = browse
    tab.focus(".bw-grid")
    tab.keyboard.press("a")
    tab.wait_for_function("document.querySelector('.bw-status .bw-count').textContent === '1,000 selected'")
    _said(tab, "1,000 images are selected, the most for one action")
    tab.keyboard.press("x")
    _said(tab, "980 images rejected; 20 left alone")
    assert len(many.events()) == 980
    tab.keyboard.press("z")
    _said(tab, "undone: 980 images rejected")
    assert _settled(many) == {}


def test_one_image_large_tells_its_history_and_like_this_one_finds_its_kind(browse: Any, many: Page) -> None:
    tab = browse
    tab.locator(FIRST).click()
    tab.keyboard.press("f")
    _said(tab, "1 image flagged")
    tab.keyboard.press("Enter")
    tab.wait_for_selector(".bw-history li:has-text('flagged')")
    assert "Elm 90 %" in tab.inner_text(".bw-about dl")
    tab.keyboard.press("ArrowRight")
    tab.wait_for_selector(".bw-history .bw-none")
    assert tab.inner_text(".bw-about h2") == "02998.jpg"
    tab.keyboard.press("n")
    tab.wait_for_selector(".bw-chip:has-text('most like image')")
    tab.wait_for_selector(f"{FIRST} img[src='/thumb/{MANY - 1}']")
    assert not tab.is_visible(".bw-large")
    names = tab.eval_on_selector_all(
        ".bw-cell[aria-posinset]", "cells => cells.map((cell) => cell.getAttribute('aria-label'))"
    )
    assert len(names) > 20
    assert all("Cedar" in name for name in names), "the nearest images are of its own kind"
    tab.click(".bw-chip")
    _total(tab, "3,000 images")


def test_a_lasso_by_mouse_or_keys_filters_the_grid(browse: Any) -> None:
    tab = browse
    tab.keyboard.press("m")
    tab.wait_for_selector(
        ".bw-map-said:has-text('2,940 images')",
    )
    box = tab.locator(".bw-canvas canvas").bounding_box()
    painted = """() => { const c = document.querySelector('.bw-canvas canvas');
        return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.filter((v, i) => i % 4 === 3 && v > 20).length; }"""
    assert tab.evaluate(painted) > 500
    tab.mouse.move(box["x"] + 2, box["y"] + 2)
    tab.mouse.down()
    for x, y in ((0.5, 0.01), (0.99, 0.01), (0.99, 0.5), (0.5, 0.5), (0.01, 0.5)):
        tab.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
    tab.mouse.up()
    tab.wait_for_selector(".bw-chip:has-text('inside the lasso')")
    tab.wait_for_function(
        "/^[1-9]/.test((t = document.querySelector('.bw-total').textContent)) && !t.startsWith('3,000')"
    )
    found = int(tab.inner_text(".bw-total").split()[0].replace(",", ""))
    assert 0 < found < 2940
    tab.click(".bw-chip")
    _total(tab, "3,000 images")
    tab.focus(".bw-canvas canvas")
    for _ in range(12):
        tab.keyboard.press("+")
    tab.keyboard.press("Enter")
    _total(tab, "2,940 images")


def test_the_tab_works_on_a_phone_by_touch(many: Page, opened: Callable[..., Any]) -> None:
    tab = _open(many, opened, width=360, height=740, has_touch=True)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360
    for place in (1, 2):
        tab.wait_for_timeout(600)  # elements are used again for other images until the grid has its size
        tab.tap(f".bw-cell[aria-posinset='{place}']")
        tab.wait_for_function(f"document.querySelector('.bw-status .bw-count').textContent === '{place} selected'")
    tab.tap('.bw-status [data-action="reject"]')
    _said(tab, "2 images rejected")
    assert _settled(many) == {MANY: ("reject", None), MANY - 1: ("reject", None)}


def test_a_million_rows_are_scrolled_evenly_where_no_browser_could(browse: Any) -> None:
    """The grid alone, over more rows than any browser scrolls: small steps are small, the end is the last image."""
    told = browse.evaluate("""async () => {
        const { Grid } = await import(document.querySelector('link[href*="browse_grid.js"]').href);
        const place = document.createElement('div');
        place.style.cssText = 'position:fixed;inset:0;width:800px;height:600px;overflow:auto;z-index:99';
        document.body.append(place);
        const seen = new Set();
        const grid = new Grid(place, { dress: (cell, i) => { seen.add(i); cell.textContent = i; }, need: () => {} });
        await new Promise((done) => setTimeout(done, 50));
        grid.set(1000000);
        const height = place.scrollHeight;
        const cells = () => [...place.querySelectorAll('.bw-cell')];
        const at = () => { const y = (c) => c.getBoundingClientRect().y;
            return Math.min(...cells().filter((c) => y(c) >= 0 && y(c) < 600).map((c) => Number(c.textContent))); };
        const rest = () => new Promise((done) => setTimeout(done, 200));
        grid.reveal(500000); await rest();
        const middle = at();
        const before = grid.top;
        place.scrollTop += 100; await rest();
        const step = grid.top - before;
        place.scrollTop = 1e9; await rest();
        const last = Math.max(...cells().map((c) => Number(c.textContent)));
        place.remove();
        return { height, middle, step, last, columns: grid.columns };
    }""")
    assert told["height"] <= 6_000_001
    assert 0 <= 500_000 - told["middle"] <= 6 * told["columns"]
    assert told["step"] == pytest.approx(100, abs=1)
    assert told["last"] == 999_999


def test_what_is_malformed_is_refused_with_a_sentence(many: Page) -> None:
    with many.client() as client:
        for query in (
            "like=99999999999999999999", "like=-1", "start=-1", "count=0", "low=nan", "low=2", "lasso=1,2", "lasso=a,b,c,d,e,f",
            "lasso=0,0,5000,0,0,9", "state=%00", "order=best", "said=x", "text=" + "a" * 300, "like=777777",
        ):  # fmt: skip
            answer = client.get(f"/api/v1/browse?annotator=me&{query}")
            assert 400 <= answer.status_code < 500, query
            assert answer.json()["error"], query
        assert client.get("/api/v1/browse/image/999999?annotator=me").status_code == 404
        for path, body in (
            ("act", {}), ("undo", {"annotator": "me"}),
            ("act", {"uuid": "x", "annotator": "me", "action": "flag", "image_ids": [1]}),
        ):  # fmt: skip
            assert client.post(f"/api/v1/browse/{path}", json=body).status_code == 400, body
        assert client.get("/api/v1/browse?annotator=me&lasso=0,0,9,0,9,9").json()["total"] >= 0
    assert many.events() == []
