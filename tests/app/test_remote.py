"""Images at addresses: listed, fetched once, kept within bounds, fetched again; what goes wrong is told with the mend."""

from __future__ import annotations

import functools
import http.server
import importlib
import io
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app import errors, ingest, ingest_scenes, jobs, pictures, remote, settings, verifying
from app.exchange import imagefolder
from app.web import display
from model.data import pixels
from store import annotators, classes, database, images, labels, records
from store.database import Database
from tests import camera
from tests.app.conftest import S3_KEYS

ROOT = Path(__file__).resolve().parents[2]
NOW = 1_700_000_000.0
PLACE = "memory://bucket/season"


@pytest.fixture
def db(tmp_path: Path, template: Path) -> Iterator[Database]:
    (tmp_path / "w").mkdir()
    shutil.copy(template, tmp_path / "w" / "raum.db")
    opened = database.open(tmp_path / "w" / "raum.db")
    yield opened
    opened.close()


def drawn(seed: int) -> bytes:
    made = io.BytesIO()
    cells = np.random.default_rng(seed).integers(0, 255, (8, 12, 3), dtype=np.uint8)
    Image.fromarray(cells).resize((96, 64), Image.Resampling.BICUBIC).save(made, "JPEG", quality=95)
    return made.getvalue()


def fill(fs: Any, count: int = 6, place: str = "/bucket/season") -> None:
    for number in range(count):
        fs.pipe(f"{place}/{'ab'[number % 2]}/{number}.jpg", drawn(number))


def take_in(db: Database, address: str = PLACE, **options: Any) -> ingest.IngestReport:
    assert db.path is not None
    return ingest.ingest(db, address, workspace=db.path.parent, now=NOW, **options)


def stored(db: Database) -> dict[str, records.Image]:
    with db.read() as tx:
        return {image.path: image for image in images.all_ok(tx)}


# --- in memory


def test_images_are_listed_read_and_named_by_their_address(db: Database, memory: Any) -> None:
    fill(memory)
    memory.pipe("/bucket/season/a/.hidden.jpg", drawn(90))
    memory.pipe("/bucket/season/notes.txt", b"text")
    memory.pipe("/bucket/other/9.jpg", drawn(9))
    memory.pipe("/bucket/season/a/broken.jpg", b"no picture")
    report = take_in(db, f"{PLACE}/")
    assert (report.added, report.quarantined, report.classes) == (6, 1, ["a", "b"])
    assert set(stored(db)) == {f"{PLACE}/{'ab'[number % 2]}/{number}.jpg" for number in range(6)}
    again = take_in(db)
    assert (again.added, again.known, again.changed) == (0, 7, [])


def test_a_file_is_fetched_once_and_again_when_it_is_gone(db: Database, memory: Any) -> None:
    fill(memory)
    take_in(db)
    assert db.path is not None
    workspace = db.path.parent
    path, image = next(iter(stored(db).items()))
    told = memory.store.pop(path.removeprefix("memory:/"))
    assert pixels.decode(pictures.source(image, workspace)).shape == (64, 96, 3), "from the cache"
    kept = remote.cache(workspace).path(path)
    kept.unlink()
    with pytest.raises(Exception, match="cannot fetch memory://bucket/season"):
        pixels.decode(pictures.source(image, workspace))
    with pytest.raises(errors.NotFound, match="there is nothing there"):
        display.picture(workspace, image)
    memory.store[path.removeprefix("memory:/")] = told
    assert display.picture(workspace, image) == (kept, "image/jpeg")
    assert kept.is_file()


def test_a_changed_file_is_told_and_verify_compares_what_it_has(db: Database, memory: Any) -> None:
    fill(memory)
    take_in(db)
    assert db.path is not None
    chosen = settings.load(db.path.parent)
    assert list(verifying.verify(chosen)) == []
    memory.pipe("/bucket/season/a/0.jpg", drawn(50))
    assert list(verifying.verify(chosen)) == [], "what was fetched is whole"
    (finding,) = verifying.verify(chosen, every_byte=True)
    assert (finding.kind, finding.what) == ("changed image", f"{PLACE}/a/0.jpg")
    assert take_in(db).changed == [f"{PLACE}/a/0.jpg"]
    memory.rm("/bucket/season/b/1.jpg")
    found = sorted(each.kind for each in verifying.verify(chosen, every_byte=True))
    assert found == ["changed image", "missing image"]


