"""The event log as JSON lines: everything that anybody said, oldest first, with names beside the ids."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

from store import annotators, class_acts, images, labels
from store.database import Database


def export(db: Database, path: str | Path, *, up_to: int | None = None) -> int:
    """Write every event (up to a watermark) to `path`, beside and renamed; returns how many.

    A line holds all fields of store.records.Event (times in unix seconds), and `path`, `digest`, `annotator`, `class` (as
    that class was called at the moment asked for).
    The state of an image is the fold of its lines (store/fold.py), so the file alone tells every past moment.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    count = 0
    try:
        with db.read() as tx, beside.open("w", encoding="utf-8") as file:
            people = {person.id: person.name for person in annotators.all_(tx)}
            names = class_acts.named(tx, up_to).names
            files = {image.id: (image.path, image.digest) for image in images.ever(tx)}
            for event in labels.all_events(tx, up_to):
                place, digest = files[event.image_id]
                named = {"path": place, "digest": digest, "annotator": people[event.annotator_id]}
                told = {**vars(event), **named, "class": None if event.class_id is None else names[event.class_id]}
                file.write(json.dumps(told, ensure_ascii=False, allow_nan=False) + "\n")
                count += 1
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)
    return count
