"""Actions about many images at once: events whose uuids are "ACTION/0", "ACTION/1", ..., found again as a whole."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import fold, records, schema

_E = schema.label_events
_CHUNK = 500  # bound parameters per statement stay far under SQLite's limit


def uuid_of(action: str, at: int) -> str:
    """The uuid of an action's event number `at`, from 0."""
    return f"{action}/{at}"


def events(tx: Connection, action: str) -> list[records.Event]:
    """All events of an action, in their order; none where it never happened."""
    found: list[records.Event] = []
    while True:
        uuids = [uuid_of(action, at) for at in range(len(found), len(found) + _CHUNK)]
        rows = tx.execute(sa.select(_E).where(_E.c.uuid.in_(uuids)).order_by(_E.c.seq)).all()
        found += [records.Event(**row._asdict()) for row in rows]
        if len(rows) < _CHUNK:
            return found


def standing(tx: Connection, image_ids: Sequence[int], annotator_ids: Collection[int]) -> list[records.Event]:
    """Every label, reject and review of these people about these images that is not taken back, oldest first."""
    back = _E.alias("takes_back")
    mine = (_E.c.annotator_id.in_(annotator_ids), _E.c.kind.in_(fold.SETTLING))
    query = sa.select(_E).where(*mine, ~sa.exists().where(back.c.target_seq == _E.c.seq))
    chunks = (image_ids[start : start + _CHUNK] for start in range(0, len(image_ids), _CHUNK))
    rows = [row for chunk in chunks for row in tx.execute(query.where(_E.c.image_id.in_(chunk)))]
    return sorted((records.Event(**row._asdict()) for row in rows), key=lambda event: event.seq)


def with_seqs(tx: Connection, seqs: Sequence[int]) -> list[records.Event]:
    """These events, oldest first."""
    chunks = (seqs[start : start + _CHUNK] for start in range(0, len(seqs), _CHUNK))
    rows = [row for chunk in chunks for row in tx.execute(sa.select(_E).where(_E.c.seq.in_(chunk)))]
    return sorted((records.Event(**row._asdict()) for row in rows), key=lambda event: event.seq)


def taken_back(tx: Connection, seqs: Sequence[int]) -> set[int]:
    """Which of these events a retract names."""
    chunks = (seqs[start : start + _CHUNK] for start in range(0, len(seqs), _CHUNK))
    return {seq for chunk in chunks for seq in tx.scalars(sa.select(_E.c.target_seq).where(_E.c.target_seq.in_(chunk)))}
