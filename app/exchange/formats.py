"""The export and import formats by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from app import errors
from app.exchange import event_log, imagefolder, labels_csv, labels_jsonl, rows
from store.database import Database


def export(db: Database, path: str | Path, *, name: str, up_to: int | None = None) -> str:
    """Write the labels in the format `name` to `path`, as they are or were at watermark `up_to`; returns a sentence."""
    if name not in EXPORTS:
        raise errors.BadRequest(f"there is no export format {name!r}: choose {', '.join(sorted(EXPORTS))}")
    return EXPORTS[name](db, Path(path), up_to)


def _csv(db: Database, path: Path, up_to: int | None) -> str:
    counts = labels_csv.export(db, path, up_to=up_to)
    return f"wrote {counts['labelled']:,} labelled and {counts['rejected']:,} rejected images to {path}"


def _imagefolder(db: Database, path: Path, up_to: int | None) -> str:
    done = imagefolder.export(db, path, up_to=up_to)
    gone = f"; {len(done.missing):,} files are gone, the first is {done.missing[0]}" if done.missing else ""
    return f"copied {done.labelled:,} labelled and {done.rejected:,} rejected images into {path}{gone}"


def _events(db: Database, path: Path, up_to: int | None) -> str:
    return f"wrote {event_log.export(db, path, up_to=up_to):,} events to {path}"


EXPORTS: dict[str, Callable[[Database, Path, int | None], str]] = {
    "csv": _csv,
    "events": _events,
    "imagefolder": _imagefolder,
}

# name -> the answers of a file, one after the other; None for a row that only a model answered
IMPORTS: dict[str, Callable[[Path], Iterator[rows.Row | rows.Problem | None]]] = {
    "csv": labels_csv.read,
    "events": event_log.read,
    "jsonl": labels_jsonl.read,
}
