"""What each person says: the answers and reviews that stand, by image and annotator, and who asked for a discussion."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import fold, records, schema

_E, _S, _C = schema.label_events, schema.image_state, schema.classes
_CHUNK = 500  # bound parameters per statement stay far under SQLite's limit


def standing(
    tx: Connection, image_ids: Sequence[int] | None = None, *, up_to: int | None = None, as_said: bool = False
) -> list[records.Said]:
    """List what each annotator says about each image (default: all), by image and then seq: the latest that stands.

    With `up_to`, as it stood at that watermark; `as_said` leaves merged classes as they were named then."""
    back = _E.alias("takes_back")
    then, back_then = (sa.true(), sa.true()) if up_to is None else (_E.c.seq <= up_to, back.c.seq <= up_to)
    taken_back = sa.exists().where(back.c.target_seq == _E.c.seq, back_then)
    merged = _E.c.class_id if as_said else sa.func.coalesce(_C.c.merged_into, _E.c.class_id)
    review = (_E.c.kind == "review").label("review")
    query = sa.select(_E.c.image_id, _E.c.annotator_id, merged, _E.c.reason, review, _E.c.seq)
    query = query.outerjoin_from(_E, _C, _C.c.id == _E.c.class_id).where(
        _E.c.kind.in_(fold.SETTLING), ~taken_back, then
    )
    query = query.order_by(_E.c.image_id, _E.c.seq)
    if image_ids is None:
        rows = tx.execute(query).all()
    else:
        chunks = (image_ids[start : start + _CHUNK] for start in range(0, len(image_ids), _CHUNK))
        rows = [row for chunk in chunks for row in tx.execute(query.where(_E.c.image_id.in_(chunk)))]
    latest = {(row.image_id, row.annotator_id, row.review): records.Said(*row) for row in rows}
    return sorted(latest.values(), key=lambda each: (each.image_id, each.seq))


def own(tx: Connection, annotator_id: int, *, count: int, before: int | None = None) -> list[records.Event]:
    """List the annotator's latest standing answers and skips on the page, newest first, one an image.

    `before`: only those with a smaller seq, to go on from an earlier list.
    """
    back, later = _E.alias("takes_back"), _E.alias("later")

    def theirs(event: sa.FromClause) -> tuple[sa.ColumnElement[bool], ...]:
        stands = ~sa.exists().where(back.c.target_seq == event.c.seq)
        return (
            event.c.annotator_id == annotator_id,
            event.c.kind.in_(fold.RELEASING),
            event.c.source == "page",
            stands,
        )

    newest = ~sa.exists().where(later.c.image_id == _E.c.image_id, later.c.seq > _E.c.seq, *theirs(later))
    query = sa.select(_E).where(*theirs(_E), newest)
    if before is not None:
        query = query.where(_E.c.seq < before)
    return [records.Event(**row._asdict()) for row in tx.execute(query.order_by(_E.c.seq.desc()).limit(count))]


def given(tx: Connection, after: int, up_to: int) -> list[tuple[records.Event, bool]]:
    """List the labels and rejects that stood at watermark `up_to` and came after `after`, newest first.

    Each with whether it stands now, too."""
    back, then = _E.alias("takes_back"), _E.alias("took_back_then")
    stands = ~sa.exists().where(back.c.target_seq == _E.c.seq)
    gone = sa.exists().where(then.c.target_seq == _E.c.seq, then.c.seq <= up_to)
    query = sa.select(_E, stands.label("stands")).where(
        _E.c.seq > after, _E.c.seq <= up_to, _E.c.kind.in_(fold.ANSWERS), ~gone
    )
    rows = [row._asdict() for row in tx.execute(query.order_by(_E.c.seq.desc()))]
    return [(records.Event(**{k: v for k, v in row.items() if k != "stands"}), bool(row["stands"])) for row in rows]


def flagged(tx: Connection) -> list[int]:
    """List the images with a flag that stands and that no review followed, by id."""
    return list(tx.scalars(sa.select(_S.c.image_id).where(_S.c.flags > 0).order_by(_S.c.image_id)))


def of_holdout(tx: Connection) -> list[tuple[int, int]]:
    """List the holdout images that a class was settled for, as (image, class), by id."""
    query = sa.select(_S.c.image_id, _S.c.class_id).join(schema.images, schema.images.c.id == _S.c.image_id)
    query = query.where(schema.images.c.holdout > 0, schema.images.c.status == "ok", _S.c.kind == "label")
    return [(row.image_id, row.class_id) for row in tx.execute(query.order_by(_S.c.image_id))]


def people(tx: Connection) -> list[int]:
    """List the annotators who have ever answered or reviewed anything, by id."""
    said_so = sa.exists().where(_E.c.annotator_id == schema.annotators.c.id, _E.c.kind.in_(fold.SETTLING))
    return list(tx.scalars(sa.select(schema.annotators.c.id).where(said_so).order_by(schema.annotators.c.id)))


def changed_since(tx: Connection, watermark: int) -> set[int]:
    """Find the images about which something counts now that did not at `watermark`, or no longer counts.

    Labels, rejects, reviews and flags count; what was said and taken back since changes nothing.
    """
    back, target = _E.alias("takes_back"), _E.alias("target")
    said = (*fold.SETTLING, "flag")
    stands = ~sa.exists().where(back.c.target_seq == _E.c.seq)
    new = sa.select(_E.c.image_id).where(_E.c.seq > watermark, _E.c.kind.in_(said), stands)
    gone = sa.select(_E.c.image_id).join(target, target.c.seq == _E.c.target_seq)
    gone = gone.where(_E.c.seq > watermark, target.c.seq <= watermark, target.c.kind.in_(said))
    return set(tx.scalars(new.union(gone)))


def shared(tx: Connection) -> bool:
    """Say whether any image was answered by two people or more."""
    return tx.scalar(sa.select(_S.c.image_id).where(_S.c.said_by.like(",%,%,%")).limit(1)) is not None
