"""Labels as an ImageFolder: the labelled images, one folder per class, rejects apart by reason."""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from app import errors, pictures
from app.exchange import answers, beside
from model import errors as model_errors
from store import records
from store.database import Database

REJECTED, NO_REASON = "_rejected", "no reason"
_UNSAFE = frozenset('<>:"/\\|?*')
_RESERVED = frozenset(("con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(1, 10))))
_MOST_BYTES = 120


@dataclass
class Exported:
    """How many images an export wrote, by state, and the paths of those whose file is gone or is a link now."""

    labelled: int = 0
    rejected: int = 0
    linked: int = 0
    missing: list[str] = field(default_factory=list)
    workspace: Path | None = None  # where files from elsewhere are kept


def export(
    db: Database,
    folder: str | Path,
    *,
    link: bool = False,
    progress: Callable[[float, str], None] | None = None,
    up_to: int | None = None,
    place: Place | None = None,
) -> Exported:
    """Copy (or, with `link`, hard-link where the disk allows) every settled image into `folder`, which must be new.

    With `up_to`, those that were settled at that watermark. `place` gives the folder of each, None for one that is left
    out. The folder appears under its name when it is complete. Class
    names are made fit for any file system; two that would then fall together are numbered. Raises BadRequest when the
    folder is there already and not empty.
    """
    with beside.folder(folder) as new:
        done = Exported(workspace=db.home)
        _fill(new, list(answers.settled(db, up_to)), place or by_class, link, progress, done)
    return done


def safe_name(text: str) -> str:
    """A folder name that Linux, macOS and Windows all take, as near to `text` as can be."""
    plain = unicodedata.normalize("NFC", text)
    kept = "".join("_" if char in _UNSAFE or unicodedata.category(char).startswith("C") else char for char in plain)
    short = kept.strip().encode()[:_MOST_BYTES].decode(errors="ignore").rstrip(". ")
    if not short or short.startswith((".", "_")) or short.split(".")[0].casefold() in _RESERVED:
        return f"class {short.lstrip('._')}".strip()
    return short


def _fill(
    new: Path,
    settled: list[answers.Answer],
    place: Place,
    link: bool,
    progress: Callable[[float, str], None] | None,
    done: Exported,
) -> None:
    folders = Folders()
    for number, answer in enumerate(settled, start=1):
        into = place(answer, folders)
        if into is not None and bring(answer.image, new / into, link, done):
            done.labelled += answer.class_name is not None
            done.rejected += answer.class_name is None
        if progress is not None and (number % 50 == 0 or number == len(settled)):
            progress(number / len(settled), f"exported {number:,} of {len(settled):,} images")


class Folders:
    """Which folder a class goes to; no two share one, whatever the file system makes of case."""

    def __init__(self) -> None:
        self._by_name: dict[str, str] = {}
        self._taken: set[str] = set()

    def of(self, class_name: str) -> str:
        if class_name not in self._by_name:
            self._by_name[class_name] = self._free(safe_name(class_name))
        return self._by_name[class_name]

    def _free(self, name: str) -> str:
        free, number = name, 2
        while free.casefold() in self._taken:
            free, number = f"{name} ({number})", number + 1
        self._taken.add(free.casefold())
        return free


def by_class(answer: answers.Answer, folders: Folders) -> Path:
    """One folder per class; rejects by their reason in folders of their own."""
    if answer.class_name is None:
        return Path(REJECTED) / safe_name(answer.reason or NO_REASON)
    return Path(folders.of(answer.class_name))


Place = Callable[[answers.Answer, Folders], Path | None]


def bring(image: records.Image, folder: Path, link: bool, done: Exported) -> Path | None:
    """Put one file into the folder, under its name with the image's id when that is taken; None when it is gone."""
    source = _there(image, done)
    if source is None:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    name = Path(pictures.name(image))
    target = folder / name
    if target.exists():
        target = folder / f"{name.stem}-{image.id}{name.suffix}"
    if image.box is not None:
        try:
            target.write_bytes(pictures.crop(image, source))
        except model_errors.UnreadableImage:
            done.missing.append(image.path)
            return None
        return target
    if link:
        try:
            os.link(source, target)
            done.linked += 1
            return target
        except OSError:  # another disk, or one that knows no links
            pass
    shutil.copyfile(source, target)
    return target


def content(image: records.Image, done: Exported) -> tuple[str, bytes] | None:
    """Name and bytes of an image's file, of a box those of what is cut out; None when it is gone."""
    source = _there(image, done)
    if source is None:
        return None
    try:
        return pictures.name(image), source.read_bytes() if image.box is None else pictures.crop(image, source)
    except model_errors.UnreadableImage:
        done.missing.append(image.path)
        return None


def _there(image: records.Image, done: Exported) -> Path | None:
    try:
        source = pictures.file(image, done.workspace)
    except errors.RemoteError:
        done.missing.append(image.path)
        return None
    if source.is_symlink() or not source.is_file():
        done.missing.append(image.path)
        return None
    return source
