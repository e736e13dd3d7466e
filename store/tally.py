"""How many images stand where: over the whole pool, which takes longer the larger it is, and lately, which does not."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import schema

_S = schema.image_state


def whole(tx: Connection) -> dict[str, int]:
    """Count images: total (settled), labelled, rejected; pool and holdout_open (not settled), skipped (and open), again
    (settled, but other people are still to answer)."""
    kinds = _by(tx, _S.c.kind, _S.c.kind.is_not(None))
    lanes = _by(tx, _S.c.lane, sa.true())
    return {
        "total": kinds.get("label", 0) + kinds.get("reject", 0),
        "labelled": kinds.get("label", 0),
        "rejected": kinds.get("reject", 0),
        "pool": lanes.get(schema.POOL, 0),
        "holdout_open": lanes.get(schema.HOLDOUT, 0),
        "again": lanes.get(schema.MORE, 0),
        "skipped": _number(tx, _S.c.lane.in_((schema.POOL, schema.HOLDOUT)), _S.c.skips > 0),
    }


def recent(tx: Connection, since: float | None, annotator_id: int | None) -> dict[str, int]:
    """Count settled images: today (since the time `since`), mine (by `annotator_id`), mine_today; 0 where not asked."""
    late, mine = _S.c.settled_at >= (since or 0.0), _S.c.annotator_id == (annotator_id or 0)
    return {
        "today": 0 if since is None else _number(tx, late),
        "mine": 0 if annotator_id is None else _number(tx, mine),
        "mine_today": 0 if since is None or annotator_id is None else _number(tx, mine, late),
    }


def _by(tx: Connection, column: sa.Column[str], where: sa.ColumnElement[bool]) -> dict[str, int]:
    rows = tx.execute(sa.select(column, sa.func.count()).where(where).group_by(column))
    return {value: number for value, number in rows}


def _number(tx: Connection, *conditions: sa.ColumnElement[bool]) -> int:
    return int(tx.execute(sa.select(sa.func.count()).select_from(_S).where(*conditions)).scalar_one())
