"""People's labels and the model's certified ones as CSV, with the promise that holds for them."""

from __future__ import annotations

import csv
import datetime
import io
import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app import errors, finishing, predictions
from app.exchange import answers, labels_csv
from store import classes, images, labels, records
from store.database import Database

COLUMNS = (
    "image_id", "path", "class", "source", "confidence", "annotator", "event", "publication", "digest", *labels_csv.BOX,
)  # fmt: skip
PERSON, MODEL = "person", "model"


@dataclass(frozen=True)
class Certified:
    """Rows by image id, as COLUMNS says, and what is promised of them."""

    rows: list[list[labels_csv.Cell]]
    promise: dict[str, Any]


def collect(db: Database, workspace: Path, share: float, *, now: float) -> Certified:
    """Everything that may be exported with at most `share` wrong. BadRequest while nothing is measured."""
    told, share = predictions.measured(workspace), finishing.checked(share)
    if told is None:
        raise errors.BadRequest("nothing is measured yet: label images of two classes and let the worker rest a moment")
    found = predictions.load(workspace, told["publication"])
    rows = {answer.image.id: _of_person(answer) for answer in answers.settled(db) if answer.class_name is not None}
    with db.read() as tx:
        settled = [each.image_id for each in labels.settled(tx)]
        usable = [image.id for image in images.all_ok(tx)]
        stands_for = classes.resolve(tx)
        names = {each.id: each.name for each in classes.all_(tx)}
        open_N = np.isin(found.image_ids_N, usable) & ~np.isin(found.image_ids_N, settled)
        score_N = found.score_N.astype(np.float64)
        now_open = [
            {**each, "model": int((open_N & (score_N > each["above"])).sum())} for each in told["frontier"]
        ]  # fmt: skip
        best = finishing.choose(now_open, people=len(rows), share=share)
        at = np.flatnonzero(open_N & (score_N > best["above"])) if best else np.empty(0, np.int64)
        for row, image in zip(at, images.get_many(tx, found.image_ids_N[at].tolist()), strict=True):
            name = names.get(stands_for.get(int(found.top_class_N[row]), -1))
            if name is not None:  # a class that was retired since labels nothing
                sure, publication = round(float(score_N[row]), 4), told["publication"]
                rows[image.id] = [image.id, image.file, name, MODEL, sure, None, None, publication, *_content(image)]
    ordered = [[labels_csv.safe(cell) for cell in rows[image_id]] for image_id in sorted(rows)]
    return Certified(ordered, _promise(told, share, ordered, best, now))


def export(db: Database, path: Path, workspace: Path, share: float, *, now: float) -> str:
    """Write the CSV to `path` and the promise to PATH.json, beside and renamed; returns a sentence."""
    found = collect(db, workspace, share, now=now)
    _put(path, "".join(_lines(found.rows)))
    _put(path.with_name(path.name + ".json"), json.dumps(found.promise, indent=1))
    people, model = found.promise["people"], found.promise["model"]
    return f"wrote {people:,} labels of people and {model:,} of the model to {path}: {found.promise['statement']}"


def lines(found: Certified) -> Iterator[str]:
    """The file line by line, for a download."""
    return _lines(found.rows)


def _lines(rows: list[list[labels_csv.Cell]]) -> Iterator[str]:
    head: list[labels_csv.Cell] = [*COLUMNS]
    for row in (head, *rows):
        text = io.StringIO()
        csv.writer(text).writerow(row)
        yield text.getvalue()


def _of_person(answer: answers.Answer) -> list[labels_csv.Cell]:
    event = answer.event
    return [
        answer.image.id, answer.image.file, answer.class_name, PERSON, None, answer.annotator, event.seq,
        event.publication_id, *_content(answer.image),
    ]  # fmt: skip


def _content(image: records.Image) -> list[labels_csv.Cell]:
    return [image.digest, image.box_x, image.box_y, image.box_w, image.box_h]


def _promise(
    told: dict[str, Any], share: float, rows: list[list[labels_csv.Cell]], best: dict[str, Any] | None, now: float
) -> dict[str, Any]:
    model = sum(row[3] == MODEL for row in rows)
    rate, sure = finishing.percent(share), finishing.percent(told["confidence"])
    return {
        "statement": f"at most {rate} of these {len(rows):,} labels are wrong, at {sure} confidence, people taken as right",
        "wrong_at_most": share,
        "confidence": told["confidence"],
        "people": len(rows) - model,
        "model": model,
        "score_above": best["above"] if best else None,
        "model_labels_wrong_at_most": best["wrong"] if best else 0.0,
        "blind_answers": told["answers"],
        "publication": told["publication"],
        "exported_at": datetime.datetime.fromtimestamp(now, tz=datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        beside.write_text(text, encoding="utf-8", newline="")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
