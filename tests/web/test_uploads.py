"""Images that are sent from the browser: chosen and dropped ones, refusals, half a file, and the list of near-duplicates."""

from collections.abc import Callable
from typing import Any

import httpx

from app import uploads
from store import commands, database
from tests.web.conftest import Page


def sent(server: Page) -> list[str]:
    place = server.settings.workspace / uploads.FOLDER
    return sorted(path.relative_to(place).as_posix().partition("/")[2] for path in place.rglob("*") if path.is_file())


def pending(server: Page) -> list[Any]:
    db = database.open(server.settings.database)
    with db.read() as tx:
        found = commands.pending(tx)
    db.close()
    return found


def test_a_file_is_kept_whole_under_a_safe_name_and_the_worker_is_asked_to_read(page_server: Page) -> None:
    with page_server.client() as client:
        upload = client.post("/api/v1/uploads", json={}).json()["upload"]
        big = bytes(range(256)) * 20_000
        for name, content in (("elm/1.png", b"one"), ("../../up.png", b"two"), ("big.jpg", big)):
            assert client.put(f"/api/v1/uploads/{upload}", params={"name": name}, content=content).status_code == 200
        for name in ("a.exe", "a", ""):
            answer = client.put(f"/api/v1/uploads/{upload}", params={"name": name}, content=b"x")
            assert answer.status_code == 400
            assert "neither an image" in answer.json()["error"]
        assert client.put("/api/v1/uploads/..", params={"name": "a.png"}, content=b"x").status_code in (400, 404, 405)
        assert client.put("/api/v1/uploads/x", params={"name": "a.png"}, content=b"x").status_code == 400
        done = client.post(f"/api/v1/uploads/{upload}/finish", json={"labels_from_folders": True, "classes": ["Elm"]})
        assert done.status_code == 200
    assert sent(page_server) == ["big.jpg", "elm/1.png", "up.png"]
    (asked,) = pending(page_server)
    assert asked.payload["labels_from_folders"] is True
    assert asked.payload["folder"].endswith(upload)
    assert (page_server.settings.workspace / "uploads" / upload / "big.jpg").read_bytes() == big


def test_half_a_file_leaves_nothing(page_server: Page) -> None:
    def halting() -> Any:
        yield bytes(2_000_000)
        raise httpx.WriteError("the line is cut")

    with page_server.client() as client:
        upload = client.post("/api/v1/uploads", json={}).json()["upload"]
        for _ in range(2):
            try:
                client.put(f"/api/v1/uploads/{upload}", params={"name": "a.png"}, content=halting())
            except httpx.HTTPError:
                continue
        client.get("/healthz")
    page_server.stop()
    assert sent(page_server) == []


def test_files_are_chosen_on_the_data_tab_and_what_is_no_image_is_told(
    page_server: Page, opened: Callable[..., Any]
) -> None:
    tab = opened(page_server, frame=True, width=400, height=800)
    tab.click("button[role=tab]:has-text('Data')")
    picture = {"name": "1.png", "mimeType": "image/png", "buffer": b"one"}
    text = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"two"}
    tab.locator(".up-drop:visible input[type=file][multiple]").set_input_files([picture, text])
    tab.wait_for_selector(":text('1 files sent, the worker reads them; 1 were no images')")
    assert sent(page_server) == ["1.png"]
    assert [each.kind for each in pending(page_server)] == ["ingest"]
    assert "look nearly the same" in tab.inner_text("[data-part=duplicates]")


def test_the_first_screen_takes_files_too(make_page: Callable[..., Page], opened: Callable[..., Any]) -> None:
    server = make_page(empty=True)
    tab = opened(server, wait=".up-drop")
    tab.locator(".up-drop:visible input[type=file][multiple]").set_input_files(
        [{"name": "birds.zip", "mimeType": "application/zip", "buffer": b"PK"}]
    )
    tab.wait_for_selector("[role=status]:has-text('waiting for the worker'), .up-drop :text('the worker reads them')")
    assert sent(server) == ["birds.zip"]
