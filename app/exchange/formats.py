"""The export and import formats by name; docs/formats.md says what each can hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from app import errors
from app.exchange import (
    class_folders,
    coco,
    croissant,
    event_log,
    fiftyone,
    huggingface,
    imagefolder,
    labels_csv,
    labels_jsonl,
    labelstudio,
    rows,
    yolo,
)
from store.database import Database

Place = Callable[[int], str]


def export(db: Database, path: str | Path, *, name: str, up_to: int | None = None) -> str:
    """Write the labels in the format `name` to `path`, as they are or were at watermark `up_to`; returns a sentence."""
    if name not in EXPORTS:
        raise errors.BadRequest(f"there is no export format {name!r}: choose {', '.join(sorted(EXPORTS))}")
    return EXPORTS[name](db, Path(path), up_to)


def line(number: int) -> str:
    """Where a row of this number stands in a file whose rows are lines."""
    return f"line {number:,}"


def _file(write: Callable[[Database, Path, int | None], dict[str, int]]) -> Callable[[Database, Path, int | None], str]:
    def written(db: Database, path: Path, up_to: int | None) -> str:
        counts = write(db, path, up_to)
        return f"wrote {counts['labelled']:,} labelled and {counts['rejected']:,} rejected images to {path}"

    return written


def _folder(
    write: Callable[[Database, Path, int | None], imagefolder.Exported],
) -> Callable[[Database, Path, int | None], str]:
    def copied(db: Database, path: Path, up_to: int | None) -> str:
        done = write(db, path, up_to)
        gone = f"; {len(done.missing):,} files are gone, the first is {done.missing[0]}" if done.missing else ""
        return f"copied {done.labelled:,} labelled and {done.rejected:,} rejected images into {path}{gone}"

    return copied


def _events(db: Database, path: Path, up_to: int | None) -> str:
    return f"wrote {event_log.export(db, path, up_to=up_to):,} events to {path}"


EXPORTS: dict[str, Callable[[Database, Path, int | None], str]] = {
    "coco": _file(coco.export),
    "croissant": _folder(croissant.export),
    "csv": _file(lambda db, path, up_to: labels_csv.export(db, path, up_to=up_to)),
    "events": _events,
    "fiftyone": _folder(fiftyone.export),
    "huggingface": _folder(huggingface.export),
    "imagefolder": _folder(lambda db, path, up_to: imagefolder.export(db, path, up_to=up_to)),
    "jsonl": _file(labels_jsonl.export),
    "labelstudio": _file(labelstudio.export),
    "yolo": _folder(yolo.export),
}

IMPORTS: dict[str, Callable[[Path], Iterator[rows.Told]]] = {
    "coco": coco.read,
    "croissant": croissant.read,
    "csv": labels_csv.read,
    "events": event_log.read,
    "fiftyone": fiftyone.read,
    "huggingface": huggingface.read,
    "imagefolder": class_folders.read,
    "jsonl": labels_jsonl.read,
    "labelstudio": labelstudio.read,
    "yolo": yolo.read,
}

FOLDERS = frozenset(("croissant", "fiftyone", "huggingface", "imagefolder", "yolo"))  # a folder is read
FILES = frozenset(IMPORTS) - {"croissant", "fiftyone", "imagefolder", "yolo"}  # one file alone can be read

# Where a numbered row of a file stands, in words; line() where a format is not here.
PLACES: dict[str, Place] = {
    "coco": coco.place,
    "croissant": croissant.place,
    "fiftyone": fiftyone.place,
    "huggingface": huggingface.place,
    "imagefolder": class_folders.place,
    "labelstudio": labelstudio.place,
    "yolo": class_folders.place,
}
