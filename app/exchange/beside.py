"""What an export writes appears under its name when it is complete, and never in part."""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from app import errors


@contextlib.contextmanager
def file(path: str | Path) -> Iterator[Path]:
    """A new file to write, which then replaces `path`; left out again where writing fails."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        yield new
        os.replace(new, target)
    finally:
        new.unlink(missing_ok=True)


@contextlib.contextmanager
def folder(path: str | Path) -> Iterator[Path]:
    """A new folder to fill, which then gets the name `path`; raises BadRequest when something is there already."""
    target = Path(path).expanduser().absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise errors.BadRequest(f"{target} is there already: name a new folder to export into")
    new = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    new.mkdir(parents=True)
    try:
        yield new
        if target.exists():
            target.rmdir()
        os.rename(new, target)
    finally:
        shutil.rmtree(new, ignore_errors=True)
