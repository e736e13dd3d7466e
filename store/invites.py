"""The invites table: one-time links with which a person sets a password. A new one ends the ones before."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import schema

_T = schema.invites


def add(tx: Connection, annotator_id: int, token_hash: str, *, now: float, expires_at: float) -> None:
    """Store an invitation; the person's earlier ones end."""
    end(tx, annotator_id)
    values = {"token_hash": token_hash, "annotator_id": annotator_id, "made_at": now, "expires_at": expires_at}
    tx.execute(sa.insert(_T).values(values))


def find(tx: Connection, token_hash: str) -> tuple[int, float, float | None] | None:
    """Whom a link invites, when it expires, and when it was used."""
    columns = sa.select(_T.c.annotator_id, _T.c.expires_at, _T.c.used_at)
    row = tx.execute(columns.where(_T.c.token_hash == token_hash)).one_or_none()
    return None if row is None else (row.annotator_id, row.expires_at, row.used_at)


def use(tx: Connection, token_hash: str, now: float) -> None:
    """Write down that a link was used; it stays, so that a second use is told so."""
    tx.execute(sa.update(_T).where(_T.c.token_hash == token_hash).values(used_at=now))


def end(tx: Connection, annotator_id: int) -> None:
    """End a person's links."""
    tx.execute(sa.delete(_T).where(_T.c.annotator_id == annotator_id))


def end_everybodys(tx: Connection) -> None:
    """End every link."""
    tx.execute(sa.delete(_T))
