"""The search behind a claim: which images nobody holds come next, and why each is asked.

On PostgreSQL claims go side by side. A search locks the rows it finds and passes over locked ones; but it looks at leases
as they were when it began, and a claim that has just ended may have leased what it finds free. So what it has locked is
looked at again: nobody else can lease that now. Leases that have run out are removed before, as a holder whose clock is
behind might still renew one.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import gold, overlap, records, schema

_Q, _L, _S, _E, _I = schema.queue, schema.leases, schema.image_state, schema.label_events, schema.images
_A = schema.annotators
PASSED = "passed"  # why an image is asked that somebody passed to this annotator


class Found(NamedTuple):
    """An image to ask; `position` and `propensity` are those of its queue row, if it has one."""

    image_id: int
    reason: str
    position: int | None
    propensity: float | None


class Draw:
    """One claim's search for one annotator; it never gives the same image twice."""

    def __init__(
        self,
        tx: Connection,
        publication: records.Publication | None,
        *,
        annotator_id: int,
        now: float,
        several: overlap.Overlap,
        exclude: Collection[int],
    ) -> None:
        """Prepare a search at time `now` in the queue of `publication`; `several` says how many people answer."""
        self.tx, self.several, self.annotator_id = tx, several, annotator_id
        self.known = {
            "publication": publication.id if publication else None,
            "watermark": publication.watermark if publication else 0,
            "annotator": annotator_id,
            "mine": mine(annotator_id),
            "now": now,
        }
        self.taken = set(exclude)

    def images(self, lanes: list[str]) -> list[Found]:
        """Find one image for each lane named, of another lane where that one is used up; fewer when there are no more.

        What others passed to this annotator comes before all lanes, what was skipped after them.
        """
        passed = self._take(_PASSED_ON, len(lanes))
        lanes = lanes[len(passed) :]
        wanted = len(lanes)
        found = {gold.GOLD: self._take(_GOLD, lanes.count(gold.GOLD))}
        found[schema.MORE] = self._more(lanes.count(schema.MORE))
        found[schema.HOLDOUT] = self._take(_RANDOM, lanes.count(schema.HOLDOUT), lane=schema.HOLDOUT)
        left = wanted - sum(map(len, found.values()))
        found[schema.POOL] = self._take(_QUEUED, left)
        found[schema.POOL] += self._take(_RANDOM, left - len(found[schema.POOL]), lane=schema.POOL)
        left -= len(found[schema.POOL])
        rest = self._take(_RANDOM, left, lane=schema.HOLDOUT)
        found[schema.HOLDOUT] += rest
        found[schema.MORE] += self._more(left - len(rest))
        mixed: list[Found] = []
        for lane in lanes:
            full = [each for each in (lane, schema.POOL, schema.HOLDOUT, schema.MORE) if found[each]]
            mixed += [found[full[0]].pop(0)] if full else []
        return passed + mixed + self._take(_SKIPPED, wanted - len(mixed))

    def _more(self, limit: int) -> list[Found]:
        """Images that others have answered and that want another answer, those nearest to enough answers first.

        Looked up by who has answered, so that an annotator who has answered them all passes over none of them.
        """
        out: list[Found] = []
        if limit <= 0 or self.several.answers < 2:
            return out
        others = [said_by for (said_by,) in self.tx.execute(_SAID_BY) if said_by and self.known["mine"] not in said_by]
        for said_by in sorted(others, key=lambda each: -each.count(",")):
            free = self.several.answers + 1 - said_by.count(",")
            out += self._take(_MORE, limit - len(out), said_by=said_by, free=free)
            if len(out) >= limit:
                break
        return out

    def _take(self, query: sa.Select[Any], limit: int, **more: Any) -> list[Found]:
        out: list[Found] = []
        while limit > len(out):
            values = self.known | more | {"taken": sorted(self.taken), "count": limit - len(out)}
            rows = self.tx.execute(query, values).all()
            free = self._still_free(query, values, rows)
            for image_id, queued, position, propensity, lane in free:
                reason = "holdout" if lane == schema.HOLDOUT else queued or "random"
                out.append(Found(image_id, reason, position, propensity))
                self.taken.add(image_id)
            if len(free) == len(rows):
                break
        return out

    def _still_free(self, query: sa.Select[Any], values: dict[str, Any], rows: Sequence[Any]) -> Sequence[Any]:
        """Those of the rows found, and locked by that, that nobody has leased meanwhile."""
        if self.tx.dialect.name == "sqlite" or not rows:
            return rows
        ids = [row[0] for row in rows]
        self.tx.execute(sa.delete(_L).where(_L.c.image_id.in_(ids), _L.c.expires_at <= self.known["now"]))
        return self.tx.execute(_among(query), values | {"these": ids}).all()


def mine(annotator_id: int) -> str:
    """What image_state.said_by contains where this annotator's answer stands."""
    return f",{annotator_id},"


