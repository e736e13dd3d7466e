"""The settings table: JSON values by key, for what must travel with the labels."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import schema

_T = schema.settings


def get_setting(tx: Connection, key: str, default: Any = None) -> Any:
    """Read a value, or `default`."""
    text = tx.scalar(sa.select(_T.c.value).where(_T.c.key == key))
    return default if text is None else json.loads(text)


def set_setting(tx: Connection, key: str, value: Any) -> None:
    """Write a JSON value."""
    text = json.dumps(value)
    if tx.execute(sa.update(_T).where(_T.c.key == key).values(value=text)).rowcount == 0:
        tx.execute(sa.insert(_T).values(key=key, value=text))


def with_prefix(tx: Connection, prefix: str) -> dict[str, Any]:
    """Read the values of all keys that begin with `prefix`, by key."""
    rows = tx.execute(sa.select(_T.c.key, _T.c.value).where(_T.c.key.startswith(prefix, autoescape=True)))
    return {key: json.loads(text) for key, text in sorted(tuple(row) for row in rows)}


def remove_setting(tx: Connection, key: str) -> None:
    """Remove a value; a key without one is left as it is."""
    tx.execute(sa.delete(_T).where(_T.c.key == key))
