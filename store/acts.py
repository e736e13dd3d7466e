"""The acts table: what was done to whose account, by whom. Rows are only ever added."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import schema
from store.records_accounts import Act

_T = schema.acts


def append(tx: Connection, act: str, subject: str, *, actor: str, now: float, **details: Any) -> None:
    """Write down one act; secrets do not belong into `details`."""
    values = {"at": now, "actor": actor, "act": act, "subject": subject}
    tx.execute(sa.insert(_T).values(values | {"details": json.dumps(details, ensure_ascii=False)}))


def latest(tx: Connection, limit: int) -> list[Act]:
    """The latest acts, newest first."""
    rows = tx.execute(sa.select(_T).order_by(_T.c.id.desc()).limit(limit)).mappings()
    return [Act(**dict(row) | {"details": json.loads(row["details"])}) for row in rows]
