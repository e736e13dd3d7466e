"""The annotators table: who answers."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import errors, records, schema

_T = schema.annotators
_ADD = sa.text(  # another tab may add the same name at the same moment
    "INSERT INTO annotators (name, role, added_at) VALUES (:name, :role, :added_at) ON CONFLICT DO NOTHING"
)


def ensure(tx: Connection, name: str, now: float, role: str = "annotator") -> records.Annotator:
    """Find the annotator of this name or add one; raises errors.BadName when it is empty."""
    name = name.strip()
    if not name:
        raise errors.BadName("an annotator needs a name")
    found = by_name(tx, name)
    if found is not None:
        return found
    tx.execute(_ADD, {"name": name, "role": role, "added_at": now})
    added = by_name(tx, name)
    assert added is not None
    return added


def by_name(tx: Connection, name: str) -> records.Annotator | None:
    """Find an annotator without adding one."""
    row = tx.execute(sa.select(_T).where(_T.c.name == name.strip())).one_or_none()
    return None if row is None else _annotator(row)


def set_role(tx: Connection, annotator_id: int, role: str) -> None:
    """Give an annotator another role."""
    tx.execute(sa.update(_T).where(_T.c.id == annotator_id).values(role=role))


def all_(tx: Connection) -> list[records.Annotator]:
    """List everyone, by id."""
    return [_annotator(row) for row in tx.execute(sa.select(_T).order_by(_T.c.id))]


def _annotator(row: sa.Row[Any]) -> records.Annotator:
    return records.Annotator(**row._asdict())
