"""The tries table: failed logins of late, by name and by address."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import schema

_T = schema.tries


def of(tx: Connection, who: str) -> tuple[int, float]:
    """How many failed, and when the last did; (0, 0.0) where none did."""
    row = tx.execute(sa.select(_T.c["count"], _T.c.last_at).where(_T.c.who == who)).one_or_none()
    return (0, 0.0) if row is None else (row[0], row[1])


def count(tx: Connection, who: str, now: float) -> None:
    """One more."""
    more = sa.update(_T).where(_T.c.who == who).values({"count": _T.c["count"] + 1, "last_at": now})
    if tx.execute(more).rowcount == 0:
        tx.execute(sa.insert(_T).values({"who": who, "count": 1, "last_at": now}))


def take_back(tx: Connection, who: str) -> None:
    """One less: it did not fail after all."""
    tx.execute(sa.update(_T).where(_T.c.who == who, _T.c["count"] > 0).values({"count": _T.c["count"] - 1}))


def forget(tx: Connection, who: str) -> None:
    """None."""
    tx.execute(sa.delete(_T).where(_T.c.who == who))


def forget_before(tx: Connection, moment: float) -> None:
    """Forget whoever failed last before this moment."""
    tx.execute(sa.delete(_T).where(_T.c.last_at < moment))
