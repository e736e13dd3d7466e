"""The page on a full disk, in a folder that may only be read, beside a busy writer, and with a clock that jumps."""

import os
import shutil
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from app import clock, settings
from store import database, workers
from store import errors as store_errors
from tests.web import browser
from tests.web.conftest import Page
from tests.web.test_routes import claim, event

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB; a test that needs it skips by name where none can be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    done = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if not done or done.returncode:
        pytest.skip("no small disk can be mounted here (that takes root): a full disk is not tried")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Write a file until the disk is full."""
    filler = folder / "filler"
    with open(filler, "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return filler
    raise AssertionError("the disk never became full")


def stored(page: Page) -> list[str]:
    return [each.uuid for each in page.events()]


def test_a_full_disk_is_told_in_a_sentence_and_loses_no_answer(small_disk: Path, template: Path) -> None:
    shutil.copytree(template, small_disk / "workspace", ignore=shutil.ignore_patterns("pictures", "thumbnails"))
    page = Page(small_disk / "workspace")
    try:
        with page.client() as web:
            items = claim(web, 12)
            kept = [event(item, class_id=1) for item in items]
            filler, acknowledged, refused = None, [], []
            for number, said in enumerate(kept):
                answer = web.post("/api/v1/events", json=said)
                if answer.status_code == 200:
                    acknowledged.append(said["uuid"])
                else:
                    refused.append(answer)
                filler = fill(small_disk) if number == 3 else filler
            assert len(acknowledged) >= 4
            assert {answer.status_code for answer in refused} == {507}, "what the browser sends again by itself"
            assert refused[0].json()["error"].startswith("the disk is full: free some space on it (")
            assert web.get("/api/v1/status").status_code == 200, "the page goes on showing"
            assert set(acknowledged) <= set(stored(page))
            assert filler is not None
            filler.unlink()
            for said in kept:
                assert web.post("/api/v1/events", json=said).json()["saved"], said
            assert sorted(stored(page)) == sorted(said["uuid"] for said in kept)
    finally:
        page.stop()


def test_the_worker_outlives_a_full_disk(
    small_disk: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app import worker

    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    working = worker.Worker(settings.load(small_disk, image_size=32, backbone="vmamba_nano"))
    filler = fill(small_disk)

    def refused() -> bool:
        raise RuntimeError("no room")

    for _ in range(200):  # the log of changes has a little room left
        assert working._guarded(refused) is False
        if "no sign of life could be written: the disk is full" in caplog.text:
            break
    else:
        pytest.fail("the disk took everything")
    filler.unlink()
    working._say("ready", "there is room again")
    with working.db.read() as tx:
        assert workers.get(tx, "worker").message == "there is room again"
    working.end()


def test_a_read_only_workspace_is_refused_in_a_sentence(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if os.geteuid():
        workspace = tmp_path / "closed"
        workspace.mkdir(mode=0o555)
    else:  # root may write wherever the disk itself does not forbid it
        workspace = request.getfixturevalue("small_disk")
        database.open(workspace / "raum.db").close()
        subprocess.run(["mount", "-o", "remount,ro", str(workspace)], check=True)
    for verb in ("serve", "page", "worker", "export"):
        command = [sys.executable, str(ROOT / "launch.py"), verb, "--workspace", str(workspace)]
        command += [str(tmp_path / "labels.csv")] if verb == "export" else []
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 2, verb
        assert done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith("error: nothing can be written in "), verb
    with pytest.raises(store_errors.CannotWrite):
        database.open(workspace / "raum.db")


def test_an_answer_that_waited_too_long_for_another_writer_is_sent_again_not_dropped(
    make_page: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_S", 0.1)
    page = make_page()
    with page.client() as web, closing(sqlite3.connect(page.settings.database, isolation_level=None)) as other:
        said = event(claim(web, 1)[0], class_id=1)
        other.execute("BEGIN IMMEDIATE")
        answer = web.post("/api/v1/events", json=said)
        assert answer.status_code == 503, "a 4xx would make the browser drop the answer"
        assert "another process has been writing" in answer.json()["error"]
        other.execute("ROLLBACK")
        assert web.post("/api/v1/events", json=said).json()["saved"]
    assert stored(page) == [said["uuid"]]


def test_the_page_shows_why_an_answer_waits(
    make_page: Callable[..., Page], opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_S", 0.1)
    page = make_page()
    tab = opened(page)
    with closing(sqlite3.connect(page.settings.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        browser.press(tab, "1")
        tab.wait_for_selector('.rm-saved[data-state="away"]')
        told = tab.inner_text(".rm-saved")
        assert told.startswith("another process has been writing")
        assert told.endswith("1 answer waits here")
        other.execute("ROLLBACK")
    browser.saved(tab)
    assert [kind for kind, _, _ in browser.said(page)] == ["label"]


@pytest.mark.parametrize("table", ["image_state", "label_events"])
def test_a_damaged_database_is_told_in_a_sentence_and_the_browser_keeps_the_answer(
    make_page: Callable[..., Page], table: str
) -> None:
    page = make_page()
    with page.client() as web:
        said = event(claim(web, 1)[0], class_id=1)
    page.stop()
    whole = page.settings.database.read_bytes()
    with closing(sqlite3.connect(page.settings.database)) as raw:
        [root] = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [table]).fetchone()
        [size] = raw.execute("PRAGMA page_size").fetchone()
    broken = whole[: (root - 1) * size] + b"\xff" * size + whole[root * size :]
    page.settings.database.write_bytes(broken)
    page.start()
    with page.client() as web:
        answer = web.post("/api/v1/events", json=said)
        assert answer.status_code == 503, "anything below 500 would make the browser drop the answer"
        assert "is damaged: end page and worker, then python launch.py restore" in answer.json()["error"]
    page.stop()
    page.settings.database.write_bytes(whole)
    page.start()
    with page.client() as web:
        assert web.post("/api/v1/events", json=said).json()["saved"]
    assert stored(page) == [said["uuid"]]


@pytest.mark.parametrize("jump", [3600.0, -3600.0], ids=["forward", "back"])
def test_a_clock_that_jumps_ends_no_lease_and_loses_no_answer(
    make_page: Callable[..., Page], monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    page = make_page()
    with page.client() as web:
        mine = claim(web, 4, client="mine")
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + jump)
        theirs = claim(web, 6, client="theirs")
        assert not {item["image_id"] for item in mine} & {item["image_id"] for item in theirs}, (
            "a lease was given twice"
        )
        assert renewed(web, "mine") == 4
        said = [event(item, class_id=1) for item in mine[:2]]
        for each in said:
            assert web.post("/api/v1/events", json=each).json()["saved"]
        undone = web.post("/api/v1/undo", json={"uuid": str(uuid.uuid4()), "annotator": "me", "client": "mine"}).json()
        assert undone["item"]["image_id"] == said[1]["image_id"]
        monkeypatch.setattr(time, "time", real)
        assert renewed(web, "mine") == 3
        assert renewed(web, "theirs") == 6
        assert not {i["image_id"] for i in claim(web, 3, client="mine")} & {item["image_id"] for item in theirs}
    assert stored(page)[:2] == [each["uuid"] for each in said]


def renewed(web: httpx.Client, client: str) -> int:
    return int(web.post("/api/v1/renew", json={"annotator": "me", "client": client}).json()["renewed"])


def test_leases_run_out_as_agreed_after_a_restart_with_the_clock_set_back(
    make_page: Callable[..., Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = make_page()
    with page.client() as web:
        claim(web, 2)
    page.stop()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3600)
    page.start()
    with database_of(page) as tx:
        [until] = {round(at) for (at,) in tx.exec_driver_sql("SELECT expires_at FROM leases")}
    found = page.server.config.app
    while not hasattr(found, "state"):  # inside the page's door
        found = found.app
    assert 0 < until - found.state.lease_clock() <= settings.Settings.lease_seconds + 1


def database_of(page: Page) -> Any:
    return database.open(page.settings.database).read()


def test_the_steady_clock_follows_the_hours_but_not_what_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    now, ticks = [1000.0], [5.0]
    monkeypatch.setattr(time, "time", lambda: now[0])
    monkeypatch.setattr(time, "monotonic", lambda: ticks[0])
    steady = clock.Steady()
    now[0], ticks[0] = 99_999.0, 15.0
    assert steady() == 1010.0
    assert clock.Steady(at_least=200_000.0)() == 200_000.0


@pytest.mark.parametrize("fault", ["deleted", "another file"])
def test_an_image_whose_file_is_gone_is_told_by_name_and_people_go_on(
    make_page: Callable[..., Page], tmp_path: Path, fault: str
) -> None:
    page = make_page()
    with page.client() as web:
        items = claim(web, 2)
        path = tmp_path / "its.png"
        if fault == "another file":
            path.write_bytes(b"no picture any more")
        with database.open(page.settings.database).write() as tx:
            tx.exec_driver_sql("UPDATE images SET path = ? WHERE id = ?", (str(path), items[0]["image_id"]))
        gone = web.get(f"/image/{items[0]['image_id']}")
        assert gone.status_code == 404
        assert "cannot be read from its.png" in gone.json()["error"]
        assert "immutable" not in gone.headers.get("cache-control", "")
        assert web.get(f"/image/{items[1]['image_id']}").status_code == 200
        said = event(items[0], kind="reject", reason="bad_image")
        assert web.post("/api/v1/events", json=said).json()["saved"]
        assert len(claim(web, 2)) == 2
