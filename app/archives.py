"""Images that come as a zip or tar file: taken out beside the workspace's other uploads, safely and within bounds."""

from __future__ import annotations

import contextlib
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from app import ingest_files, uploads

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
LARGEST_IMAGE = 500_000_000  # bytes, taken out
_CHUNK = 1 << 20

Progress = Callable[[float, str], None]
Member = tuple[str, Callable[[], IO[bytes]]]


def is_archive_name(name: str) -> bool:
    """Whether a file's name says so."""
    return name.lower().endswith(SUFFIXES)


def is_archive(path: Path) -> bool:
    """Whether a path's name says so."""
    return is_archive_name(path.name)


def unpack(archive: Path, into: Path, progress: Progress | None = None) -> int:
    """Take the images out of an archive into `into`, with their folders; returns how many files are there.

    Only regular files with an image's suffix come out, never over another file and never outside `into`; what was
    taken out before is kept. Raises IngestError naming the archive and what is wrong with it: damaged, encrypted, more
    than the disk holds. What had come out by then stays.
    """
    count, taken = 0, set[Path]()
    try:
        with _opened(archive) as (total, members):
            for at, (name, reader) in enumerate(members):
                count += _take(name, reader, into, taken)
                if progress is not None and at % 50 == 0:
                    progress(at / max(total, 1), f"taking {count:,} images out of {archive.name}")
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError, RuntimeError) as problem:
        raise ingest_files.IngestError(
            f"{archive.name} cannot be unpacked after {count:,} images ({problem}): unpack it yourself and give the folder"
        ) from problem
    if not count:
        raise ingest_files.IngestError(f"there is no image in {archive.name}: JPEG, PNG, WebP, BMP, TIFF or GIF")
    return count


@contextlib.contextmanager
def _opened(archive: Path) -> Iterator[tuple[int, Iterator[Member]]]:
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as packed:
            infos = [info for info in packed.infolist() if not info.is_dir() and not _is_link(info)]
            yield len(infos), ((info.filename, lambda info=info: packed.open(info)) for info in infos)  # type: ignore[misc]
    else:
        with tarfile.open(archive, "r:*") as packed_tar:
            yield 0, _of_tar(packed_tar)


def _of_tar(packed: tarfile.TarFile) -> Iterator[Member]:
    for info in packed:
        if not info.isfile():
            continue
        opened = packed.extractfile(info)
        if opened is not None:
            yield info.name, lambda opened=opened: opened  # type: ignore[misc]


def _is_link(info: zipfile.ZipInfo) -> bool:
    return (info.external_attr >> 16) & 0o170000 == 0o120000


def _take(name: str, reader: Callable[[], IO[bytes]], into: Path, taken: set[Path]) -> int:
    place = uploads.safe(name)
    parts = name.replace("\\", "/").split("/")
    hidden = "__MACOSX" in parts or any(part.startswith(".") and part.strip(".") for part in parts)
    if place is None or hidden or not ingest_files.is_image_name(place.name):
        return 0
    target = uploads.free(into / place, taken)
    taken.add(target)
    if target.exists():
        return 1
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.part")
    written = 0
    try:
        with reader() as source, beside.open("wb") as out:
            while chunk := source.read(_CHUNK):
                written += len(chunk)
                if written > LARGEST_IMAGE:
                    raise RuntimeError(f"{name} is larger than {LARGEST_IMAGE // 1_000_000} MB")
                uploads.room(into, len(chunk))
                out.write(chunk)
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)
    return 1


def unpack_all(folder: Path, progress: Progress | None = None) -> None:
    """Take out every archive that lies in a folder, each into a folder of its name, and remove it afterwards."""
    for archive in sorted(path for path in folder.iterdir() if path.is_file() and is_archive(path)):
        unpack(archive, folder / archive.name.partition(".")[0], progress)
        archive.unlink()


def source(named: Path, workspace: Path, progress: Progress | None = None) -> Path:
    """The folder to read: `named` itself, or the one in the workspace into which the archive `named` was taken out.

    Archives among uploaded files are taken out where they lie."""
    place = (workspace / uploads.FOLDER).resolve()
    if is_archive(named) and named.is_file():
        into = place / (uploads.safe(named.name.partition(".")[0]) or "archive")
        unpack(named, into, progress)
        return into
    if place in named.resolve().parents:
        unpack_all(named, progress)
    return named
