"""The rounds table: begun once, then published or failed; progress in between."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import errors, records, schema

_T = schema.rounds


def begin(
    tx: Connection, seed: int, settings: dict[str, Any], watermark: int, now: float, pid: int | None = None
) -> int:
    """Record the start of a round by process `pid` (default: this one); returns its id."""
    values = {"status": "running", "seed": seed, "settings": json.dumps(settings), "watermark": watermark}
    values |= {"pid": pid or os.getpid(), "phase": "begin", "fraction": 0.0, "message": "", "begun_at": now}
    return int(tx.execute(sa.insert(_T).values(values).returning(_T.c.id)).scalar_one())


def progress(
    tx: Connection,
    round_id: int,
    phase: str,
    fraction: float,
    message: str = "",
    throughput: float | None = None,
    eta_s: float | None = None,
) -> None:
    """Say how far a running round is; `throughput` in images a second. Raises errors.NotRunning."""
    values = {"phase": phase, "fraction": fraction, "message": message, "throughput": throughput, "eta_s": eta_s}
    _update(tx, round_id, values)


def publish(tx: Connection, round_id: int, metrics: dict[str, Any], checkpoint: str | None, now: float) -> None:
    """End a running round well. Raises errors.NotRunning."""
    values = {"status": "published", "metrics": json.dumps(metrics), "checkpoint": checkpoint, "finished_at": now}
    _update(tx, round_id, values | {"phase": "published", "fraction": 1.0, "eta_s": 0.0})


def fail(tx: Connection, round_id: int, error: str, now: float) -> None:
    """End a running round with the reason; its phase stays where it broke. Raises errors.NotRunning."""
    _update(tx, round_id, {"status": "failed", "error": error, "finished_at": now, "eta_s": None})


def get(tx: Connection, round_id: int) -> records.Round:
    """Read one round; raises errors.UnknownRound."""
    row = tx.execute(sa.select(_T).where(_T.c.id == round_id)).one_or_none()
    if row is None:
        raise errors.UnknownRound(f"no round has id {round_id}")
    return _round(row)


def running(tx: Connection) -> records.Round | None:
    """Return the round that runs now, the newest if there are several."""
    return _newest(tx, _T.c.status == "running")


def last(tx: Connection) -> records.Round | None:
    """Return the newest published round."""
    return _newest(tx, _T.c.status == "published")


def all_(tx: Connection, *, after: int = 0) -> list[records.Round]:
    """List every round with a greater id than `after`, oldest first."""
    return [_round(row) for row in tx.execute(sa.select(_T).where(_T.c.id > after).order_by(_T.c.id))]


def fail_stale(tx: Connection, now: float, alive: Callable[[int], bool], how: str | None = None) -> list[int]:
    """Fail the running rounds whose process is gone, saying `how` it ended where that is known; returns their ids."""
    stale = [row for row in all_(tx) if row.status == "running" and not (row.pid and alive(row.pid))]
    for row in stale:
        fail(tx, row.id, f"{how or f'process {row.pid} ended without a word'} during {row.phase!r}", now)
    return [row.id for row in stale]


def _update(tx: Connection, round_id: int, values: dict[str, Any]) -> None:
    change = sa.update(_T).where(_T.c.id == round_id, _T.c.status == "running").values(values)
    if tx.execute(change).rowcount != 1:
        raise errors.NotRunning(f"round {round_id} is {get(tx, round_id).status}, not running")


def _newest(tx: Connection, condition: sa.ColumnElement[bool]) -> records.Round | None:
    row = tx.execute(sa.select(_T).where(condition).order_by(_T.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else _round(row)


def _round(row: sa.Row[Any]) -> records.Round:
    decoded = {"settings": json.loads(row.settings), "metrics": json.loads(row.metrics)}
    return records.Round(**row._asdict() | decoded)
