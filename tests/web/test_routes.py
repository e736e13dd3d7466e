"""The page's requests over a real store: claims, answers, undo, pictures by id, the door, the surface's files."""

import io
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from store import database, images
from store.records import NewImage
from tests.web.conftest import Page


@pytest.fixture
def web(page_server: Page) -> Iterator[httpx.Client]:
    with page_server.client() as client:
        yield client


def claim(web: httpx.Client, count: int = 3, annotator: str = "me", client: str = "tab") -> list[dict[str, Any]]:
    answer = web.post("/api/v1/next", params={"count": count, "annotator": annotator, "client": client})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["images"]
    return found


def event(item: dict[str, Any], kind: str = "label", **fields: Any) -> dict[str, Any]:
    said = {
        "uuid": str(uuid.uuid4()),
        "image_id": item["image_id"],
        "lease": item["lease"],
        "annotator": "me",
        "kind": kind,
    }
    return {**said, **fields}


def test_claims_answers_and_undoes(web: httpx.Client) -> None:
    first, second = claim(web, 2)
    said = event(first, class_id=2, shown_ms=812, input_mode="key")
    saved = web.post("/api/v1/events", json=said).json()
    assert saved["saved"] is True
    assert web.post("/api/v1/events", json=said).json() == saved, "the same uuid is the same event"
    assert [item["image_id"] for item in claim(web, 1)] == [second["image_id"]], "what is answered is not asked again"
    undone = web.post("/api/v1/undo", json={"uuid": str(uuid.uuid4()), "annotator": "me", "client": "tab"}).json()
    assert undone["undone"] is True
    assert undone["item"]["image_id"] == first["image_id"]
    assert undone["item"]["previous"]["class_id"] == 2


def test_two_tabs_never_share_an_image(web: httpx.Client) -> None:
    here = {item["image_id"] for item in claim(web, 6, client="a")}
    there = {item["image_id"] for item in claim(web, 6, client="b")}
    assert len(here) == len(there) == 6
    assert not here & there


def test_a_reload_gets_its_own_images_back(web: httpx.Client) -> None:
    before = [item["image_id"] for item in claim(web, 4, client="a")]
    assert web.post("/api/v1/release", json={"annotator": "me", "client": "a"}).status_code == 200
    assert not set(before) & {item["image_id"] for item in claim(web, 4, client="b")}
    assert [item["image_id"] for item in claim(web, 4, client="a")] == before


def test_refusals_are_sentences(web: httpx.Client) -> None:
    item = claim(web, 1)[0]
    bad_kind = web.post("/api/v1/events", json=event(item, kind="guess"))
    assert bad_kind.status_code == 400
    assert "'guess'" in bad_kind.json()["error"]
    no_image = web.post("/api/v1/events", json=event({**item, "image_id": 999_999}, class_id=1))
    assert no_image.status_code == 404
    assert "999999" in no_image.json()["error"]
    not_json = web.post("/api/v1/events", content=b"{", headers={"content-type": "application/json"})
    assert not_json.status_code == 422
    assert not_json.json()["error"]


def test_commands_are_checked_before_the_worker_sees_them(web: httpx.Client, page_server: Page) -> None:
    missing = web.post("/api/v1/commands", json={"kind": "ingest", "payload": {"folder": "/nowhere/at/all"}})
    assert missing.status_code == 400
    assert "/nowhere/at/all" in missing.json()["error"]
    assert web.post("/api/v1/commands", json={"kind": "format_disk"}).status_code == 400
    folder = str(page_server.workspace / "pictures")
    asked = web.post(
        "/api/v1/commands", json={"kind": "ingest", "payload": {"folder": folder, "classes": [" Oak ", ""]}}
    )
    assert asked.json()["command_id"] == 1
    assert web.get("/api/v1/status").json()["ingest"]["phase"] == "waiting"


def test_classes_are_added_and_listed(web: httpx.Client) -> None:
    assert web.post("/api/v1/classes", json={"name": "Larch"}).json()["name"] == "Larch"
    assert web.post("/api/v1/classes", json={"name": "larch"}).status_code == 400
    assert [each["name"] for each in web.get("/api/v1/classes").json()["classes"]][-1] == "Larch"


def test_pictures_are_kept_for_ever_and_missing_ones_are_not(web: httpx.Client) -> None:
    item = claim(web, 1)[0]
    for address in (f"/image/{item['image_id']}", f"/thumb/{item['image_id']}", item["overlays"][0]["url"]):
        found = web.get(address)
        assert found.status_code == 200
        assert found.headers["cache-control"] == "private, max-age=31536000, immutable"
        assert found.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in found.headers["content-security-policy"]
        Image.open(io.BytesIO(found.content)).verify()
    assert max(Image.open(io.BytesIO(web.get(f"/thumb/{item['image_id']}").content)).size) <= 256
    missing = web.get("/overlay/99/1?kind=evidence")
    assert missing.status_code == 404
    assert "immutable" not in missing.headers.get("cache-control", "")
    assert web.get("/overlay/1/1?kind=../../raum.db").status_code == 400
    assert web.get("/image/4242").status_code == 404


