"""The workers table: the last sign of life of each background process."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import records_work, schema

_T = schema.workers


def beat(
    tx: Connection,
    name: str,
    pid: int,
    phase: str,
    fraction: float | None = None,
    message: str = "",
    throughput: float | None = None,
    eta_s: float | None = None,
    device: str | None = None,
    *,
    now: float,
) -> None:
    """Write what a process ('worker', 'round', 'ingest') does now; `throughput` in images a second."""
    values = {"pid": pid, "phase": phase, "fraction": fraction, "message": message, "throughput": throughput}
    values |= {"eta_s": eta_s, "device": device, "beat_at": now}
    if tx.execute(sa.update(_T).where(_T.c.name == name).values(values)).rowcount == 0:
        tx.execute(sa.insert(_T).values(name=name, **values))


def workers(tx: Connection) -> list[records_work.WorkerState]:
    """List the processes that ever beat, by name; the caller judges by `beat_at` and pid whether they live."""
    return [records_work.WorkerState(**row._asdict()) for row in tx.execute(sa.select(_T).order_by(_T.c.name))]


def get(tx: Connection, name: str) -> records_work.WorkerState | None:
    """Read one process's last beat."""
    return next((state for state in workers(tx) if state.name == name), None)


def forget(tx: Connection, name: str) -> None:
    """Remove a process that ended in order."""
    tx.execute(sa.delete(_T).where(_T.c.name == name))
