"""The search behind a claim: which images nobody holds come next, and why each is asked."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import schema

_Q, _L, _S, _E = schema.queue, schema.leases, schema.image_state, schema.label_events


class Found(NamedTuple):
    """An image to ask; `position` and `propensity` are those of its queue row, if it has one."""

    image_id: int
    reason: str
    position: int | None
    propensity: float | None


class Draw:
    """One claim's search for images nobody holds; it never gives the same image twice."""

    def __init__(self, tx: Connection, publication_id: int | None, *, now: float, exclude: Collection[int]) -> None:
        """Prepare a search at time `now` in the queue of `publication_id`."""
        self.tx = tx
        self.publication_id = publication_id
        self.taken = set(exclude)
        held = sa.exists().where(_L.c.image_id == _S.c.image_id, _L.c.expires_at > now)
        self.free = ~held

    def images(self, coins: list[bool], *, annotator_id: int) -> list[Found]:
        """Find one image per coin, a True coin asking for the holdout; fewer when there are no more."""
        wanted = len(coins)
        holdout = self._random(schema.HOLDOUT, sum(coins))
        pool = self._queued(wanted - len(holdout))
        pool += self._random(schema.POOL, wanted - len(holdout) - len(pool))
        holdout += self._random(schema.HOLDOUT, wanted - len(holdout) - len(pool))
        mixed: list[Found] = []
        for coin in coins:
            first, second = (holdout, pool) if coin else (pool, holdout)
            mixed += [(first or second).pop(0)] if first or second else []
        return mixed + self._skipped(wanted - len(mixed), annotator_id=annotator_id)

    def _queued(self, limit: int) -> list[Found]:
        if limit <= 0 or self.publication_id is None:
            return []
        query = sa.select(_Q.c.image_id, _Q.c.reason, _Q.c.position, _Q.c.propensity, _S.c.lane)
        query = query.join_from(_Q, _S, _S.c.image_id == _Q.c.image_id).order_by(_Q.c.position)
        query = query.where(_Q.c.publication_id == self.publication_id, _S.c.lane == schema.POOL, _S.c.skips == 0)
        return self._take(query, limit)

    def _random(self, lane: str, limit: int) -> list[Found]:
        if limit <= 0:
            return []
        query = sa.select(_S.c.image_id, sa.null(), sa.null(), sa.null(), _S.c.lane)
        return self._take(query.where(_S.c.lane == lane, _S.c.skips == 0).order_by(_S.c.draw, _S.c.image_id), limit)

    def _skipped(self, limit: int, *, annotator_id: int) -> list[Found]:
        if limit <= 0:
            return []
        queued = sa.and_(_Q.c.image_id == _S.c.image_id, _Q.c.publication_id == self.publication_id)
        query = sa.select(_S.c.image_id, _Q.c.reason, _Q.c.position, _Q.c.propensity, _S.c.lane)
        query = query.outerjoin_from(_S, _Q, queued).where(_S.c.lane != schema.CLOSED, _S.c.skips > 0)
        takes_back = _E.alias("takes_back")
        mine = sa.select(sa.func.coalesce(sa.func.max(_E.c.seq), 0)).where(
            _E.c.image_id == _S.c.image_id,
            _E.c.annotator_id == annotator_id,
            _E.c.kind == "skip",
            ~sa.exists().where(takes_back.c.target_seq == _E.c.seq),
        )
        last = mine.scalar_subquery()
        rank = sa.func.coalesce(_Q.c.position, 1 << 30)
        return self._take(query.order_by(last, _S.c.lane.desc(), rank, _S.c.draw), limit)

    def _take(self, query: sa.Select[Any], limit: int) -> list[Found]:
        query = query.where(self.free, _S.c.image_id.not_in(sorted(self.taken))).limit(limit)
        out = []
        for image_id, queued, position, propensity, lane in self.tx.execute(query):
            reason = "holdout" if lane == schema.HOLDOUT else queued or "random"
            out.append(Found(image_id, reason, position, propensity))
            self.taken.add(image_id)
        return out


def last_said(tx: Connection, image_id: int, annotator_id: int) -> sa.Row[Any] | None:
    """Find the annotator's latest event on an image that is not a retract."""
    mine = (_E.c.image_id == image_id, _E.c.annotator_id == annotator_id, _E.c.kind != "retract")
    return tx.execute(sa.select(_E).where(*mine).order_by(_E.c.seq.desc()).limit(1)).one_or_none()