def unfriendly(kind: str) -> tuple[Image.Image, dict[str, Any], tuple[int, int]]:
    """A picture that a browser cannot show as it is, how to save it, and the size that it should be shown at."""
    plain = Image.linear_gradient("L").resize((60, 40))
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "tiff": (plain, {"format": "TIFF"}, (60, 40)),
        "bmp": (plain, {"format": "BMP"}, (60, 40)),
        "cmyk": (plain.convert("CMYK"), {"format": "JPEG"}, (60, 40)),
        "turned": (plain, {"format": "JPEG", "exif": turned}, (40, 60)),
        "deep": (Image.fromarray(np.asarray(plain).astype(np.uint16) * 256), {"format": "PNG"}, (60, 40)),
        "huge": (plain.resize((3000, 2000)), {"format": "JPEG"}, (2048, 1365)),
    }[kind]


def test_what_a_browser_cannot_show_is_made_showable(web: httpx.Client, page_server: Page) -> None:
    for number, kind in enumerate(("tiff", "bmp", "cmyk", "turned", "deep", "huge")):
        picture, saving, size = unfriendly(kind)
        path = page_server.workspace / f"{kind}.img"
        picture.save(path, **saving)
        shown = web.get(f"/image/{added(page_server, path, number)}")
        assert shown.headers["content-type"] == "image/jpeg", kind
        opened = Image.open(io.BytesIO(shown.content))
        assert opened.size == size, kind
        assert opened.mode in ("RGB", "L"), kind
        low, high = opened.convert("L").getextrema()
        assert high - low > 200, f"{kind}: the gradient is still there"


def added(server: Page, path: Path, number: int) -> int:
    db = database.open(server.settings.database)
    with db.write() as tx:
        row = NewImage(path=str(path), digest=f"{number + 1000:064x}", width=1, height=1)
        (image_id,) = images.add_many(tx, [row])
    db.close()
    return image_id


def test_the_original_goes_out_unchanged_where_it_can(web: httpx.Client, page_server: Page) -> None:
    original = (page_server.workspace / "pictures" / "00.png").read_bytes()
    assert web.get("/image/1").content == original


def test_export_and_quarantine(web: httpx.Client, page_server: Page) -> None:
    item = claim(web, 1)[0]
    web.post("/api/v1/events", json=event(item, class_id=1))
    csv = web.get("/api/v1/export", params={"format": "csv"})
    assert "Ash" in csv.text
    assert "attachment" in csv.headers["content-disposition"]
    made = web.post("/api/v1/export").json()
    assert made["labelled"] == 1
    assert len(list((page_server.workspace / "exports").glob("imagefolder-*/Ash/*.png"))) == 1
    assert web.get("/api/v1/quarantine").json() == {"images": []}


def test_the_door_refuses_foreign_hosts_origins_and_closed_paths(web: httpx.Client) -> None:
    assert web.get("/api/v1/status", headers={"Host": "evil.example"}).status_code == 403
    foreign = web.post("/api/v1/commands", json={"kind": "train"}, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    own = web.post("/api/v1/commands", json={"kind": "train"}, headers={"Origin": str(web.base_url).rstrip("/")})
    assert own.status_code == 200
    for closed in ("/docs", "/openapi.json", "/gradio_api/info", "/monitoring", "/gradio_api/file=/etc/passwd"):
        assert web.get(closed).status_code == 404, closed
    assert web.post("/gradio_api/upload", files={"files": b"x"}).status_code == 404


def test_the_surface_comes_with_the_first_answer_and_may_be_kept(web: httpx.Client) -> None:
    page = web.get("/", headers={"Accept-Encoding": "br"}).text
    start = page.index('<script type="module" src="/surface/')
    address = page[start:].split('src="')[1].split('"')[0]
    assert start < page.index("</head>")
    assert "immutable" in web.get(address).headers["cache-control"]
    assert web.get("/surface/0/main.js").headers["cache-control"] == "no-store"
    assert web.get("/surface/0/../server.py").status_code == 404


def test_an_empty_workspace_serves(make_page: Callable[..., Page]) -> None:
    with make_page(empty=True).client() as web:
        assert web.get("/healthz").json() == {"ok": True}
        assert web.get("/api/v1/status").json()["images"] == 0
        assert claim(web) == []
        assert web.get("/api/v1/history").json() == {"rounds": [], "calibration": []}
