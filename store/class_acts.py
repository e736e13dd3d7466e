"""What was changed about the classes: every change is written through here, kept for ever, and can be undone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import errors, schema

_T, _C, _I, _E = schema.class_acts, schema.classes, schema.class_images, schema.label_events
IMAGES = "images"  # beside the columns of classes: the ids of a class's reference images, in their order
COLUMNS = ("name", "key", "position", "status", "merged_into", "parent_id", "note", "shortcut")
_CHUNK = 500  # bound parameters per statement stay far under SQLite's limit

Values = dict[int, dict[str, Any]]  # class id -> column -> value


@dataclass(frozen=True, kw_only=True)
class ClassAct:
    """One change: by whom, what it was (`act`), and which columns it changed; a class it added had None before."""

    seq: int
    at: float
    watermark: int
    actor: str
    class_id: int
    act: str
    before: dict[int, dict[str, Any] | None]
    after: Values
    undoes: int | None


class Moment(int):
    """A moment of the past: the seq of the newest label event then; `acts` is that of the newest change of a class."""

    acts: int


class Named(NamedTuple):
    """What the classes were called, and which one stood for each, at one moment; both by class id."""

    names: dict[int, str]
    stands_for: dict[int, int]


def change(
    tx: Connection, act: str, class_id: int, values: Values, *, now: float, by: str = "", undoes: int | None = None
) -> int | None:
    """Write `values` and append them to the history; returns the change's seq, None where nothing differs.

    Checks nothing: who calls knows the rules.
    """
    _lock(tx)
    shown = _values(tx, values)
    differ = {k: {c: v for c, v in new.items() if v != shown[k][c]} for k, new in values.items()}
    differ = {k: new for k, new in differ.items() if new}
    if not differ:
        return None
    _write(tx, differ)
    before = {k: {c: shown[k][c] for c in new} for k, new in differ.items()}
    row = {"at": now, "actor": by, "class_id": class_id, "act": act, "undoes": undoes}
    return _append(tx, {**row, "before": json.dumps(before), "after": json.dumps(differ)})


def added(tx: Connection, class_id: int, values: dict[str, Any], *, now: float, by: str = "") -> int:
    """Append to the history that a class was added, with these columns."""
    row = {"at": now, "actor": by, "class_id": class_id, "act": "add", "undoes": None}
    after = {class_id: {column: values.get(column) for column in COLUMNS}}
    return _append(tx, {**row, "before": json.dumps({class_id: None}), "after": json.dumps(after)})


def newest(tx: Connection) -> int:
    """Return the seq of the newest change, 0 before the first."""
    return tx.scalar(sa.select(sa.func.max(_T.c.seq))) or 0


def get(tx: Connection, seq: int) -> ClassAct:
    """Read one change; raises errors.UnknownAct."""
    row = tx.execute(sa.select(_T).where(_T.c.seq == seq)).one_or_none()
    if row is None:
        raise errors.UnknownAct(f"no change of the classes has number {seq}")
    return _act(row)


def latest(tx: Connection, count: int, *, class_id: int | None = None, before: int | None = None) -> list[ClassAct]:
    """List changes, the newest first: of one class or all, those ahead of the seq `before`."""
    query = sa.select(_T).order_by(_T.c.seq.desc()).limit(count)
    query = query if class_id is None else query.where(_T.c.class_id == class_id)
    return [_act(row) for row in tx.execute(query if before is None else query.where(_T.c.seq < before))]


def since(tx: Connection, seq: int) -> list[ClassAct]:
    """List the changes after `seq`, the newest first."""
    return [_act(row) for row in tx.execute(sa.select(_T).where(_T.c.seq > seq).order_by(_T.c.seq.desc()))]


def undone(tx: Connection) -> set[int]:
    """Find the changes that were undone and not redone by undoing that."""
    pairs = tx.execute(sa.select(_T.c.seq, _T.c.undoes).where(_T.c.undoes.is_not(None)).order_by(_T.c.seq.desc()))
    gone: set[int] = set()
    for seq, target in pairs:
        if seq not in gone:
            gone.add(target)
    return gone


def undo(tx: Connection, seq: int, *, now: float, by: str = "") -> int:
    """Give what a change changed its former values again; returns the new change's seq.

    Raises errors.UnknownAct, and ChangedSince where one of those values was changed again since. Whether names, keys
    and parents still fit together is for the caller to check.
    """
    done = get(tx, seq)
    if seq in undone(tx):
        raise errors.ChangedSince("that change is undone already")
    back: Values = {k: values for k, values in done.before.items() if values is not None}
    for k in done.before.keys() - back.keys():  # a class that was added stays, out of use: ids are for ever
        back[k] = {"status": "retired", "key": None, "shortcut": None}
    shown = _values(tx, back)
    for k, values in back.items():
        column = next((c for c in values if c in done.after[k] and shown[k][c] != done.after[k][c]), None)
        if column is not None:
            raise errors.ChangedSince(_resting(tx, done, k, column))
    written = change(tx, "undo", done.class_id, back, now=now, by=by, undoes=seq)
    if written is None:
        raise errors.ChangedSince("there is nothing left of that change to undo")
    return written


def images_of(tx: Connection, class_ids: Iterable[int]) -> dict[int, list[int]]:
    """Map classes to their reference images, in their order; classes without any are left out."""
    wanted, found = list(class_ids), dict[int, list[int]]()
    for start in range(0, len(wanted), _CHUNK):
        query = sa.select(_I.c.class_id, _I.c.image_id).where(_I.c.class_id.in_(wanted[start : start + _CHUNK]))
        for class_id, image_id in tx.execute(query.order_by(_I.c.class_id, _I.c.position)):
            found.setdefault(class_id, []).append(image_id)
    return found


def moment(tx: Connection, event: int, time: float | None = None) -> Moment:
    """Tell the moment right after a label event, or, where given, the later one at `time` (unix seconds)."""
    until = _T.c.watermark < event if time is None else _T.c.at <= time
    told = Moment(event)
    told.acts = tx.scalar(sa.select(sa.func.max(_T.c.seq)).where(until)) or 0
    return told


def named(tx: Connection, at: int | None = None) -> Named:
    """Tell what every class is called and which one stands for it: now, or at a Moment."""
    rows = tx.execute(sa.select(_C.c.id, _C.c.name, _C.c.merged_into))
    known: Values = {row.id: {"name": row.name, "merged_into": row.merged_into} for row in rows}
    for act in since(tx, at.acts) if isinstance(at, Moment) else []:
        for class_id, values in act.before.items():
            if values is not None:
                known[class_id] |= {c: v for c, v in values.items() if c in known[class_id]}
    names = {class_id: values["name"] for class_id, values in known.items()}
    return Named(names, {class_id: values["merged_into"] or class_id for class_id, values in known.items()})


def _append(tx: Connection, row: dict[str, Any]) -> int:
    watermark = _lock(tx)
    seq = newest(tx) + 1
    tx.execute(sa.insert(_T), {**row, "seq": seq, "watermark": watermark})
    return seq


def _lock(tx: Connection) -> int:
    """Read the watermark and keep it from others until the commit: changes and label events stand in one order."""
    counter = sa.select(schema.counters.c.value).where(schema.counters.c.name == schema.WATERMARK)
    return int(tx.execute(counter.with_for_update()).scalar_one())


def _values(tx: Connection, class_ids: Iterable[int]) -> Values:
    wanted = list(class_ids)
    shown: Values = {}
    for start in range(0, len(wanted), _CHUNK):
        for row in tx.execute(sa.select(_C).where(_C.c.id.in_(wanted[start : start + _CHUNK]))):
            shown[row.id] = {column: row._mapping[column] for column in COLUMNS}
    images = images_of(tx, wanted)
    return {class_id: {**shown[class_id], IMAGES: images.get(class_id, [])} for class_id in wanted}


def _write(tx: Connection, values: Values) -> None:
    """Two passes, so that a name or a key that one class gives up is free when another takes it."""
    for class_id, new in values.items():
        freed = {column: None for column in ("key", "shortcut") if column in new}
        if freed:
            tx.execute(sa.update(_C).where(_C.c.id == class_id).values(freed))
    for class_id, new in values.items():
        columns = {column: value for column, value in new.items() if column != IMAGES}
        if columns:
            tx.execute(sa.update(_C).where(_C.c.id == class_id).values(columns))
        if IMAGES in new:
            tx.execute(sa.delete(_I).where(_I.c.class_id == class_id))
            rows = [{"class_id": class_id, "image_id": i, "position": at} for at, i in enumerate(new[IMAGES])]
            tx.execute(sa.insert(_I), rows) if rows else None


def _resting(tx: Connection, done: ClassAct, class_id: int, column: str) -> str:
    later = [act for act in since(tx, done.seq) if column in (act.after.get(class_id) or {})]
    name = tx.scalar(sa.select(_C.c.name).where(_C.c.id == class_id))
    who = (later[0].actor or "the program") if later else "somebody"
    return f"{name!r} was changed again since, by {who}: undo that first"


def _act(row: sa.Row[Any]) -> ClassAct:
    told = {name: {int(k): v for k, v in json.loads(row._mapping[name]).items()} for name in ("before", "after")}
    return ClassAct(**row._asdict() | told)
