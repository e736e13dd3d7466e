"""The commands table: what the page asks of the worker, one row each, done once."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import errors, records, schema

_T = schema.commands


def ask(tx: Connection, kind: str, payload: dict[str, Any], now: float) -> int:
    """Ask for something; returns the command's id."""
    values = {"kind": kind, "payload": json.dumps(payload), "asked_at": now}
    return int(tx.execute(sa.insert(_T).values(values).returning(_T.c.id)).scalar_one())


def take(tx: Connection, now: float) -> records.Command | None:
    """Take the oldest command nobody took; it then counts as being done."""
    waiting = sa.select(_T.c.id).where(_T.c.finished_at.is_(None), _T.c.taken_at.is_(None)).order_by(_T.c.id)
    command_id = tx.scalar(waiting.limit(1).with_for_update(skip_locked=True))
    if command_id is None:
        return None
    tx.execute(sa.update(_T).where(_T.c.id == command_id).values(taken_at=now))
    return get(tx, command_id)


def finish(
    tx: Connection, command_id: int, result: dict[str, Any] | None = None, error: str | None = None, *, now: float
) -> None:
    """End a command with what came of it, or with the reason why nothing did."""
    get(tx, command_id)
    values = {"result": json.dumps(result or {}), "error": error, "finished_at": now}
    tx.execute(sa.update(_T).where(_T.c.id == command_id).values(values))


def recover(tx: Connection, now: float, again: Collection[str] = ()) -> list[records.Command]:
    """After a crash: offer the taken, unfinished commands of the kinds in `again` anew and fail the others by name.

    Returns the failed ones.
    """
    broken = [command for command in pending(tx) if command.taken_at is not None]
    failed = [command for command in broken if command.kind not in again]
    redo = [command.id for command in broken if command.kind in again]
    tx.execute(sa.update(_T).where(_T.c.id.in_(redo)).values(taken_at=None))
    for command in failed:
        finish(tx, command.id, error=f"the worker ended while it did {command.kind!r}: ask again", now=now)
    return [get(tx, command.id) for command in failed]


def get(tx: Connection, command_id: int) -> records.Command:
    """Read one command; raises errors.UnknownCommand."""
    row = tx.execute(sa.select(_T).where(_T.c.id == command_id)).one_or_none()
    if row is None:
        raise errors.UnknownCommand(f"no command has id {command_id}")
    return _command(row)


def pending(tx: Connection) -> list[records.Command]:
    """List the commands that are not finished, taken or not, oldest first."""
    return [_command(row) for row in tx.execute(sa.select(_T).where(_T.c.finished_at.is_(None)).order_by(_T.c.id))]


def last(tx: Connection, kind: str) -> records.Command | None:
    """Return the newest command of a kind, whatever became of it."""
    row = tx.execute(sa.select(_T).where(_T.c.kind == kind).order_by(_T.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else _command(row)


def _command(row: sa.Row[Any]) -> records.Command:
    decoded = {"payload": json.loads(row.payload), "result": json.loads(row.result)}
    return records.Command(**row._asdict() | decoded)