def test_the_cache_keeps_within_its_bounds(tmp_path: Path, memory: Any) -> None:
    for number in range(20):
        memory.pipe(f"/c/{number}.jpg", bytes(1000))
    kept = remote.Cache(tmp_path, most=10_000, young_s=0.0)
    for number in range(20):
        os.utime(kept.fetch(f"memory://c/{number}.jpg"), (number, number))
        if number > 4:
            os.utime(kept.path("memory://c/0.jpg"), (1000 + number,) * 2)  # as if somebody looked at it all the time
    sizes = [path.stat().st_size for path in tmp_path.glob("??/*")]
    assert 5_000 <= sum(sizes) <= 10_000
    assert kept.path("memory://c/19.jpg").is_file()
    assert kept.path("memory://c/0.jpg").is_file(), "what is used stays"
    assert not kept.path("memory://c/3.jpg").is_file()
    lately = remote.Cache(tmp_path / "b", most=2_000)
    for number in range(5):
        lately.fetch(f"memory://c/{number}.jpg")
    assert len(list((tmp_path / "b").glob("??/*"))) == 5, "nothing goes that was used a moment ago"


def test_many_who_want_one_file_fetch_it_once(tmp_path: Path, memory: Any) -> None:
    memory.pipe("/c/a.jpg", bytes(1000))
    kept = remote.Cache(tmp_path, most=10**9)
    with remote.ahead(kept) as soon:
        for _ in range(20):
            soon("memory://c/a.jpg")
        kept.fetch("memory://c/a.jpg")
        memory.rm("/c/a.jpg")
    assert [path.name[:1] != "." for path in tmp_path.glob("??/*")] == [True]


def test_boxes_at_an_address_are_cut_there_too(db: Database, memory: Any, tmp_path: Path) -> None:
    folder = camera.season(tmp_path / "photos")
    for path in folder.rglob("*.JPG"):
        memory.pipe(f"/traps/{path.relative_to(folder)}", path.read_bytes())
    asked = ingest_scenes.Asked(str(camera.detected(tmp_path / "d.json")))
    report = take_in(db, "memory://traps", boxes=asked)
    assert (report.added, report.empty, report.missing) == (camera.ANIMALS, 2, [])
    image = stored(db)["memory://traps/cam b/IMG_0001.JPG#xywh=150,20,40,120"]
    assert db.path is not None
    whole = pixels.decode(folder / "cam b/IMG_0001.JPG")
    assert (pixels.decode(pictures.source(image, db.path.parent)) == whole[8:152, 138:202]).all()
    assert take_in(db, "memory://traps").known == camera.ANIMALS


def test_bursts_at_an_address_stay_together(db: Database, memory: Any, tmp_path: Path) -> None:
    taken = {f"cam a/IMG_000{number}.JPG": f"2026:03:01 05:00:0{number}" for number in (1, 2)}
    folder = camera.season(tmp_path / "photos", taken=taken)
    for path in folder.rglob("*.JPG"):
        memory.pipe(f"/traps/{path.relative_to(folder)}", path.read_bytes())
    take_in(db, "memory://traps")
    groups = {Path(path).name: image.group_id for path, image in stored(db).items() if "cam a" in path}
    assert groups["IMG_0001.JPG"] == groups["IMG_0002.JPG"] != groups["IMG_0003.JPG"]


def test_an_image_that_cannot_be_fetched_comes_in_the_next_time(db: Database, memory: Any) -> None:
    fill(memory)
    listed = remote.walk(PLACE)
    assert len(listed.files) == 6
    gone = memory.store.pop("/bucket/season/a/0.jpg")
    walk = remote.walk
    try:
        remote.walk = lambda *_, **__: listed  # type: ignore[assignment]  # it went between the listing and the fetching
        report = take_in(db)
    finally:
        remote.walk = walk
    assert (report.added, report.quarantined) == (5, 0)
    assert "cannot fetch memory://bucket/season/a/0.jpg" in report.unfetched[0]
    memory.store["/bucket/season/a/0.jpg"] = gone
    assert take_in(db).added == 1


def test_an_archive_at_an_address_is_taken_out_in_the_workspace(tmp_path: Path, template: Path, memory: Any) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(3):
            archive.writestr(f"x/{number}.jpg", drawn(number))
    memory.pipe("/bucket/photos.zip", packed.getvalue())
    workspace = tmp_path / "w"
    workspace.mkdir()
    shutil.copy(template, workspace / "raum.db")
    jobs.ingest(
        workspace, "memory://bucket/photos.zip", classes_file=None, labels_from_folders=False, demo=False, child=False
    )
    assert sorted(path.name for path in (workspace / "uploads").rglob("*")) == [
        "0.jpg",
        "1.jpg",
        "2.jpg",
        "photos",
        "x",
    ]


