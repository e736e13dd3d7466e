"""Write what counts now: fold the events of some images, or of all, into image_state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import fold, overlap, records, schema

_E, _S, _I = schema.label_events, schema.image_state, schema.images
_STATES = sa.select(_S, _I.c.status, _I.c.holdout).join_from(_S, _I, _I.c.id == _S.c.image_id).order_by(_S.c.image_id)
_EVENTS = sa.select(_E).order_by(_E.c.image_id, _E.c.seq)


def some(tx: Connection, image_ids: Sequence[int]) -> int:
    """Fold these images anew; returns how many states changed."""
    states = tx.execute(_STATES.where(_S.c.image_id.in_(image_ids))).all()
    return _write(tx, states, tx.execute(_EVENTS.where(_E.c.image_id.in_(image_ids))))


def everything(tx: Connection) -> int:
    """Fold every image anew; returns how many states changed."""
    return _write(tx, tx.execute(_STATES).all(), tx.execute(_EVENTS))


def wrong(tx: Connection) -> list[int]:
    """List the images whose kept state is not the fold of their events (none unless something is broken)."""
    found = _folded(tx.execute(_STATES).all(), tx.execute(_EVENTS), overlap.read(tx))
    return [after.image_id for before, after in found if after != before]


def _write(tx: Connection, states: Sequence[sa.Row[Any]], events: sa.CursorResult[Any]) -> int:
    """Fold states and events that both come by image id; write the states that differ."""
    several = overlap.read(tx)
    changed = [after for before, after in _folded(states, events, several) if after != before]
    if changed:
        update = sa.update(_S).where(_S.c.image_id == sa.bindparam("this"))
        tx.execute(update, [vars(after) | {"this": after.image_id} for after in changed])
    return len(changed)


def _folded(
    states: Sequence[sa.Row[Any]], events: sa.CursorResult[Any], several: overlap.Overlap
) -> Iterator[tuple[records.ImageState, records.ImageState]]:
    by_image = groupby((records.Event(**row._asdict()) for row in events), key=lambda event: event.image_id)
    image_id, said = next(by_image, (None, iter(())))
    for row in states:
        values = row._asdict()
        lane = fold.open_lane(status=values.pop("status"), holdout=values.pop("holdout"))
        before = records.ImageState(**values)
        mine: list[records.Event] = []
        if before.image_id == image_id:
            mine = list(said)
            image_id, said = next(by_image, (None, iter(())))
        yield before, fold.fold(before, mine, open_lane=lane, wanted=several.wanted(before.draw))
