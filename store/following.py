"""How often people answer what the model suggests, with the suggestion in sight and without it."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import records_work, schema

_E, _A, _S = schema.label_events, schema.annotators, schema.image_state
ASKED_FOR_ITSELF = ("uncertain", "typical", "gold")
MANY_AT_ONCE = ("grid", "bulk")  # ways to answer in which the suggestion is the question


def counts(tx: Connection) -> list[records_work.Following]:
    """Count labels that stand, by person, suggested class and whether the suggestion was shown.

    `agree`: that are the suggested class. `judged`: whose image was settled otherwise than suggested by somebody else, a
    reviewer or a later answer; `misled` of them are the suggested class all the same. Audits and holdout images are
    other images than those of which the model is unsure, so only what the queue asked for itself is comparable."""
    back = _E.alias("takes_back")
    taken_back = sa.exists().where(back.c.target_seq == _E.c.seq)
    shown = sa.func.coalesce(_E.c.suggestion_visible, sa.false()).label("shown")
    agree = _E.c.class_id == _E.c.suggestion_class_id
    other = sa.and_(
        _S.c.kind == "label", _S.c.annotator_id != _E.c.annotator_id, _S.c.class_id != _E.c.suggestion_class_id
    )
    sums = [sa.func.sum(sa.case((each, 1), else_=0)) for each in (agree, other, sa.and_(other, agree))]
    query = sa.select(_A.c.name, _E.c.suggestion_class_id, shown, sa.func.count(), *sums)
    query = query.join_from(_E, _A, _A.c.id == _E.c.annotator_id).join(_S, _S.c.image_id == _E.c.image_id)
    query = query.where(
        _E.c.kind == "label",
        _E.c.source == "page",
        _E.c.suggestion_class_id.is_not(None),
        _E.c.queue_reason.in_(ASKED_FOR_ITSELF),
        sa.func.coalesce(_E.c.input_mode, "").not_in(MANY_AT_ONCE),
        ~taken_back,
    )
    query = query.group_by(_A.c.name, _E.c.suggestion_class_id, shown)
    return [
        records_work.Following(name, class_id, bool(seen), *map(int, found))
        for name, class_id, seen, *found in tx.execute(query)
    ]
