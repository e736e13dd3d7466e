"""What browsing a large pool needs: every image's few facts in pages, what changed since, and the order of the names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import schema

_I, _S, _E, _P = schema.images, schema.image_state, schema.label_events, schema.publications
_Q, _L = schema.queue, schema.leases
_CHUNK = 500  # bound parameters per statement stay far under SQLite's limit

QUARANTINED, HOLDOUT, MORE, LABELLED, REJECTED, SKIPPED, FLAGGED = 1, 2, 4, 8, 16, 32, 64
SETTLED = LABELLED | REJECTED
_MARKS: tuple[tuple[sa.ColumnElement[bool], int], ...] = (
    (_I.c.status != "ok", QUARANTINED),
    (_I.c.holdout > 0, HOLDOUT),
    (_S.c.lane == schema.MORE, MORE),  # answered, and others are still to answer it, blind
    (_S.c.kind == "label", LABELLED),
    (_S.c.kind == "reject", REJECTED),
    (_S.c.skips > 0, SKIPPED),
    (_S.c.flags > 0, FLAGGED),
)


class Facts(NamedTuple):
    """One image: `marks` are bits as above, `round_id` is the round whose model was shown when it was settled."""

    image_id: int
    path: str
    marks: int
    class_id: int | None
    said_by: str
    round_id: int | None


def _marks() -> sa.ColumnElement[int]:
    total: sa.ColumnElement[int] = sa.literal(0)
    for condition, bit in _MARKS:
        total = total + sa.case((condition, bit), else_=0)
    return total


_SHOWN = sa.func.coalesce(_E.c.round_id, _P.c.round_id)
_FACTS = (
    sa.select(_I.c.id, _I.c.path, _marks(), _S.c.class_id, _S.c.said_by, _SHOWN)
    .join_from(_I, _S, _S.c.image_id == _I.c.id)
    .outerjoin(_E, _E.c.seq == _S.c.event_seq)
    .outerjoin(_P, _P.c.id == _E.c.publication_id)
    .order_by(_I.c.id)
)


def after(tx: Connection, image_id: int, count: int) -> list[Facts]:
    """The next `count` images with a greater id, quarantined ones too, by id."""
    return [Facts._make(row) for row in tx.execute(_FACTS.where(_I.c.id > image_id).limit(count))]


def of(tx: Connection, image_ids: Sequence[int]) -> list[Facts]:
    """These images, by id; unknown ones are left out."""
    chunks = (image_ids[start : start + _CHUNK] for start in range(0, len(image_ids), _CHUNK))
    return sorted(Facts._make(row) for chunk in chunks for row in tx.execute(_FACTS.where(_I.c.id.in_(chunk))))


def changed_since(tx: Connection, watermark: int) -> list[int]:
    """The images about which anything was said after `watermark`, by id."""
    return sorted(tx.scalars(sa.select(_E.c.image_id).where(_E.c.seq > watermark).distinct()))


def blind(tx: Connection, publication_id: int | None) -> list[int]:
    """Images of the pool that are to be asked blind as a random draw: audits of this queue, and what is leased so."""
    audits = sa.select(_Q.c.image_id).where(_Q.c.publication_id == publication_id, _Q.c.reason == "audit")
    leased = sa.select(_L.c.image_id).where(_L.c.blind.is_(True))
    return sorted({*tx.scalars(audits), *tx.scalars(leased)})


def newest_image(tx: Connection) -> int:
    """The greatest image id, 0 before the first."""
    return tx.scalar(sa.select(sa.func.max(_I.c.id))) or 0


def by_path(tx: Connection) -> list[int]:
    """Every image id in the order of the paths."""
    return list(tx.scalars(sa.select(_I.c.id).order_by(_I.c.path)))