def askers(tx: Connection, annotator_id: int, image_ids: Sequence[int]) -> dict[int, tuple[str, str | None]]:
    """Map those of the images that somebody passed to this annotator to (the name of who asks, the note with it)."""
    query = _ASKERS.where(_E.c.image_id.in_(image_ids))
    return {image_id: (name, note) for image_id, name, note in tx.execute(query, {"annotator": annotator_id})}


def last_said(tx: Connection, image_id: int, annotator_id: int) -> sa.Row[Any] | None:
    """Find the annotator's latest event on an image that is not a retract."""
    mine = (_E.c.image_id == image_id, _E.c.annotator_id == annotator_id, _E.c.kind != "retract")
    return tx.execute(sa.select(_E).where(*mine).order_by(_E.c.seq.desc()).limit(1)).one_or_none()


# The queries are built once: building them takes longer than running them.


def _free(query: sa.Select[Any]) -> sa.Select[Any]:
    """Keep the images that nobody holds and that are not taken already."""
    return _untaken(query.where(~_held()))


def _held(*conditions: sa.ColumnElement[bool]) -> sa.Exists:
    return sa.exists().where(_L.c.image_id == _S.c.image_id, _L.c.expires_at > sa.bindparam("now"), *conditions)


def _untaken(query: sa.Select[Any]) -> sa.Select[Any]:
    taken: sa.BindParameter[Any] = sa.bindparam("taken", expanding=True)
    query = query.where(_S.c.image_id.not_in(taken)).limit(sa.bindparam("count", type_=sa.Integer))
    return query.with_for_update(of=_S, skip_locked=True)


@functools.cache
def _among(query: sa.Select[Any]) -> sa.Select[Any]:
    """The same search among `these` images alone."""
    return query.where(_S.c.image_id.in_(sa.bindparam("these", expanding=True)))


def _skips(column: sa.ColumnElement[Any], events: Any = _E) -> sa.Select[Any]:
    """A column of this annotator's standing skips of an image."""
    mine = (events.c.image_id == _S.c.image_id, events.c.annotator_id == sa.bindparam("annotator"))
    return sa.select(column).where(*mine, _stands(events), events.c.kind == "skip")


def _stands(events: Any = _E) -> sa.ColumnElement[bool]:
    takes_back = _E.alias("takes_back")
    return ~sa.exists().where(takes_back.c.target_seq == events.c.seq)


def _queued() -> sa.Select[Any]:
    """The published order, passing over what anybody skipped.

    A row "again" names an image that others have answered; it serves until anything new is said about that image.
    """
    query = sa.select(_Q.c.image_id, _Q.c.reason, _Q.c.position, _Q.c.propensity, sa.literal(schema.POOL))
    query = query.join_from(_Q, _S, _S.c.image_id == _Q.c.image_id).order_by(_Q.c.position)
    new = sa.and_(_S.c.lane == schema.POOL, _S.c.skips == 0)
    again = sa.and_(
        _Q.c.reason == "again",
        _S.c.event_seq <= sa.bindparam("watermark", type_=sa.Integer),
        _S.c.said_by.not_like("%" + sa.bindparam("mine", type_=sa.Text) + "%"),
        ~_skips(_E.c.seq).exists(),
    )
    return _free(query.where(_Q.c.publication_id == _PUBLICATION, sa.or_(new, again)))


def _random() -> sa.Select[Any]:
    """The fixed random order of one lane, passing over what anybody skipped."""
    query = sa.select(_S.c.image_id, sa.null(), sa.null(), sa.null(), _S.c.lane)
    query = query.where(_S.c.lane == sa.bindparam("lane"), _S.c.skips == 0)
    return _free(query.order_by(_S.c.draw, _S.c.image_id))


def _said_by() -> sa.Select[Any]:
    """Each set of people by whom images are answered that want more answers: one step of the index for each set."""
    wanted = (_S.c.lane == schema.MORE, _S.c.skips == 0)
    sets = sa.select(sa.func.min(_S.c.said_by).label("said_by")).where(*wanted).cte("sets", recursive=True)
    after = sa.select(sa.func.min(_S.c.said_by)).where(*wanted, _S.c.said_by > sets.c.said_by).scalar_subquery()
    sets = sets.union_all(sa.select(after).where(sets.c.said_by.is_not(None)))
    return sa.select(sets.c.said_by)


def _more() -> sa.Select[Any]:
    """The random order of what one set of people has answered, while fewer hold it than answers are wanted."""
    query = sa.select(_S.c.image_id, sa.literal("again"), sa.null(), sa.null(), _lane_of())
    query = query.join_from(_S, _I, _I.c.id == _S.c.image_id).order_by(_S.c.draw, _S.c.image_id)
    query = query.where(_S.c.lane == schema.MORE, _S.c.skips == 0, _S.c.said_by == sa.bindparam("said_by"))
    live = sa.select(sa.func.count()).where(_L.c.image_id == _S.c.image_id, _L.c.expires_at > sa.bindparam("now"))
    free = live.scalar_subquery() < sa.bindparam("free", type_=sa.Integer)
    return _untaken(query.where(free, ~_held(_L.c.annotator_id == sa.bindparam("annotator"))))


