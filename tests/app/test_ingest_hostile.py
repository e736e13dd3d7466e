"""Hostile files in a folder: each is set aside by name with its reason, none stops the others, none costs too much."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageCms

from app import ingest_apart, ingest_files, ingest_read
from model.data import pixels
from store.database import Database
from tests.app import test_ingest
from tests.app.test_ingest import picture, quarantined, stored, take_in

ROOT = Path(__file__).resolve().parents[2]
db, folder = test_ingest.db, test_ingest.folder  # the same fixtures


@pytest.fixture
def readers() -> Iterator[ingest_apart.Readers]:
    with ingest_apart.Readers(max_pixels=20_000_000) as made:
        yield made


def found(path: Path) -> ingest_files.Found:
    stat = path.stat()
    return ingest_files.Found(str(path), str(path), "", stat.st_size, stat.st_mtime_ns)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunk(kind: bytes, data: bytes) -> bytes:
    whole = encoded(picture(3), "PNG")
    return whole[:33] + png_chunk(kind, data) + whole[33:]


def endless_scans(side: int, times: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again: every one is decoded over the whole picture."""
    whole = encoded(Image.new("RGB", (side, side), "red"), "JPEG", progressive=True)
    last = whole[whole.rindex(b"\xff\xda") : -2]
    return whole[:-2] + last * times + b"\xff\xd9"


def greedy_tags(number: int, size: int) -> bytes:
    """A TIFF of 16 x 16 whose tags all point at the same bytes: read one by one they take number x size bytes."""
    at = 8 + 2 + 12 * (number + 8) + 4
    needed = ((256, 16), (257, 16), (258, 8), (259, 1), (262, 1), (273, at), (278, 16), (279, 256))
    entries = [struct.pack("<HHII", tag, 4, 1, value) for tag, value in needed]
    entries += [struct.pack("<HHII", 1000 + i, 7, size, at) for i in range(number)]
    return b"II*\0\x08\0\0\0" + struct.pack("<H", number + 8) + b"".join(entries) + bytes(4) + bytes(size)


def many_exif_segments(tiff: bytes) -> bytes:
    """A small JPEG whose EXIF, spread over many segments, is `tiff`."""
    parts = [b"Exif\0\0" + tiff[start : start + 65_000] for start in range(0, len(tiff), 65_000)]
    whole = encoded(picture(4), "JPEG")
    return whole[:2] + b"".join(b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part for part in parts) + whole[2:]


def test_each_hostile_file_is_named_with_its_reason_and_stops_nobody(db: Database, folder: Path) -> None:
    page = b"<html><script>alert(1)</script></html>"
    refused = {
        "text.png": (with_chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000), 9)), "too large"),
        "profile.png": (with_chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(50_000_000), 9)), "too large"),
        "page.jpg": (page, "cannot identify"),
        "script.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n", "cannot identify"),
        "drawing.png": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "cannot identify"),
        "tags.tif": (greedy_tags(20_000, 200_000), "more memory"),
        "none.gif": (b"", "0 bytes"),
    }
    for name, (content, _) in refused.items():
        (folder / name).write_bytes(content)
    with (folder / "sparse.bmp").open("wb") as sparse:
        sparse.truncate(1 << 40)
    os.mkfifo(folder / "pipe.jpg")
    picture(1).save(folder / "is_a_png.jpg", "PNG")
    (folder / "page_too.jpg").write_bytes(encoded(picture(2), "JPEG") + page)
    began = time.monotonic()
    take_in(db, folder)
    problems = quarantined(db)
    assert sorted(problems) == sorted([*refused, "sparse.bmp"])
    for name, (_, reason) in {**refused, "sparse.bmp": (b"", "megapixels can need")}.items():
        assert problems[name].startswith(f"{name}: ")
        assert reason in problems[name], problems[name]
    assert sorted(stored(db)) == ["is_a_png.jpg", "page_too.jpg"], "a wrong suffix and a tail harm nobody"
    assert time.monotonic() - began < 60


def test_a_file_that_keeps_the_decoder_busy_is_given_up_and_the_next_is_read(tmp_path: Path) -> None:
    (tmp_path / "scans.jpg").write_bytes(endless_scans(2000, 20_000))
    picture(1).save(tmp_path / "good.jpg")
    with ingest_apart.Readers(max_pixels=20_000_000, seconds=2.0) as readers:
        began = time.monotonic()
        reading = readers.read(found(tmp_path / "scans.jpg"), thumbnail=tmp_path / "a.jpg")
        assert reading.problem == "scans.jpg: reading it took more than 2 seconds"
        assert time.monotonic() - began < 20
        assert readers.read(found(tmp_path / "good.jpg"), thumbnail=tmp_path / "b.jpg").problem is None


def test_memory_is_bounded_and_the_same_process_reads_on(tmp_path: Path, readers: ingest_apart.Readers) -> None:
    (tmp_path / "exif.jpg").write_bytes(many_exif_segments(greedy_tags(20_000, 200_000)))  # 4 GB if it were let
    picture(1).save(tmp_path / "good.jpg")
    assert readers.taken_at(str(tmp_path / "exif.jpg")) is None
    problem = readers.read(found(tmp_path / "exif.jpg"), thumbnail=tmp_path / "a.jpg").problem
    assert problem == "exif.jpg: it takes more memory than there is for an image"
    assert readers.read(found(tmp_path / "good.jpg"), thumbnail=tmp_path / "b.jpg").problem is None
    assert len(readers._idle) == 1, "nothing had to be ended"


