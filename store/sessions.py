"""The sessions table: who is logged in. It outlives a restart of the page."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import schema
from store.records_accounts import Session

_T, _U, _A = schema.sessions, schema.users, schema.annotators


def add(tx: Connection, annotator_id: int, token_hash: str, *, now: float, expires_at: float) -> None:
    """Begin a session; sessions that have expired are cleared away."""
    tx.execute(sa.delete(_T).where(_T.c.expires_at <= now))
    values = {"token_hash": token_hash, "annotator_id": annotator_id, "made_at": now, "seen_at": now}
    tx.execute(sa.insert(_T).values(values | {"expires_at": expires_at}))


def find(tx: Connection, token_hash: str, now: float) -> Session | None:
    """The live session of an active user."""
    query = (
        sa.select(_T.c.annotator_id, _A.c.name, _A.c.role, _T.c.seen_at)
        .join_from(_T, _U, _T.c.annotator_id == _U.c.annotator_id)
        .join(_A, _A.c.id == _U.c.annotator_id)
        .where(_T.c.token_hash == token_hash, _T.c.expires_at > now, _U.c.active)
    )
    row = tx.execute(query).mappings().one_or_none()
    return None if row is None else Session(**row)


def see(tx: Connection, token_hash: str, *, now: float, expires_at: float) -> None:
    """The person is there: the session lasts on."""
    tx.execute(sa.update(_T).where(_T.c.token_hash == token_hash).values(seen_at=now, expires_at=expires_at))


def end(tx: Connection, token_hash: str) -> None:
    """End one session."""
    tx.execute(sa.delete(_T).where(_T.c.token_hash == token_hash))


def end_all(tx: Connection, annotator_id: int) -> int:
    """End every session of a person; returns how many there were."""
    return tx.execute(sa.delete(_T).where(_T.c.annotator_id == annotator_id)).rowcount


def end_everybodys(tx: Connection) -> None:
    """End every session."""
    tx.execute(sa.delete(_T))