def _gold() -> sa.Select[Any]:
    """The gold images of the queue that this annotator has neither decided nor answered nor skipped."""
    review = _E.alias("review")
    query = sa.select(_Q.c.image_id, _Q.c.reason, _Q.c.position, _Q.c.propensity, sa.literal(schema.POOL))
    query = query.join_from(_Q, _S, _S.c.image_id == _Q.c.image_id).join(review, review.c.seq == _S.c.event_seq)
    query = query.where(_Q.c.publication_id == _PUBLICATION, _Q.c.reason == gold.GOLD, review.c.kind == "review")
    query = query.where(
        review.c.annotator_id != sa.bindparam("annotator"),
        _S.c.said_by.not_like("%" + sa.bindparam("mine", type_=sa.Text) + "%"),
        ~_skips(_E.c.seq).exists(),
        ~_held(_L.c.annotator_id == sa.bindparam("annotator")),
    )
    return _untaken(query.order_by(_Q.c.position))


def _skipped() -> sa.Select[Any]:
    """What was skipped: first by others, pool before holdout, then by oneself, the longest ago first."""
    last = _skips(sa.func.coalesce(sa.func.max(_E.c.seq), 0)).scalar_subquery()
    queued = sa.and_(_Q.c.image_id == _S.c.image_id, _Q.c.publication_id == _PUBLICATION)
    reason = sa.case((_S.c.lane == schema.MORE, "again"), else_=_Q.c.reason)
    query = sa.select(_S.c.image_id, reason, _Q.c.position, _Q.c.propensity, _lane_of())
    query = query.outerjoin_from(_S, _Q, queued).join(_I, _I.c.id == _S.c.image_id)
    open_ = (_S.c.lane.in_((schema.POOL, schema.HOLDOUT, schema.MORE)), _S.c.skips > 0)
    query = query.where(*open_, _S.c.said_by.not_like("%" + sa.bindparam("mine", type_=sa.Text) + "%"))
    rank = sa.func.coalesce(_Q.c.position, 1 << 30)
    return _free(query.order_by(last, _S.c.lane.desc(), rank, _S.c.draw, _S.c.image_id))


def _passes(*columns: sa.ColumnElement[Any], events: Any = _E) -> sa.Select[Any]:
    """Columns of the standing skips that ask this annotator."""
    return sa.select(*columns).where(events.c.asked_id == sa.bindparam("annotator"), _stands(events))


def _passed_on() -> sa.Select[Any]:
    """What others passed to this annotator, who has neither answered nor skipped it since; the longest ago first.

    An audit stays one, whoever answers it: without the hard ones that were passed on, the others would look too good.
    """
    later = _E.alias("later")
    repeated = _passes(later.c.seq, events=later).where(later.c.image_id == _E.c.image_id, later.c.seq > _E.c.seq)
    queued = sa.and_(_Q.c.image_id == _S.c.image_id, _Q.c.publication_id == _PUBLICATION)
    reason = sa.case(
        (_S.c.lane == schema.MORE, "again"),
        (sa.or_(_E.c.queue_reason == "audit", _Q.c.reason == "audit"), "audit"),
        else_=PASSED,
    )
    propensity = sa.case(
        (_E.c.queue_reason == "audit", _E.c.propensity), (_Q.c.reason == "audit", _Q.c.propensity), else_=sa.null()
    )
    own = _E.alias("own")
    skipped = _skips(own.c.seq, own).where(own.c.seq >= _E.c.seq).exists()
    query = _passes(_S.c.image_id, reason, sa.null(), propensity, _lane_of())
    query = query.join_from(_E, _S, _S.c.image_id == _E.c.image_id).join(_I, _I.c.id == _S.c.image_id)
    query = query.outerjoin(_Q, queued).where(~repeated.exists(), ~skipped)
    query = query.where(_S.c.lane.in_((schema.POOL, schema.HOLDOUT, schema.MORE)))
    query = query.where(_S.c.said_by.not_like("%" + sa.bindparam("mine", type_=sa.Text) + "%"))
    return _free(query.order_by(_E.c.seq))


def _lane_of() -> sa.ColumnElement[str]:
    return sa.case((_I.c.holdout > 0, schema.HOLDOUT), else_=schema.POOL)


_PUBLICATION = sa.bindparam("publication", type_=sa.Integer)
_QUEUED, _RANDOM, _SAID_BY, _MORE, _SKIPPED = _queued(), _random(), _said_by(), _more(), _skipped()
_GOLD, _PASSED_ON = _gold(), _passed_on()
_ASKERS = _passes(_E.c.image_id, _A.c.name, _E.c.note)
_ASKERS = _ASKERS.join(_A, _A.c.id == _E.c.annotator_id).order_by(_E.c.seq)
