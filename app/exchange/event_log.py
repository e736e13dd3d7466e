"""The event log as JSON lines: everything that anybody said, oldest first, with names beside the ids; and read back."""

from __future__ import annotations

import array
import bisect
import json
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from app.exchange import beside, labels_jsonl, rows
from store import annotators, class_acts, images, labels
from store.database import Database

KINDS = ("label", "reject", "skip", "flag", "retract", "review")


def export(db: Database, path: str | Path, *, up_to: int | None = None) -> int:
    """Write every event (up to a watermark) to `path`, beside and renamed; returns how many.

    A line holds all fields of store.records.Event (times in unix seconds), and `path`, `digest`, `annotator`, `asked` (the
    name of who was asked), `class` (as that class was called at the moment asked for).
    The state of an image is the fold of its lines (store/fold.py), so the file alone tells every past moment.
    """
    count = 0
    with db.read() as tx, beside.file(path) as new, new.open("w", encoding="utf-8") as file:
        people = {person.id: person.name for person in annotators.all_(tx)}
        names = class_acts.named(tx, up_to).names
        files = {image.id: (image.path, image.digest) for image in images.ever(tx)}
        for event in labels.all_events(tx, up_to):
            place, digest = files[event.image_id]
            named = {"path": place, "digest": digest, "annotator": people[event.annotator_id]}
            named["asked"] = None if event.asked_id is None else people[event.asked_id]
            told = {**vars(event), **named, "class": None if event.class_id is None else names[event.class_id]}
            file.write(json.dumps(told, ensure_ascii=False, allow_nan=False) + "\n")
            count += 1
    return count


def read(path: Path) -> Iterator[rows.Row | rows.Problem]:
    """The events of a file that export() wrote, oldest first; a retract comes with the uuid of what it takes back."""
    log = _Log()
    for line, told in labels_jsonl.objects(path):
        if isinstance(told, rows.Problem):
            yield told
            continue
        try:
            yield log.row(line, told)
        except rows.Wrong as wrong:
            yield rows.Problem(line, wrong.kind, wrong.text)


class _Log:
    """What is remembered of the lines before: the number and the uuid of each event, 24 bytes together."""

    def __init__(self) -> None:
        self.seqs, self.uuids = array.array("q"), bytearray()

    def row(self, line: int, told: Mapping[str, Any]) -> rows.Row:
        kind, seq = told.get("kind"), told.get("seq")
        if kind not in KINDS:
            raise rows.Wrong("kind", f"{rows.shown(str(kind))} is no kind of event: {', '.join(KINDS)}")
        if not isinstance(seq, int) or isinstance(seq, bool) or not (self.seqs[-1] if self.seqs else 0) < seq < 2**53:
            raise rows.Wrong("order", f"seq {rows.shown(str(seq))} does not follow the events before it")
        name = _text(told, "uuid")
        try:
            own = uuid.UUID(name)
        except ValueError as problem:
            raise rows.Wrong("uuid", f"{rows.shown(name)} is no uuid") from problem
        target = self._target(told.get("target_seq")) if kind == "retract" else None
        self.seqs.append(seq)
        self.uuids += own.bytes
        at = told.get("received_at")
        return rows.checked(
            rows.Row(
                line, _text(told, "path"), _text(told, "digest") or None, kind, _text(told, "class") or None,
                _text(told, "reason") or None, _text(told, "note") or None, _text(told, "annotator") or None,
                rows.moment(repr(at)) if isinstance(at, (int, float)) else None, str(own), target,
                _text(told, "asked") or None,
            )
        )  # fmt: skip

    def _target(self, seq: Any) -> str:
        at = bisect.bisect_left(self.seqs, seq) if isinstance(seq, int) else len(self.seqs)
        if at == len(self.seqs) or self.seqs[at] != seq:
            raise rows.Wrong("target", f"it takes back event {rows.shown(str(seq))}, which does not stand before it")
        return str(uuid.UUID(bytes=bytes(self.uuids[16 * at : 16 * at + 16])))


def _text(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name)
    if value is not None and not isinstance(value, str):
        raise rows.Wrong("not text", f"{name} is {rows.shown(json.dumps(value))}: an export writes a text there")
    return value or ""
