"""Images in zip and tar files, and names that a browser sends: what comes out, what never does, what is said."""

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app import archives, errors, ingest_files, jobs, uploads
from store import database, images


def picture(shade: int) -> bytes:
    out = io.BytesIO()
    noise = Image.effect_noise((48, 48), 40 + shade).convert("RGB")
    noise.save(out, "PNG")
    return out.getvalue()


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as out:
        for name, content in members.items():
            out.writestr(name, content)
    return path


def inside(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_images_come_out_with_their_folders_and_nothing_else(tmp_path: Path) -> None:
    members = {"a/1.png": b"1", "a/notes.txt": b"t", "__MACOSX/a/._1.png": b"m", ".hidden/2.png": b"h", "b/2.JPG": b"2"}
    assert archives.unpack(zipped(tmp_path / "p.zip", members), tmp_path / "out") == 2
    assert inside(tmp_path / "out") == ["a/1.png", "b/2.JPG"]


def test_no_member_leaves_the_folder_and_links_stay_inside(tmp_path: Path) -> None:
    packed = zipped(
        tmp_path / "p.zip", {"../../evil.png": b"1", "/abs.png": b"2", "..\\win.png": b"3", "c:/d.png": b"4"}
    )
    with zipfile.ZipFile(packed, "a") as out:
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        out.writestr(link, "/etc/passwd")
    archives.unpack(packed, tmp_path / "deep" / "out")
    assert inside(tmp_path) == sorted(
        ["p.zip", *(f"deep/out/{n}" for n in ("abs.png", "c_/d.png", "evil.png", "win.png"))]
    )
    with tarfile.open(tmp_path / "p.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("../up.png"), io.BytesIO(b""))
        soft = tarfile.TarInfo("soft.png")
        soft.type, soft.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(soft)
    archives.unpack(tmp_path / "p.tar", tmp_path / "tar")
    assert inside(tmp_path / "tar") == ["up.png"]


def test_two_members_that_end_up_under_one_name_are_both_kept(tmp_path: Path) -> None:
    archives.unpack(zipped(tmp_path / "p.zip", {"a:.png": b"1", "a?.png": b"2"}), tmp_path / "out")
    assert sorted((tmp_path / "out" / name).read_bytes() for name in inside(tmp_path / "out")) == [b"1", b"2"]


def test_a_damaged_or_empty_archive_is_refused_by_name_and_what_came_out_stays(tmp_path: Path) -> None:
    whole = zipped(tmp_path / "p.zip", {f"{n}.png": os.urandom(5000) for n in range(4)}).read_bytes()
    spoiled = bytearray(whole)
    spoiled[12_000:12_100] = bytes(100)
    (tmp_path / "p.zip").write_bytes(spoiled)
    with pytest.raises(ingest_files.IngestError, match=r"p\.zip cannot be unpacked after 2 images"):
        archives.unpack(tmp_path / "p.zip", tmp_path / "out")
    assert inside(tmp_path / "out") == ["0.png", "1.png"]
    for name, content in {
        "half.zip": whole[:9000],
        "no.zip": b"PK",
        "no.tar.gz": b"\x1f\x8bxx",
        "none.zip": None,
    }.items():
        if content is None:
            zipped(tmp_path / name, {"a.txt": b""})
        else:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(ingest_files.IngestError, match=name):
            archives.unpack(tmp_path / name, tmp_path / "nothing")


def test_a_bomb_ends_at_the_size_that_an_image_may_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LARGEST_IMAGE", 3_000_000)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as out:
        out.writestr("bomb.png", bytes(50_000_000))
    with pytest.raises(ingest_files.IngestError, match="larger than 3 MB"):
        archives.unpack(tmp_path / "bomb.zip", tmp_path / "out")
    assert inside(tmp_path / "out") == []


def test_a_nearly_full_disk_is_not_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "KEPT_FREE", 10**18)
    with pytest.raises(errors.BadRequest, match="make room"):
        archives.unpack(zipped(tmp_path / "p.zip", {"1.png": b"1"}), tmp_path / "out")
    assert inside(tmp_path / "out") == []


@given(st.text(max_size=200))
def test_whatever_the_name_it_stays_below_the_folder_and_can_be_written(name: str) -> None:
    place = uploads.safe(name)
    if place is None:
        return
    assert not place.is_absolute()
    assert ".." not in place.parts
    assert all(0 < len(part.encode()) <= 255 for part in place.parts)
    assert len(place.parts) <= uploads.DEEPEST


@pytest.mark.parametrize("batch", ["", "..", "a/b", "2026-11-25-213000-0123456", "2026-11-25-213000-01234567/.."])
def test_a_batch_that_was_never_begun_is_refused(tmp_path: Path, batch: str) -> None:
    with pytest.raises(errors.BadRequest, match="is no upload"):
        uploads.target(tmp_path, batch, "a.png")


def test_an_archive_is_ingested_as_its_folders_say_and_a_second_time_adds_nothing(tmp_path: Path) -> None:
    members = {f"{name}/{n}.png": picture(n + 9 * (name == "ash")) for name in ("ash", "elm") for n in range(3)}
    packed = zipped(tmp_path / "trees.zip", members)
    for _ in range(2):
        jobs.ingest(tmp_path / "w", packed, classes_file=None, labels_from_folders=True, demo=False, child=False)
    db = database.open(tmp_path / "w" / "raum.db")
    with db.read() as tx:
        found = images.all_ok(tx)
    db.close()
    assert len(found) == 6
    assert {Path(image.path).parent.name for image in found} == {"ash", "elm"}
    assert all((tmp_path / "w" / "uploads" / "trees") in Path(image.path).parents for image in found)
