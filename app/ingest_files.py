"""What ingest finds on disk: image files under a folder, class names in a text file, classes as folders."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app import errors, scenes
from store import classes

SUFFIXES = frozenset((".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"))

TELL_EVERY = 10_000  # files


class IngestError(errors.AppError):
    """The folder or the class list cannot be taken in; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Found:
    """An image file: its path as the system gives it and as the database may store it, and its first folder.

    With `boxes` those are the images, and not the file; `taken_at` is what their file says of the time."""

    path: str
    name: str
    top: str
    bytes: int
    mtime_ns: int
    boxes: tuple[scenes.Raw, ...] | None = None
    taken_at: float | None = None

    @property
    def count(self) -> int:
        """How many images it holds."""
        return 1 if self.boxes is None else len(self.boxes)


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
    except (OSError, RuntimeError, ValueError) as problem:
        raise IngestError(
            f"there is no folder {str(folder)!r} on this machine ({type(problem).__name__}): check the path"
        ) from problem
    if not path.is_dir():
        raise IngestError(f"{str(folder)!r} is a file: give the folder that holds the images, or a zip or tar file")
    return path


def walk(folder: Path, *, skip: Path | None = None, tell: Callable[[int], None] | None = None) -> Walk:
    """Every image under `folder` by its suffix, nested folders too, except hidden ones, links and the folder `skip`.

    Links are never followed: so neither loops nor files outside the folder come in. `tell` gets the number found so far,
    now and then. A million files take 0.4 GB.
    """
    files: list[Found] = []
    closed: list[str] = []
    links, waiting = 0, [str(folder)]
    while waiting:
        place = waiting.pop()
        top = _top(place, folder)
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_symlink():
                        links += 1
                    elif entry.is_dir(follow_symlinks=False):
                        if skip is None or Path(entry.path) != skip:
                            waiting.append(entry.path)
                    elif is_image_name(entry.name) and entry.is_file(follow_symlinks=False):
                        files.extend(_found(entry, top, closed))
                        if tell is not None and len(files) % TELL_EVERY == 0:
                            tell(len(files))
        except OSError as problem:
            closed.append(_closed(place, problem))
    files.sort(key=lambda file: file.path)
    return Walk(files, links, closed)


def is_image_name(name: str) -> bool:
    """Whether a file's suffix is one of an image."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def printable(path: str) -> str:
    """A path as text that any database and page can hold: bytes that are no UTF-8 are written as \\xNN."""
    if path.isascii():
        return path
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def shown(text: str) -> str:
    """A text that a terminal and a page can show without being led by it: control and direction marks are written out."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


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


def _top(place: str, folder: Path) -> str:
    """The first folder on the way from `folder` to `place`, "" for the folder itself."""
    inner = os.path.relpath(place, folder).split(os.sep)[0]
    return "" if inner == os.curdir else classes.spelled(printable(inner))


def _found(entry: os.DirEntry[str], top: str, closed: list[str]) -> Iterator[Found]:
    try:
        stat = entry.stat(follow_symlinks=False)
    except FileNotFoundError:  # gone since the folder was listed
        return
    except OSError as problem:
        closed.append(_closed(entry.path, problem))
        return
    yield Found(entry.path, printable(entry.path), top, stat.st_size, stat.st_mtime_ns)


def _closed(path: str, problem: OSError) -> str:
    return shown(f"{printable(path)}: {problem.strerror or type(problem).__name__}")


def _refuse_twice(named: Sequence[tuple[int, str]], where: str) -> None:
    seen: dict[str, int] = {}
    for number, name in named:
        key = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        if key in seen:
            raise IngestError(f"{where}: line {number} names {name!r} again (first on line {seen[key]}): keep one")
        seen[key] = number