def test_a_large_image_gets_the_memory_that_it_needs(tmp_path: Path, readers: ingest_apart.Readers) -> None:
    Image.new("F", (5000, 4000)).save(tmp_path / "large.tif", compression="tiff_adobe_deflate")
    reading = readers.read(found(tmp_path / "large.tif"), thumbnail=tmp_path / "a.jpg")
    assert (reading.problem, reading.width) == (None, 5000)


def test_no_reader_outlives_a_killed_ingest(tmp_path: Path) -> None:
    code = (
        "import time; from app import ingest_apart; from pathlib import Path\n"
        "if __name__ == '__main__':\n"
        "    readers = ingest_apart.Readers(max_pixels=10**6); readers.taken_at('nothing')\n"
        "    print(readers._idle[0].process.pid, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        reader = int(parent.stdout.readline())
        os.kill(reader, 0)
        parent.kill()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{reader}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{reader}").exists()


def _dies(*_: object, **__: object) -> None:
    os.abort()


def test_a_decoder_that_dies_takes_one_file_along(
    tmp_path: Path, readers: ingest_apart.Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture(1).save(tmp_path / "good.jpg")
    with monkeypatch.context() as patched:
        patched.setattr(ingest_read, "read", _dies)
        problem = readers.read(found(tmp_path / "good.jpg"), thumbnail=tmp_path / "a.jpg").problem
    assert problem is not None
    assert problem.startswith("good.jpg: the decoder ended")
    assert readers.read(found(tmp_path / "good.jpg"), thumbnail=tmp_path / "b.jpg").problem is None


def test_a_file_that_became_a_link_or_a_pipe_after_the_listing_is_refused(
    tmp_path: Path, readers: ingest_apart.Readers
) -> None:
    picture(1).save(tmp_path / "secret.jpg")
    picture(1).save(tmp_path / "a.jpg")
    listed = found(tmp_path / "a.jpg")
    for change, word in ((lambda path: path.symlink_to(tmp_path / "secret.jpg"), "link"), (os.mkfifo, "pipe")):
        (tmp_path / "a.jpg").unlink()
        change(tmp_path / "a.jpg")
        problem = readers.read(listed, thumbnail=tmp_path / "t.jpg").problem
        assert problem is not None
        assert f"it is a {word}" in problem or f"{word} or device" in problem


def colour(path: Path) -> tuple[int, ...]:
    return tuple(int(value) for value in pixels.decode(path)[5, 5])


def test_odd_colour_spaces_keep_their_colours(tmp_path: Path) -> None:
    red = Image.new("RGB", (40, 20), (200, 30, 40))
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(red, to_lab)
    assert lab is not None
    lab.save(tmp_path / "lab.tif")
    red.convert("YCbCr").save(tmp_path / "ycbcr.tif", compression="jpeg")
    red.convert("CMYK").save(tmp_path / "cmyk.tif", compression="tiff_lzw")
    red.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    for name in ("lab.tif", "ycbcr.tif", "cmyk.tif", "cmyk.jpg"):
        assert max(abs(a - b) for a, b in zip(colour(tmp_path / name), (200, 30, 40), strict=True)) < 14, name
    palette = Image.new("P", (40, 20), 1)
    palette.putpalette([0, 0, 0, 200, 30, 40])
    palette.save(tmp_path / "clear.png", transparency=bytes((255, 0)))
    assert colour(tmp_path / "clear.png") == (255, 255, 255)
    palette.save(tmp_path / "half.png", transparency=bytes((255, 128)))
    assert colour(tmp_path / "half.png") == (227, 142, 147)


def test_names_lead_no_terminal_and_no_page(db: Database, folder: Path) -> None:
    names = ["\x1b[2J\x1b]0;gone\x07.jpg", "photo\u202egpj.jpg", "two\nlines.jpg", "<img src=x onerror=alert(1)>.jpg"]
    for name in names:
        (folder / name).write_bytes(b"x")
    picture(1).save(folder / "good.jpg")
    take_in(db, folder)
    problems = quarantined(db)
    assert sorted(problems) == sorted(names), "the path is stored as it is"
    assert all(problem.isprintable() for problem in problems.values()), "the sentence can be printed anywhere"
    assert problems["photo\u202egpj.jpg"].startswith("photo\\u202egpj.jpg: ")


def test_the_listing_of_very_many_files_stays_small(tmp_path: Path) -> None:
    """Peak memory per name; docs/reliability.md has it for a million."""
    for number in range(500):
        (tmp_path / f"{number}").mkdir()
    template = tmp_path / "0" / "picture-000.jpg"
    template.touch()
    for top in range(500):
        for number in range(20):
            target = tmp_path / f"{top}" / f"picture-{number:03d}.jpg"
            if target != template:
                os.link(template, target)
    tracemalloc.start()
    walk = ingest_files.walk(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(walk.files) == 10_000
    assert peak < 10_000 * 500
