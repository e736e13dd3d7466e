"""Write what counts now: fold the events of some images, or of all, into image_state; a page of images at a time."""

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
_PAGE = 5000  # images

States = Sequence[sa.Row[Any]]
Events = sa.CursorResult[Any]


def some(tx: Connection, image_ids: Sequence[int]) -> int:
    """Fold these images anew; returns how many states changed."""
    states = tx.execute(_STATES.where(_S.c.image_id.in_(image_ids))).all()
    return _write(tx, states, tx.execute(_EVENTS.where(_E.c.image_id.in_(image_ids))), overlap.read(tx))


def everything(tx: Connection) -> int:
    """Fold every image anew; returns how many states changed."""
    changed, last = 0, 0  # type: int, int | None
    while last is not None:
        more, last = following(tx, last)
        changed += more
    return changed


def following(tx: Connection, after: int) -> tuple[int, int | None]:
    """Fold the next images by id anew; returns how many states changed and the last image, None behind the last."""
    page = _page(tx, after)
    if page is None:
        return 0, None
    return _write(tx, *page, overlap.read(tx)), page[0][-1].image_id


def wrong(tx: Connection, after: int) -> tuple[list[int], int | None]:
    """List those of the next images by id whose kept state is not the fold of their events, and the last that was looked at.

    The latter is None behind the last image; what is listed is empty unless something is broken.
    """
    page = _page(tx, after)
    if page is None:
        return [], None
    found = [new.image_id for old, new in _folded(*page, overlap.read(tx)) if new != old]
    return found, page[0][-1].image_id


def _page(tx: Connection, after: int) -> tuple[States, Events] | None:
    """The states of the next images by id and their events; None behind the last."""
    states = tx.execute(_STATES.where(_S.c.image_id > after).limit(_PAGE)).all()
    if not states:
        return None
    return states, tx.execute(_EVENTS.where(_E.c.image_id.between(states[0].image_id, states[-1].image_id)))


def _write(tx: Connection, states: States, events: Events, several: overlap.Overlap) -> int:
    """Fold states and events that both come by image id; write the states that differ."""
    changed = [after for before, after in _folded(states, events, several) if after != before]
    if changed:
        update = sa.update(_S).where(_S.c.image_id == sa.bindparam("this"))
        tx.execute(update, [vars(after) | {"this": after.image_id} for after in changed])
    return len(changed)


def _folded(
    states: States, events: Events, several: overlap.Overlap
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
