"""Labels as a CSV file: one row per settled image, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import datetime
import io
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from app.exchange import answers
from store.database import Database

COLUMNS = (
    "image_id", "path", "state", "class", "reason", "note", "annotator", "source", "answered_at", "share",
    "suggestion", "suggestion_probability", "suggestion_visible", "overlay", "overlay_visible", "answer_ms",
    "input_mode", "asked_as", "publication", "round", "event", "digest",
    "answers", "agreement", "consensus_probability",
)  # fmt: skip

_SHARES = ("pool", "calibration", "test")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")

Cell = str | int | float | None


def export(db: Database, path: str | Path, *, up_to: int | None = None) -> dict[str, int]:
    """Write the labels to `path` (written beside and renamed, an older file is replaced); returns counts by state.

    With `up_to`, as they were at that watermark."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    counts = {"labelled": 0, "rejected": 0}
    try:
        with beside.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for answer in answers.settled(db, up_to):
                counts[answer.state] += 1
                writer.writerow(_cells(answer))
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)
    return counts


def lines(db: Database) -> Iterator[str]:
    """The same file line by line, for a download."""
    yield _line(COLUMNS)
    for answer in answers.settled(db):
        yield _line(_cells(answer))


def safe(cell: Cell) -> Cell:
    """A cell that no spreadsheet takes for a formula: text that begins like one gets an apostrophe in front."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def _cells(answer: answers.Answer) -> list[Cell]:
    event, image = answer.event, answer.image
    at = datetime.datetime.fromtimestamp(event.received_at, tz=datetime.timezone.utc)
    cells: list[Cell] = [
        image.id, image.path, answer.state, answer.class_name, answer.reason, event.note, answer.annotator,
        event.source, at.isoformat(timespec="milliseconds"), _SHARES[image.holdout],
        answer.suggestion, event.suggestion_probability, event.suggestion_visible, event.overlay_kind,
        event.overlay_visible, event.shown_ms,
        event.input_mode, event.queue_reason, event.publication_id, event.round_id, event.seq, image.digest,
        answer.people, None if answer.agreement is None else round(answer.agreement, 4), answer.probability,
    ]  # fmt: skip
    return [safe(cell) for cell in cells]


def _line(cells: tuple[str, ...] | list[Cell]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()
