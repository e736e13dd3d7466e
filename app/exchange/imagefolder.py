"""Labels as an ImageFolder: the labelled images, one folder per class, rejects apart by reason."""

from __future__ import annotations

import os
import shutil
import unicodedata
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from app import errors
from app.exchange import answers
from store.database import Database

REJECTED = "_rejected"
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


def export(
    db: Database,
    folder: str | Path,
    *,
    link: bool = False,
    progress: Callable[[float, str], None] | None = None,
    up_to: int | None = None,
) -> Exported:
    """Copy (or, with `link`, hard-link where the disk allows) every settled image into `folder`, which must be new.

    With `up_to`, those that were settled at that watermark. The folder appears under its name when it is complete. Class
    names are made fit for any file system; two that would then fall together are numbered. Raises BadRequest when the
    folder is there already and not empty.
    """
    target = Path(folder).expanduser().absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise errors.BadRequest(f"{target} is there already: name a new folder to export into")
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    beside.mkdir(parents=True)
    try:
        done = _fill(beside, list(answers.settled(db, up_to)), link, progress)
        if target.exists():
            target.rmdir()
        os.rename(beside, target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
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
    beside: Path, settled: list[answers.Answer], link: bool, progress: Callable[[float, str], None] | None
) -> Exported:
    done, folders = Exported(), _Folders()
    for number, answer in enumerate(settled, start=1):
        place = beside / folders.of(answer)
        place.mkdir(parents=True, exist_ok=True)
        if _bring(Path(answer.image.path), place, answer.image.id, link, done):
            done.labelled += answer.class_name is not None
            done.rejected += answer.class_name is None
        if progress is not None and (number % 50 == 0 or number == len(settled)):
            progress(number / len(settled), f"exported {number:,} of {len(settled):,} images")
    return done


class _Folders:
    """Which folder a class or reason goes to; no two names share one, whatever the file system makes of case."""

    def __init__(self) -> None:
        self._by_name: dict[str, str] = {}
        self._taken: set[str] = set()

    def of(self, answer: answers.Answer) -> Path:
        if answer.class_name is None:
            return Path(REJECTED) / safe_name(answer.reason or "no reason")
        if answer.class_name not in self._by_name:
            self._by_name[answer.class_name] = self._free(safe_name(answer.class_name))
        return Path(self._by_name[answer.class_name])

    def _free(self, name: str) -> str:
        free, number = name, 2
        while free.casefold() in self._taken:
            free, number = f"{name} ({number})", number + 1
        self._taken.add(free.casefold())
        return free


def _bring(source: Path, folder: Path, image_id: int, link: bool, done: Exported) -> bool:
    """Put one file into the folder, under its name with the image's id when that is taken; False when it is gone."""
    target = folder / source.name
    if target.exists():
        target = folder / f"{source.stem}-{image_id}{source.suffix}"
    if source.is_symlink() or not source.is_file():
        done.missing.append(str(source))
        return False
    if link:
        try:
            os.link(source, target)
            done.linked += 1
            return True
        except OSError:  # another disk, or one that knows no links
            pass
    shutil.copyfile(source, target)
    return True
