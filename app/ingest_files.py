"""What ingest finds on disk: image files under a folder, class names in a text file, classes as folders."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app import errors

SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"))


class IngestError(errors.AppError):
    """The folder or the class list cannot be taken in; the message says what to change."""


@dataclass(frozen=True)
class Found:
    """An image file: its path as the system gives it and as the database may store it, and its first folder."""

    path: str
    name: str
    top: str
    bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Walk:
    """All image files by path; how many links were passed over; folders that could not be read, with the reason."""

    files: list[Found]
    links: int
    closed: list[str]


def root(folder: str | Path) -> Path:
    """The folder to ingest, absolute and with links resolved; raises IngestError when it is none."""
    try:
        path = Path(folder).expanduser().resolve(strict=True)
    except (OSError, RuntimeError) as problem:
        raise IngestError(f"there is no folder {str(folder)!r} ({type(problem).__name__}): check the path") from problem
    if not path.is_dir():
        raise IngestError(f"{str(folder)!r} is a file: give the folder that holds the images")
    return path


def walk(folder: Path, *, skip: Path | None = None) -> Walk:
    """Every image under `folder` by its suffix, nested folders too, except hidden ones, links and the folder `skip`.

    Links are never followed: so neither loops nor files outside the folder come in.
    """
    files: list[Found] = []
    links, closed, waiting = 0, [], [str(folder)]
    while waiting:
        place = waiting.pop()
        try:
            entries = list(os.scandir(place))
        except OSError as problem:
            closed.append(f"{printable(place)}: {problem.strerror or type(problem).__name__}")
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_symlink():
                links += 1
            elif entry.is_dir(follow_symlinks=False):
                if skip is None or Path(entry.path) != skip:
                    waiting.append(entry.path)
            elif os.path.splitext(entry.name)[1].lower() in SUFFIXES and entry.is_file(follow_symlinks=False):
                files.extend(_found(entry, folder))
    return Walk(sorted(files, key=lambda file: file.path), links, closed)


def printable(path: str) -> str:
    """A path as text that any database and page can hold: bytes that are no UTF-8 are written as \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def folder_classes(files: Sequence[Found]) -> list[str]:
    """Class names when the files form an ImageFolder (every file in one of two or more subfolders), else none.

    Folders that begin with an underscore are no classes: an export puts rejects there.
    """
    tops = {file.top for file in files if not file.top.startswith("_")}
    return sorted(tops, key=str.casefold) if len(tops) >= 2 and "" not in tops else []


def read_classes(path: str | Path) -> list[str]:
    """Class names of a UTF-8 text file, one a line; empty lines and lines that start with # do not count."""
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as problem:
        raise IngestError(f"{path} is not UTF-8 text (byte {problem.start}): save it as UTF-8") from problem
    except OSError as problem:
        raise IngestError(f"cannot read the class names in {path}: {problem.strerror}") from problem
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1)]
    named = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not named:
        raise IngestError(f"{path} holds no class names: write one a line")
    _refuse_twice(named, str(path))
    return [name for _, name in named]


def check_classes(names: Sequence[str]) -> list[str]:
    """A given list of class names, stripped, without empty ones; raises IngestError for one that is there twice."""
    named = [(number, name.strip()) for number, name in enumerate(names, start=1) if name.strip()]
    _refuse_twice(named, "the list of class names")
    return [name for _, name in named]


def _found(entry: os.DirEntry[str], folder: Path) -> Iterator[Found]:
    try:
        stat = entry.stat(follow_symlinks=False)
    except FileNotFoundError:  # gone since the folder was listed
        return
    inner = os.path.relpath(entry.path, folder).split(os.sep)
    name = printable(entry.path)
    yield Found(entry.path, name, printable(inner[0]) if len(inner) > 1 else "", stat.st_size, stat.st_mtime_ns)


def _refuse_twice(named: Sequence[tuple[int, str]], where: str) -> None:
    seen: dict[str, int] = {}
    for number, name in named:
        key = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        if key in seen:
            raise IngestError(f"{where}: line {number} names {name!r} again (first on line {seen[key]}): keep one")
        seen[key] = number
