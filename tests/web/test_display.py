"""Small pictures and copies for the browser: whole ones are sent, cut ones are made anew, nothing half written stays."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from app import errors, ingest
from app.web import display
from store import errors as store_errors
from store.records import Image as Row


@pytest.fixture
def row(tmp_path: Path) -> Row:
    Image.effect_noise((400, 300), 60).convert("RGB").save(
        tmp_path / "a.tif"
    )  # a browser cannot show it: a copy is made
    return Row(id=7, path=str(tmp_path / "a.tif"), digest="d" * 64)


MAKERS = [display.thumbnail, display.picture]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[:1],
        lambda whole: whole[: len(whole) // 2],
        lambda whole: b"\0" * len(whole),
    ],
    ids=["empty", "a byte", "half", "zeros"],
)
def test_a_half_written_picture_is_made_anew(
    row: Row, tmp_path: Path, make: Callable[[Path, Row], tuple[Path, str]], damage: Callable[[bytes], bytes]
) -> None:
    path, media_type = make(tmp_path, row)
    whole = path.read_bytes()
    assert media_type == "image/jpeg"
    path.write_bytes(damage(whole))
    assert make(tmp_path, row)[0].read_bytes() == whole
    with Image.open(path) as picture:
        picture.load()
    assert sorted(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("make", MAKERS)
def test_a_whole_picture_is_left_alone(row: Row, tmp_path: Path, make: Callable[[Path, Row], tuple[Path, str]]) -> None:
    path, _ = make(tmp_path, row)
    os.utime(path, (1, 1))
    make(tmp_path, row)
    assert path.stat().st_mtime == 1


def test_a_cut_thumbnail_without_its_original_is_not_found(row: Row, tmp_path: Path) -> None:
    path, _ = display.thumbnail(tmp_path, row)
    assert path == ingest.thumbnail_path(tmp_path, row.id)
    path.write_bytes(path.read_bytes()[:50])
    Path(row.path).unlink()
    with pytest.raises(errors.NotFound):
        display.thumbnail(tmp_path, row)


@pytest.mark.parametrize("make", MAKERS)
def test_a_full_disk_leaves_nothing_half_written(
    row: Row, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path, Row], tuple[Path, str]]
) -> None:
    def full(self: Image.Image, file: object, *_: object, **__: object) -> None:
        file.write(b"\xff\xd8half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(store_errors.CannotWrite, match="No space left on device"):
        make(tmp_path, row)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [Path(row.path)]
