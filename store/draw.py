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
    """One claim's search; it never gives the same image twice."""

    def __init__(self, tx: Connection, publication_id: int | None, *, now: float, exclude: Collection[int]) -> None:
        """Prepare a search at time `now` in the queue of `publication_id`."""
        self.tx = tx
        self.known = {"publication": publication_id, "now": now}
        self.taken = set(exclude)

    def images(self, coins: list[bool], *, annotator_id: int) -> list[Found]:
        """Find one image per coin, a True coin asking for the holdout; fewer when there are no more."""
        wanted = len(coins)
        holdout = self._take(_RANDOM, sum(coins), lane=schema.HOLDOUT)
        pool = self._take(_QUEUED, wanted - len(holdout))
        pool += self._take(_RANDOM, wanted - len(holdout) - len(pool), lane=schema.POOL)
        holdout += self._take(_RANDOM, wanted - len(holdout) - len(pool), lane=schema.HOLDOUT)
        mixed: list[Found] = []
        for coin in coins:
            first, second = (holdout, pool) if coin else (pool, holdout)
            mixed += [(first or second).pop(0)] if first or second else []
        return mixed + self._take(_SKIPPED, wanted - len(mixed), annotator=annotator_id)

    def _take(self, query: sa.Select[Any], limit: int, **more: Any) -> list[Found]:
        if limit <= 0:
            return []
        values = self.known | more | {"taken": sorted(self.taken), "count": limit}
        out = []
        for image_id, queued, position, propensity, lane in self.tx.execute(query, values):
            reason = "holdout" if lane == schema.HOLDOUT else queued or "random"
            out.append(Found(image_id, reason, position, propensity))
            self.taken.add(image_id)
        return out


def last_said(tx: Connection, image_id: int, annotator_id: int) -> sa.Row[Any] | None:
    """Find the annotator's latest event on an image that is not a retract."""
    mine = (_E.c.image_id == image_id, _E.c.annotator_id == annotator_id, _E.c.kind != "retract")
    return tx.execute(sa.select(_E).where(*mine).order_by(_E.c.seq.desc()).limit(1)).one_or_none()


# The three queries are built once: building them takes longer than running them.


def _free(query: sa.Select[Any]) -> sa.Select[Any]:
    """Keep the images that nobody holds and that are not taken already."""
    held = sa.exists().where(_L.c.image_id == _S.c.image_id, _L.c.expires_at > sa.bindparam("now"))
    taken: sa.BindParameter[Any] = sa.bindparam("taken", expanding=True)
    return query.where(~held, _S.c.image_id.not_in(taken)).limit(sa.bindparam("count", type_=sa.Integer))


def _queued() -> sa.Select[Any]:
    """The published order, passing over what anybody skipped."""
    query = sa.select(_Q.c.image_id, _Q.c.reason, _Q.c.position, _Q.c.propensity, _S.c.lane)
    query = query.join_from(_Q, _S, _S.c.image_id == _Q.c.image_id).order_by(_Q.c.position)
    return _free(query.where(_Q.c.publication_id == _PUBLICATION, _S.c.lane == schema.POOL, _S.c.skips == 0))


def _random() -> sa.Select[Any]:
    """The fixed random order of one lane, passing over what anybody skipped."""
    query = sa.select(_S.c.image_id, sa.null(), sa.null(), sa.null(), _S.c.lane)
    query = query.where(_S.c.lane == sa.bindparam("lane"), _S.c.skips == 0)
    return _free(query.order_by(_S.c.draw, _S.c.image_id))


def _skipped() -> sa.Select[Any]:
    """What was skipped: first by others, pool before holdout, then by oneself, the longest ago first."""
    takes_back = _E.alias("takes_back")
    mine = sa.select(sa.func.coalesce(sa.func.max(_E.c.seq), 0)).where(
        _E.c.image_id == _S.c.image_id,
        _E.c.annotator_id == sa.bindparam("annotator"),
        _E.c.kind == "skip",
        ~sa.exists().where(takes_back.c.target_seq == _E.c.seq),
    )
    queued = sa.and_(_Q.c.image_id == _S.c.image_id, _Q.c.publication_id == _PUBLICATION)
    query = sa.select(_S.c.image_id, _Q.c.reason, _Q.c.position, _Q.c.propensity, _S.c.lane)
    query = query.outerjoin_from(_S, _Q, queued).where(_S.c.lane.in_((schema.POOL, schema.HOLDOUT)), _S.c.skips > 0)
    rank = sa.func.coalesce(_Q.c.position, 1 << 30)
    return _free(query.order_by(mine.scalar_subquery(), _S.c.lane.desc(), rank, _S.c.draw, _S.c.image_id))


_PUBLICATION = sa.bindparam("publication", type_=sa.Integer)
_QUEUED, _RANDOM, _SKIPPED = _queued(), _random(), _skipped()
