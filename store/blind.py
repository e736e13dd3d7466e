"""The images that were asked blind, by chance and without any help: what every honest figure stands on."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import fold, schema

_E, _S, _I, _C = schema.label_events, schema.image_state, schema.images, schema.classes
_P = schema.publications
REASONS = ("audit", "holdout")


class Blind(NamedTuple):
    """One image that was asked blind; `class_id` is None where it is not labelled: rejected, or skipped and still open.

    `seq` of the first answer or skip, `propensity` of an audit and `watermark` of the publication that asked it.
    """

    image_id: int
    group_id: int | None
    holdout: bool
    seq: int
    propensity: float | None
    class_id: int | None
    watermark: int | None = None


def asked(tx: Connection) -> list[Blind]:
    """List them by id; imports were not asked, and an image whose only answer was taken back is open again."""
    mine = (_E.c.queue_reason.in_(REASONS), _E.c.kind.in_(fold.RELEASING), _E.c.source != "import")
    first = sa.select(sa.func.min(_E.c.seq)).where(*mine).group_by(_E.c.image_id)
    merged = sa.func.coalesce(_C.c.merged_into, _S.c.class_id)
    columns = (_E.c.image_id, _I.c.group_id, _I.c.holdout > 0, _E.c.seq, _E.c.propensity, merged, _P.c.watermark)
    query = sa.select(*columns).join_from(_E, _S, _S.c.image_id == _E.c.image_id)
    query = query.join(_I, _I.c.id == _E.c.image_id).outerjoin(_C, _C.c.id == _S.c.class_id)
    query = query.outerjoin(_P, _P.c.id == _E.c.publication_id)
    stands = sa.or_(_S.c.kind.is_not(None), _S.c.skips > 0)
    rows = tx.execute(query.where(_E.c.seq.in_(first), stands).order_by(_E.c.image_id))
    return [Blind(*row) for row in rows]
