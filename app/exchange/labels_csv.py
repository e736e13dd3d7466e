"""Labels as a CSV file: one row per settled image, safe to open in a spreadsheet; and any CSV of labels read back."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path

from app.exchange import answers, beside, fields, rows
from store.database import Database

BOX = ("box_x", "box_y", "box_w", "box_h")  # pixels of the upright picture at `path`; empty for a whole one
COLUMNS = (
    "image_id", "path", "state", "class", "reason", "note", "annotator", "source", "answered_at", "share",
    "suggestion", "suggestion_probability", "suggestion_visible", "overlay", "overlay_visible", "answer_ms",
    "input_mode", "asked_as", "publication", "round", "event", "digest",
    "answers", "agreement", "consensus_probability", "soft_label", *BOX,
)  # fmt: skip

_DELIMITERS = ",;\t"
_FORMULA = re.compile("'*[=+\\-@\\t\\r\\n＝＋－＠]")  # as OWASP lists them, behind any number of apostrophes

Cell = str | int | float | None


def export(db: Database, path: str | Path, *, up_to: int | None = None) -> dict[str, int]:
    """Write the labels to `path` (written beside and renamed, an older file is replaced); returns counts by state.

    With `up_to`, as they were at that watermark."""
    counts = {"labelled": 0, "rejected": 0}
    with beside.file(path) as new, new.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for answer in answers.settled(db, up_to):
            counts[answer.state] += 1
            writer.writerow(cells(answer))
    return counts


def lines(db: Database) -> Iterator[str]:
    """The same file line by line, for a download."""
    yield _line(COLUMNS)
    for answer in answers.settled(db):
        yield _line(cells(answer))


def read(path: Path) -> Iterator[rows.Told]:
    """The answers of a CSV file: ours, or any with a header that names an image and a class; None where a model answered.

    Commas, semicolons or tabs, as the header has them. Every cell may carry the apostrophe that `safe` puts before what
    a spreadsheet would take for a formula. Raises rows.Unreadable where the file is no CSV.
    """
    numbered = rows.lines(path)
    number, header = next(numbered, (1, ""))
    delimiter = max(_DELIMITERS, key=lambda each: _known(header, each))
    text = itertools.chain([header], (line for _, line in numbered))
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    begins = 1
    try:
        columns = next(reader, [])
        roles = rows.roles([as_said(name) for name in columns])
        while True:
            begins = reader.line_num + 1
            cells = next(reader)
            if not cells:
                continue
            if len(cells) != len(columns):
                told = f"{len(cells)} cells, the first line has {len(columns)}"
                yield rows.Problem(begins, "cells", told)
                continue
            try:
                yield from fields.of_cells(begins, {role: as_said(cells[at]) for at, role in roles.items()})
            except rows.Wrong as wrong:
                yield rows.Problem(begins, wrong.kind, wrong.text)
    except StopIteration:
        return
    except rows.Wrong as wrong:
        raise rows.Unreadable(number, wrong.kind, wrong.text) from wrong
    except csv.Error as problem:
        raise rows.Unreadable(begins, "not CSV", f"no CSV from here on: {problem}") from problem


def _known(header: str, delimiter: str) -> int:
    try:
        cells = next(csv.reader([header], delimiter=delimiter), [])
    except csv.Error:
        return 0
    return sum(cell.strip().casefold() in rows.ROLES for cell in cells)


def safe(cell: Cell) -> Cell:
    """A cell that no spreadsheet takes for a formula: text that begins like one gets an apostrophe in front."""
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def as_said(text: str) -> str:
    """What a text was before `safe`: whoever reads such a file back takes the apostrophe off again."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text


def cells(answer: answers.Answer) -> list[Cell]:
    """One row, in the order of COLUMNS."""
    event, image = answer.event, answer.image
    cells: list[Cell] = [
        image.id, image.file, answer.state, answer.class_name, answer.reason, event.note, answer.annotator,
        event.source, answers.written(answer.at), answers.SHARES[image.holdout],
        answer.suggestion, event.suggestion_probability, event.suggestion_visible, event.overlay_kind,
        event.overlay_visible, event.shown_ms,
        event.input_mode, event.queue_reason, event.publication_id, event.round_id, event.seq, image.digest,
        answer.people, None if answer.agreement is None else round(answer.agreement, 4), answer.probability,
        json.dumps(answer.soft, ensure_ascii=False) if answer.soft else None,
        image.box_x, image.box_y, image.box_w, image.box_h,
    ]  # fmt: skip
    return [safe(cell) for cell in cells]


def _line(cells: tuple[str, ...] | list[Cell]) -> str:
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue()
