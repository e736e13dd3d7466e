"""Files that a browser sends: each into a folder of the workspace under a name of ours, written beside and renamed."""

from __future__ import annotations

import itertools
import os
import re
import secrets
import shutil
import time
from collections.abc import Collection
from pathlib import Path

from app import errors

FOLDER = "uploads"
BATCH = re.compile(r"\d{4}-\d{2}-\d{2}-\d{6}-[0-9a-f]{8}")
KEPT_FREE = 1_000_000_000  # bytes of disk that stay free: answers need room
LARGEST = 50_000_000_000  # bytes of one file, an archive perhaps
DEEPEST, LONGEST = 8, 120
_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # names that Windows keeps for devices


def begin(now: float) -> str:
    """A name for files that belong together."""
    return time.strftime("%Y-%m-%d-%H%M%S-", time.gmtime(now)) + secrets.token_hex(4)


def folder(workspace: Path, batch: str) -> Path:
    """Where a batch lies; raises BadRequest for a name that `begin` did not make."""
    if not BATCH.fullmatch(batch):
        raise errors.BadRequest(f"{batch!r} is no upload: begin one with POST /api/v1/uploads")
    return workspace / FOLDER / batch


def safe(name: str) -> Path | None:
    """A client's path as one below a folder: no root, no "..", no device, nothing hidden by odd characters.

    None where nothing is left of it. Of a deep path the last folders are kept; two names may become one.
    """
    parts = [_UNSAFE.sub("_", part).strip(" .") for part in name.replace("\\", "/").split("/")]
    kept = [_short(f"_{part}" if _RESERVED.match(part) else part) for part in parts if part]
    return Path(*kept[-DEEPEST:]) if kept else None


def _short(part: str) -> str:
    stem, suffix = os.path.splitext(part)
    kept = (
        part
        if len(part.encode()) <= LONGEST
        else stem.encode()[: LONGEST - len(suffix.encode())].decode("utf-8", "ignore") + suffix
    )
    return kept.encode("utf-8", "replace").decode()


def target(workspace: Path, batch: str, name: str) -> Path:
    """The path for a client's file; raises BadRequest where the name cannot be used."""
    place = safe(name)
    if place is None:
        raise errors.BadRequest(f"{name!r} is no file name")
    wanted = folder(workspace, batch) / place
    wanted.parent.mkdir(parents=True, exist_ok=True)
    return wanted


def free(wanted: Path, taken: Collection[Path]) -> Path:
    """The path itself, or with a number where it is taken."""
    numbered = (wanted.with_stem(f"{wanted.stem}-{number}") for number in itertools.count(2))
    return wanted if wanted not in taken else next(path for path in numbered if path not in taken)


class Receiver:
    """One file on its way: bytes go beside the target; `done` renames, `dropped` leaves nothing."""

    def __init__(self, wanted: Path) -> None:
        """`wanted` from `target`. A file of that name that is there already is replaced by the same file sent again."""
        self.wanted, self.bytes = wanted, 0
        self.beside = wanted.with_name(f".{wanted.name}.{secrets.token_hex(4)}.part")
        self.file = self.beside.open("wb")

    def take(self, chunk: bytes) -> None:
        """Write some bytes; raises BadRequest where the file is too large or the disk nearly full."""
        self.bytes += len(chunk)
        if self.bytes > LARGEST:
            raise errors.BadRequest(
                f"{self.wanted.name} is larger than {LARGEST // 1_000_000_000} GB: give a folder on the server"
            )
        room(self.wanted.parent, len(chunk))
        self.file.write(chunk)

    def done(self) -> None:
        """The whole file has come."""
        self.file.close()
        os.replace(self.beside, self.wanted)

    def dropped(self) -> None:
        """It will not come."""
        self.file.close()
        self.beside.unlink(missing_ok=True)


def room(place: Path, wanted: int) -> None:
    """Raises BadRequest where the disk would be left with less than a gigabyte."""
    there = place
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if free - wanted < KEPT_FREE:
        raise errors.BadRequest(
            f"the disk has {free / 1e9:.1f} GB left, of which 1 GB stays free for answers: make room, "
            "or give a folder on another disk"
        )
