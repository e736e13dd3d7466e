"""An import that was decided on: its record in the store, and the short transactions that carry it out or take it back.

The rows wait in a file of the workspace, the record (a setting, so that it travels with the labels) says how far they are
stored; both move on in one transaction, so whoever comes after a kill goes on exactly there.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import json
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy.engine import Connection

from app import import_check, snapshot
from app.import_check import Staged
from store import annotators, classes, fold, label_batches, labels, records
from store import errors as store_errors
from store import settings as stored
from store.database import Database

BATCH = 250  # rows in a transaction: about 30 ms of the write lock on an idle machine
PREFIX = "import:"
CODES = "import-codes:"  # ids of classes and annotators by code, written once
NEW, THERE, KEPT, CLASH = "new", "there", "kept", "clash"  # what becomes of a row
APPLYING, DONE, UNDOING, UNDONE = "applying", "done", "undoing", "undone"


@dataclasses.dataclass
class Import:
    """One import. `offset`: bytes of its file that are stored; `parts`: [first, last] seq of its events."""

    id: int
    uuid: str
    file: str  # as the person named it
    format: str
    over: bool  # whether it also answers images that people answered here
    rows: int
    begun_at: float
    status: str = APPLYING
    offset: int = 0
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    parts: list[list[int]] = dataclasses.field(default_factory=list)
    undone_to: int = 0  # seq up to which it was taken back
    longest_lock_s: float = 0.0
    last_lock_s: float = 0.0

    @property
    def log(self) -> bool:
        return self.format == "events"

    @property
    def unfinished(self) -> bool:
        return self.status in (APPLYING, UNDOING)

    def path(self, workspace: Path) -> Path:
        """Where its rows wait until they are stored."""
        return workspace / "imports" / f"{self.uuid}.jsonl"


def all_(tx: Connection) -> list[Import]:
    """Every import there was, oldest first."""
    found = [Import(**value) for value in stored.with_prefix(tx, PREFIX).values()]
    return sorted(found, key=lambda each: each.id)


def begin(tx: Connection, new: Import, checked: import_check.Checked, now: float) -> None:
    """Decide on an import whose rows wait in its file: from here on it is carried out whole, whatever ends this process.

    Adds its classes and annotators. Raises store errors when a class of the file is gone since it was checked.
    """
    class_ids = []
    for name, class_id in checked.classes:
        known = classes.by_name(tx, name) if class_id is None else classes.get(tx, class_id)
        if known is not None and known.status == "retired":
            raise store_errors.UnknownClass(f"class {name!r} was retired just now: start again")
        class_ids.append(known.id if known else classes.add(tx, name, now).id)
    people = [annotators.ensure(tx, name, now).id for name in checked.annotators]
    stored.set_setting(tx, f"{CODES}{new.id}", {"classes": class_ids, "annotators": people})
    save(tx, new)


def class_ids(tx: Connection, one: Import) -> list[int]:
    """The classes of its file by code."""
    codes: dict[str, list[int]] = stored.get_setting(tx, f"{CODES}{one.id}")
    return codes["classes"]


def save(tx: Connection, one: Import) -> None:
    """Keep the record."""
    stored.set_setting(tx, f"{PREFIX}{one.id}", vars(one))


def step(db: Database, workspace: Path, one: Import, now: float) -> bool:
    """Carry out, or take back, some more of an import; returns whether more is to do. Only for who holds its role."""
    if one.status == UNDOING:
        return _take_back(db, one, now)
    path = one.path(workspace)
    try:
        waiting, offset, last = _read(path, one.offset)
    except (FileNotFoundError, ValueError, TypeError):  # damaged, or of a database that was copied in the middle
        with db.write(durable=True) as tx:
            one.status = UNDOING
            save(tx, one)
        return True
    began = time.monotonic()
    with db.write(durable=last) as tx:
        began = time.monotonic()
        after = dataclasses.replace(
            one, offset=offset, status=DONE if last else APPLYING, parts=[*map(list, one.parts)]
        )
        _store(tx, after, waiting, now)
        if last and sum(after.counts.values()) != one.rows:  # cut short: what is stored of it is taken back
            after.status = UNDOING
        after.longest_lock_s = max(one.longest_lock_s, round(time.monotonic() - began, 4))
        save(tx, after)
    vars(one).update(vars(after))
    one.last_lock_s = round(time.monotonic() - began, 4)  # with the commit
    one.longest_lock_s = max(one.longest_lock_s, one.last_lock_s)
    if last:
        path.unlink(missing_ok=True)
    return one.unfinished


class Decider:
    """What becomes of rows: new, there already, kept (what people said here stands), or a clash of identifiers."""

    def __init__(
        self, tx: Connection, one: Import, class_ids: Sequence[int | None], people: Sequence[int | None]
    ) -> None:
        self.tx, self.one, self.class_ids, self.people = tx, one, class_ids, people
        self.final = classes.resolve(tx)
        taken_back = [each for each in all_(tx) if each.status == UNDONE] if one.log else []
        self.undone = sorted(tuple(part) for each in taken_back for part in each.parts)

    def decide(self, rows: Sequence[Staged]) -> list[tuple[Staged, str]]:
        """Each row with its verdict; a row of an event log comes with the uuid that it is to have."""
        said = label_batches.of_images(self.tx, sorted({row.image_id for row in rows}))
        if not self.one.log:
            return [(row, self._verdict(row, said.get(row.image_id, []))) for row in rows]
        names = self.names([row.uuid or "" for row in rows])
        out = []
        for row, (name, found) in zip(rows, names, strict=True):
            row = row._replace(uuid=name)
            if found is not None:
                same = (found.image_id, found.kind) == (row.image_id, row.kind)
                out.append((row, THERE if same else CLASH))
            elif row.kind in fold.SETTLING and self._people_said(said.get(row.image_id, [])):
                out.append((row, KEPT))
            else:
                out.append((row, NEW))
        return out

    def names(self, uuids: Sequence[str]) -> list[tuple[str, records.Event | None]]:
        """Each uuid, or the next made from it while an import that was taken back holds it; and the event that has it."""
        names, number = list(uuids), 0
        found: dict[str, records.Event] = label_batches.by_uuid(self.tx, names)
        while again := [at for at, name in enumerate(names) if name in found and self._is_undone(found[name].seq)]:
            number += 1
            for at in again:
                names[at] = str(uuid.uuid5(uuid.UUID(uuids[at]), str(number)))
            found |= label_batches.by_uuid(self.tx, [names[at] for at in again])
        return [(name, found.get(name)) for name in names]

    def _verdict(self, row: Staged, said: list[records.Event]) -> str:
        """For a row that is no event: by what its annotator says now, and by what people said on the page."""
        who, standing = self.people[row.annotator_code], _standing(said)
        mine = [event for event in standing if event.annotator_id == who and event.kind in fold.ANSWERS]
        class_id = None if row.class_code is None else self.class_ids[row.class_code]
        if mine and (mine[-1].kind, self._now(mine[-1].class_id), mine[-1].reason) == (
            row.kind, self._now(class_id), row.reason,
        ):  # fmt: skip
            return THERE
        return KEPT if self._people_said(said) else NEW

    def _people_said(self, said: list[records.Event]) -> bool:
        answers = (event for event in _standing(said) if event.kind in fold.SETTLING)
        return not self.one.over and any(event.source != "import" for event in answers)

    def _now(self, class_id: int | None) -> int | None:
        return None if class_id is None else self.final.get(class_id, class_id)

    def _is_undone(self, seq: int) -> bool:
        at = bisect.bisect_right(self.undone, (seq, float("inf"))) - 1
        return at >= 0 and self.undone[at][0] <= seq <= self.undone[at][1]


def _standing(said: list[records.Event]) -> list[records.Event]:
    taken = {event.target_seq for event in said if event.kind == "retract"}
    return [event for event in said if event.seq not in taken and event.kind != "retract"]


def _store(tx: Connection, one: Import, waiting: Sequence[Staged], now: float) -> None:
    codes = stored.get_setting(tx, f"{CODES}{one.id}")
    decider = Decider(tx, one, codes["classes"], codes["annotators"])
    decided = decider.decide(waiting)
    counts = Counter(one.counts) + Counter(verdict for _, verdict in decided)
    new = [_event(one, row, codes) for row, verdict in decided if verdict == NEW and row.kind != "retract"]
    before = labels.watermark(tx)
    label_batches.append_many(tx, new, now)
    backs = [row for row, verdict in decided if verdict == NEW and row.kind == "retract"]
    targets = decider.names([row.target or "" for row in backs])
    found = [(row, target) for row, (_, target) in zip(backs, targets, strict=True) if target is not None]
    good = [(row, target) for row, target in found if target.image_id == row.image_id and target.kind != "retract"]
    label_batches.append_many(tx, [_event(one, row, codes, target.seq) for row, target in good], now)
    counts.update({NEW: len(good) - len(backs), KEPT: len(backs) - len(good)})  # what was not taken is not taken back
    after = labels.watermark(tx)
    if after > before:
        if one.parts and one.parts[-1][1] == before:
            one.parts[-1][1] = after
        else:
            one.parts.append([before + 1, after])
    one.counts = dict(counts)


def _event(one: Import, row: Staged, codes: dict[str, Any], target_seq: int | None = None) -> records.NewEvent:
    return records.NewEvent(
        uuid=row.uuid if one.log and row.uuid else _own_uuid(one, row.line),
        image_id=row.image_id,
        annotator_id=codes["annotators"][row.annotator_code],
        kind=row.kind,
        class_id=None if row.class_code is None else codes["classes"][row.class_code],
        reason=row.reason,
        note=row.note,
        target_seq=target_seq,
        source="import",
        client_at=row.at,
        asked_id=None if row.asked_code is None else codes["annotators"][row.asked_code],
    )


def _own_uuid(one: Import, line: int) -> str:
    """The import's identifier with the line in its last 40 bits: neighbours lie together in the store's index."""
    return str(uuid.UUID(int=uuid.UUID(one.uuid).int >> 40 << 40 | line))


def _take_back(db: Database, one: Import, now: float) -> bool:
    """Append a retract for each of its events that still stands, some at a time."""
    with db.read() as tx:
        last = not _next_events(tx, one)
    with db.write(durable=last) as tx:
        after = dataclasses.replace(one, counts=dict(one.counts))
        events = _next_events(tx, one)
        said = label_batches.of_images(tx, sorted({each.image_id for each in events}))
        taken = {event.target_seq for some in said.values() for event in some}
        importer = annotators.ensure(tx, snapshot.IMPORTER, now).id
        backs = [
            records.NewEvent(
                uuid=str(uuid.uuid5(uuid.UUID(one.uuid), f"undo {event.seq}")), image_id=event.image_id,
                annotator_id=importer, kind="retract", target_seq=event.seq, source="import",
            )
            for event in events
            if event.kind != "retract" and event.seq not in taken
        ]  # fmt: skip
        label_batches.append_many(tx, backs, now)
        after.counts["taken back"] = after.counts.get("taken back", 0) + len(backs)
        after.undone_to = events[-1].seq if events else one.undone_to
        after.status = UNDOING if events else UNDONE
        save(tx, after)
    vars(one).update(vars(after))
    return one.unfinished


def _next_events(tx: Connection, one: Import) -> list[records.Event]:
    for first, last in one.parts:
        if last > one.undone_to:
            return label_batches.between(tx, max(first, one.undone_to + 1), last, BATCH)
    return []


def _read(path: Path, offset: int) -> tuple[list[Staged], int, bool]:
    """The next rows of a staged file, where they end, and whether they are the last."""
    with path.open("rb") as file:
        file.seek(offset)
        lines = list(itertools.islice(file, BATCH))
        rows = [Staged(*json.loads(line)) for line in lines]
        return rows, offset + sum(map(len, lines)), not file.read(1)


def batches(rows: Iterator[Staged]) -> Iterator[list[Staged]]:
    """Rows as many at a time as a transaction takes."""
    while batch := list(itertools.islice(rows, BATCH)):
        yield batch