def test_exported_files_are_fetched(db: Database, memory: Any, tmp_path: Path) -> None:
    fill(memory)
    take_in(db, class_names=["Owl"])
    with db.write() as tx:
        owl = classes.all_(tx)[0].id
        person = annotators.ensure(tx, "Ann", NOW).id
        for at, image in enumerate(images.all_ok(tx)[:2]):
            event = records.NewEvent(uuid=str(at), image_id=image.id, annotator_id=person, kind="label", class_id=owl)
            labels.append(tx, event, NOW)
    assert db.path is not None
    shutil.rmtree(db.path.parent / "cache" / "remote")
    memory.rm("/bucket/season/a/0.jpg")
    done = imagefolder.export(db, tmp_path / "out")
    there = {path.name for path in (tmp_path / "out").rglob("*.jpg")}
    assert len(there) + len(done.missing) == 2
    assert "0.jpg" not in there


# --- what goes wrong


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("memory://nothing/here", "cannot list memory://nothing/here: there is nothing there"),
        ("gopher9://x/y", "cannot list gopher9://x/y"),
        ("file:///tmp", "give its path"),
        ("zip://a::memory://b.zip", "chain of addresses"),
        ("s3://key:secret@bucket/x", "carries a password"),
        ("https://host/x?X-Amz-Signature=abc", "carries a password or a signature"),
        ("s3://", "names no place"),
    ],
)
def test_an_address_that_cannot_be_used_is_refused_in_a_sentence(
    db: Database, memory: Any, address: str, why: str
) -> None:
    with pytest.raises(errors.AppError, match=why) as refused:
        take_in(db, address)
    assert "secret" not in str(refused.value).replace("the secret by", "")
    assert "abc" not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "module", "command"),
    [("gs://bucket/x", "gcsfs", "pip install gcsfs"), ("s3://bucket/x", "s3fs", "pip install s3fs"),
     ("https://host/x", "aiohttp", "pip install aiohttp")],
)  # fmt: skip
def test_a_missing_package_is_named_with_its_command(
    monkeypatch: pytest.MonkeyPatch, address: str, module: str, command: str
) -> None:
    registry = importlib.import_module("fsspec.registry")
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "fsspec.implementations.http", raising=False)
    monkeypatch.delitem(registry._registry, address.partition(":")[0], raising=False)
    with pytest.raises(errors.RemoteError, match=f"cannot list {address}: it needs a package: {command}"):
        remote.walk(address)


def test_a_path_is_no_address() -> None:
    told = {"s3://b/x": True, "memory://x": True, "/a/b": False, "C://a": False, "a:b": False, "photos.zip": False}
    assert {text: remote.is_address(text) for text in told} == told


# --- over a network


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_a_folder_that_a_web_server_lists(db: Database, tmp_path: Path) -> None:
    for number in range(3):
        path = tmp_path / "site" / "photos" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(drawn(number))
    handler = functools.partial(Quiet, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        report = take_in(db, f"http://127.0.0.1:{server.server_port}/photos/")
        server.shutdown()
    assert (report.added, report.quarantined, report.unfetched) == (3, 0, [])
    with pytest.raises(errors.RemoteError, match=r"cannot list http://127\.0\.0\.1"):
        take_in(db, f"http://127.0.0.1:{server.server_port}/photos/")


def test_a_bucket_from_the_command_line(s3: str, tmp_path: Path) -> None:
    s3fs = pytest.importorskip("s3fs", reason="s3fs is not installed, s3:// is not tried")
    fs = s3fs.S3FileSystem(key="an id", secret="a secret 77", endpoint_url=s3)
    fs.mkdir("traps")
    for number in range(12):
        fs.pipe(f"traps/season 1/{'ab'[number % 2]}/{number}.jpg", drawn(number))
    command = [sys.executable, "launch.py", "ingest", "--workspace", str(tmp_path / "w"), "--images"]
    environment = {**os.environ, **S3_KEYS, "AWS_ENDPOINT_URL": s3}

    def run(address: str) -> subprocess.CompletedProcess[str]:
        done = [*command, address]
        return subprocess.run(done, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)

    began = time.monotonic()
    first = run("s3://traps/season 1")
    assert "12 images added, 0 known already, 0 in quarantine" in first.stdout, first.stderr
    assert time.monotonic() - began < 60
    kept = [path for path in (tmp_path / "w" / "cache" / "remote").rglob("*") if path.is_file()]
    assert len(kept) == 12
    fs.pipe("traps/season 1/a/new.jpg", drawn(99))
    assert "1 images added, 12 known already" in run("s3://traps/season 1/").stdout
    for path in (tmp_path / "w").rglob("*"):
        assert not path.is_file() or b"a secret 77" not in path.read_bytes(), "no credential is written down"
    missing = run("s3://no-such-bucket/x")
    assert missing.returncode == 1
    assert missing.stderr.startswith("error: cannot list s3://no-such-bucket/x: there is nothing there")
