"""How fast people answer: their answers by the hour, and the seconds that each takes."""

from __future__ import annotations

import statistics

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import records_work, schema

_E, _A = schema.label_events, schema.annotators
_ANSWERS = ("label", "reject")
HOUR = 3600
_LAST = 200  # answers of a person that tell his or her seconds


def by_hour(tx: Connection, *, since: float) -> list[records_work.Hour]:
    """Count each annotator's answers on the page by the hour since then, oldest first; an import is no person's pace."""
    hour = sa.cast(sa.func.floor(_E.c.received_at / HOUR), sa.Integer)
    told = sa.func.count().label("answers")
    query = sa.select(_A.c.name, (hour * HOUR).label("at"), told).join_from(_E, _A, _A.c.id == _E.c.annotator_id)
    query = query.where(_E.c.received_at >= since, _E.c.kind.in_(_ANSWERS), _E.c.source == "page")
    return [records_work.Hour(*row) for row in tx.execute(query.group_by(_A.c.name, hour).order_by(hour, _A.c.name))]


def counts(tx: Connection, *, since: float) -> dict[str, int]:
    """Count each annotator's answers on the page since then, by name."""
    query = sa.select(_A.c.name, sa.func.count()).join_from(_E, _A, _A.c.id == _E.c.annotator_id)
    query = query.where(_E.c.received_at >= since, _E.c.kind.in_(_ANSWERS), _E.c.source == "page")
    return {name: int(found) for name, found in tx.execute(query.group_by(_A.c.name))}


def seconds(tx: Connection, name: str) -> float | None:
    """Return the median seconds from painted to answered of an annotator's last answers; None where nothing was timed."""
    of = sa.select(_A.c.id).where(_A.c.name == name).scalar_subquery()
    query = sa.select(_E.c.shown_ms).where(_E.c.annotator_id == of, _E.c.shown_ms.is_not(None), _E.c.kind.in_(_ANSWERS))
    found = list(tx.scalars(query.order_by(_E.c.seq.desc()).limit(_LAST)))
    return statistics.median(found) / 1000 if found else None
