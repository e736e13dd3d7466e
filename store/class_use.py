"""What rests on a class now: how many images are settled with it, by how many people, and which ones."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import schema

_S, _C, _I = schema.image_state, schema.classes, schema.images


class Use(NamedTuple):
    """Images settled with a class (and what was merged into it), and the people whose answers settle them."""

    labels: int
    people: int


def of(tx: Connection, class_id: int) -> Use:
    """Count what is settled with one class."""
    query = sa.select(sa.func.count(), sa.func.count(_S.c.annotator_id.distinct())).select_from(_S)
    return Use(*tx.execute(query.where(_S.c.kind == "label", _S.c.class_id.in_(_stood_for(class_id)))).one())


def images(tx: Connection, class_id: int, count: int) -> list[int]:
    """List images settled with one class, the newest first; never one of the holdout, and none that cannot be read."""
    query = sa.select(_S.c.image_id).join(_I, _I.c.id == _S.c.image_id)
    mine = (_S.c.kind == "label", _S.c.class_id.in_(_stood_for(class_id)), _I.c.holdout == 0, _I.c.status == "ok")
    return list(tx.scalars(query.where(*mine).order_by(_S.c.event_seq.desc()).limit(count)))


def settled_with(tx: Connection, class_id: int, image_ids: list[int]) -> set[int]:
    """Find those of the images that are settled with one class."""
    mine = (_S.c.kind == "label", _S.c.class_id.in_(_stood_for(class_id)), _S.c.image_id.in_(image_ids))
    return set(tx.scalars(sa.select(_S.c.image_id).where(*mine)))


def _stood_for(class_id: int) -> sa.Select[tuple[int]]:
    return sa.select(_C.c.id).where(sa.or_(_C.c.id == class_id, _C.c.merged_into == class_id))
