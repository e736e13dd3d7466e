"""The export formats by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from app import errors
from app.exchange import imagefolder, labels_csv
from store.database import Database


def export(db: Database, path: str | Path, *, name: str) -> str:
    """Write the labels in the format `name` to `path`; returns a sentence that says what was written."""
    if name not in EXPORTS:
        raise errors.BadRequest(f"there is no export format {name!r}: choose {' or '.join(sorted(EXPORTS))}")
    return EXPORTS[name](db, Path(path))


def _csv(db: Database, path: Path) -> str:
    counts = labels_csv.export(db, path)
    return f"wrote {counts['labelled']:,} labelled and {counts['rejected']:,} rejected images to {path}"


def _imagefolder(db: Database, path: Path) -> str:
    done = imagefolder.export(db, path)
    gone = f"; {len(done.missing):,} files are gone, the first is {done.missing[0]}" if done.missing else ""
    return f"copied {done.labelled:,} labelled and {done.rejected:,} rejected images into {path}{gone}"


EXPORTS: dict[str, Callable[[Database, Path], str]] = {"csv": _csv, "imagefolder": _imagefolder}
