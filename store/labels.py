"""Label events: appended once, folded into image_state in the same transaction, read back in many ways."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import errors, fold, overlap, records, refold, schema, tally

_E, _S, _C, _I = schema.label_events, schema.image_state, schema.classes, schema.images
_PAGE = 2000  # rows fetched at a time
_SOME = 500  # of those of which more is looked up by their ids
BULK = "bulk"  # input mode of events that one action said about many images


def append(tx: Connection, new: records.NewEvent, now: float) -> tuple[records.Event, bool]:
    """Append an event, refold its image and end the annotator's lease on it; returns (event, is it new).

    An event whose uuid is stored already changes nothing and comes back with False. Raises errors.UnknownImage,
    UnknownClass, UnknownEvent (of a retract), BadEvent, or UuidTaken when the uuid is stored with other content.
    """
    seq = lock_watermark(tx) + 1
    stored = get_by_uuid(tx, new.uuid)
    if stored is not None:
        same(stored, new)
        return stored, False
    _check(tx, new)
    event = records.Event(**vars(new), seq=seq, received_at=now)
    insert(tx, [event])
    refold.some(tx, [new.image_id])
    if new.kind in fold.RELEASING:
        mine = (schema.leases.c.image_id == new.image_id, schema.leases.c.annotator_id == new.annotator_id)
        tx.execute(sa.delete(schema.leases).where(*mine))
    return event, True


def watermark(tx: Connection) -> int:
    """Return the seq of the newest event, 0 before the first."""
    counter = sa.select(schema.counters.c.value).where(schema.counters.c.name == schema.WATERMARK)
    return int(tx.execute(counter).scalar_one())


def state(tx: Connection, image_id: int) -> records.ImageState:
    """Return what counts now for one image; raises errors.UnknownImage."""
    row = tx.execute(sa.select(_S).where(_S.c.image_id == image_id)).one_or_none()
    if row is None:
        raise errors.UnknownImage(f"no image has id {image_id}")
    return records.ImageState(**row._asdict())


def settled(tx: Connection, up_to: int | None = None) -> list[records.Settled]:
    """List the settled images by id, holdout included, as they were at watermark `up_to` (default: now)."""
    rows = tx.execute(_settled(up_to)[1])  # ORDER BY would go through the whole pool
    return sorted((records.Settled(*row) for row in rows), key=lambda each: each.image_id)


def each_settled(tx: Connection, up_to: int | None = None) -> Iterator[list[records.Settled]]:
    """The same, some hundred in memory at a time."""
    image_id, query = _settled(up_to)
    for page in tx.execute(query.order_by(image_id).execution_options(yield_per=_SOME)).partitions():
        yield [records.Settled(*row) for row in page]


def _settled(up_to: int | None) -> tuple[sa.ColumnElement[int], sa.Select[Any]]:
    """What reads the settled images, and its column of their ids."""
    source = _S if up_to is None else _settled_at(up_to)
    merged = sa.func.coalesce(_C.c.merged_into, source.c.class_id)
    columns = (source.c.image_id, merged, source.c.reason, source.c.event_seq, source.c.source)
    query = sa.select(*columns).outerjoin_from(source, _C, _C.c.id == source.c.class_id)
    return source.c.image_id, query.where(source.c.event_seq.is_not(None))


def last_undoable(tx: Connection, annotator_id: int, kinds: Sequence[str] = fold.RELEASING) -> records.Event | None:
    """Find the annotator's latest event on the page, of these kinds (default: answers and skips), that still stands.

    What a bulk action said is passed over: that is taken back as a whole, where it was done.
    """
    query = sa.select(_E).where(
        _E.c.annotator_id == annotator_id,
        _E.c.kind.in_(kinds),
        _E.c.source == "page",
        sa.func.coalesce(_E.c.input_mode, "") != BULK,
        ~_retracted(_E),
    )
    row = tx.execute(query.order_by(_E.c.seq.desc()).limit(1)).one_or_none()
    return None if row is None else _event(row)


def get(tx: Connection, seq: int) -> records.Event:
    """Read one event; raises errors.UnknownEvent."""
    row = tx.execute(sa.select(_E).where(_E.c.seq == seq)).one_or_none()
    if row is None:
        raise errors.UnknownEvent(f"no label event has seq {seq}")
    return _event(row)


def get_by_uuid(tx: Connection, uuid: str) -> records.Event | None:
    """Find the event a client named so."""
    row = tx.execute(sa.select(_E).where(_E.c.uuid == uuid)).one_or_none()
    return None if row is None else _event(row)


def of_image(tx: Connection, image_id: int) -> list[records.Event]:
    """List everything said about one image, oldest first."""
    return [_event(row) for row in tx.execute(sa.select(_E).where(_E.c.image_id == image_id).order_by(_E.c.seq))]


def events_since(tx: Connection, watermark: int) -> list[records.Event]:
    """List the events after a watermark, oldest first."""
    return [_event(row) for row in tx.execute(sa.select(_E).where(_E.c.seq > watermark).order_by(_E.c.seq))]


def with_region(tx: Connection) -> list[records.Event]:
    """List the events that name an evidence region and still stand, oldest first."""
    query = sa.select(_E).where(_E.c.region.is_not(None), ~_retracted(_E)).order_by(_E.c.seq)
    return [_event(row) for row in tx.execute(query)]


def drawn_since(tx: Connection, watermark: int) -> bool:
    """Say whether any event after a watermark names an evidence region."""
    found = sa.select(_E.c.seq).where(_E.c.seq > watermark, _E.c.region.is_not(None)).limit(1)
    return tx.scalar(found) is not None


def all_events(tx: Connection, up_to: int | None = None) -> Iterator[records.Event]:
    """Go through every event up to a watermark (default: now), oldest first, a page at a time."""
    last, until = 0, sa.true() if up_to is None else _E.c.seq <= up_to
    while page := tx.execute(sa.select(_E).where(_E.c.seq > last, until).order_by(_E.c.seq).limit(_PAGE)).all():
        yield from map(_event, page)
        last = page[-1].seq


def per_class(tx: Connection) -> dict[int, int]:
    """Count the images settled with each class, merged ones under the class that took them over."""
    merged = sa.func.coalesce(_C.c.merged_into, _C.c.id)
    query = sa.select(merged, sa.func.count()).join_from(_S, _C, _C.c.id == _S.c.class_id)
    rows = tx.execute(query.where(_S.c.kind == "label").group_by(merged))
    return {class_id: number for class_id, number in rows}


def training_counts(tx: Connection, up_to: int | None = None) -> dict[str, int]:
    """Count what training sees at a watermark (default: now): labels, and classes among them; no holdout, no retired class."""
    source = _S if up_to is None else _settled_at(up_to)
    final = _C.alias("final")
    query = sa.select(sa.func.count(), sa.func.count(final.c.id.distinct())).select_from(source)
    query = query.join(_C, _C.c.id == source.c.class_id).join(_I, _I.c.id == source.c.image_id)
    query = query.join(final, final.c.id == sa.func.coalesce(_C.c.merged_into, _C.c.id))
    taught = (source.c.kind == "label", _I.c.holdout == 0, final.c.status == "active")
    number, classes = tx.execute(query.where(*taught)).one()
    return {"labels": number, "classes": classes}


def counts(tx: Connection, since: float | None = None, annotator_id: int | None = None) -> dict[str, int]:
    """Count images as tally.whole() and tally.recent() say. Also: events, ever."""
    return tally.whole(tx) | tally.recent(tx, since, annotator_id) | {"events": watermark(tx)}


def ask_several(tx: Connection, answers: int, rate: float) -> int:
    """Let `answers` people answer a random share `rate` of the images; returns how many images changed by it."""
    return refold.everything(tx) if overlap.write(tx, overlap.several(answers, rate)) else 0


def rebuild(tx: Connection) -> int:
    """Fold every image anew from its events; returns how many states were wrong (0 unless something is broken)."""
    return refold.everything(tx)


def rebuild_some(tx: Connection, after: int) -> tuple[int, int | None]:
    """As rebuild(), of the next few thousand images by id; returns the last of them, too, None at the end."""
    return refold.following(tx, after)


def wrong_states(tx: Connection, after: int = 0) -> tuple[list[int], int | None]:
    """List those of the next few thousand images by id whose state rebuild() would change, and the last looked at.

    That one is to be given as `after` the next time; it is None at the end.
    """
    return refold.wrong(tx, after)


def missing_events(tx: Connection) -> int:
    """Say how many of the events that were counted are not there (0 unless something is broken)."""
    return watermark(tx) - int(tx.execute(sa.select(sa.func.count()).select_from(_E)).scalar_one())


def watermark_at(tx: Connection, time: float) -> int:
    """Return the seq of the newest event that came at `time` (unix seconds) or before, 0 before the first.

    Where the machine's clock was set back, a time came twice: the later one is meant.
    """
    return tx.scalar(sa.select(sa.func.max(_E.c.seq)).where(_E.c.received_at <= time)) or 0


def lock_watermark(tx: Connection) -> int:
    """Read the counter and keep others from it until the commit, so that seq grows in commit order everywhere."""
    counter = sa.select(schema.counters.c.value).where(schema.counters.c.name == schema.WATERMARK)
    return int(tx.execute(counter.with_for_update()).scalar_one())


def same(stored: records.NewEvent, new: records.NewEvent) -> None:
    """Raise errors.UuidTaken unless both say the same."""
    for name in ("image_id", "annotator_id", "kind", "class_id", "target_seq", "asked_id"):
        if getattr(stored, name) != getattr(new, name):
            raise errors.UuidTaken(
                f"another event already carries uuid {new.uuid} with another {name} "
                f"({getattr(stored, name)}, now {getattr(new, name)}): every new answer needs a new uuid"
            )


def insert(tx: Connection, events: list[records.Event]) -> None:
    """Insert events whose seq follows the counter, and move it; raises errors.BadEvent where a row contradicts the tables."""
    last = {"value": events[-1].seq}
    tx.execute(sa.update(schema.counters).where(schema.counters.c.name == schema.WATERMARK), last)
    try:
        used = [name for name in map(str, _E.c.keys()) if any(getattr(event, name) is not None for event in events)]
        tx.execute(sa.insert(_E), [{name: getattr(event, name) for name in used} for event in events])
    except sa.exc.IntegrityError as error:
        named = f"a {events[0].kind} of image {events[0].image_id}" if len(events) == 1 else f"{len(events)} events"
        raise errors.BadEvent(f"{named} cannot be stored: {error.orig}") from error


def _check(tx: Connection, new: records.NewEvent) -> None:
    if tx.scalar(sa.select(_I.c.id).where(_I.c.id == new.image_id)) is None:
        raise errors.UnknownImage(f"no image has id {new.image_id}")
    if (new.kind == "retract") != (new.target_seq is not None):
        raise errors.BadEvent(f"a {new.kind} came with target {new.target_seq}: a retract, and only it, names one")
    if new.kind == "label" and new.class_id is None:
        raise errors.BadEvent("a label needs a class")
    if new.asked_id is not None and new.kind != "skip":
        raise errors.BadEvent(
            f"a {new.kind} came with annotator {new.asked_id} to be asked: only a skip passes an image"
        )
    for class_id in (new.class_id, new.suggestion_class_id):
        if class_id is not None and tx.scalar(sa.select(_C.c.id).where(_C.c.id == class_id)) is None:
            raise errors.UnknownClass(f"no class has id {class_id}")
    if new.target_seq is not None:
        target = get(tx, new.target_seq)
        if target.image_id != new.image_id or target.kind == "retract":
            raise errors.BadEvent(
                f"event {target.seq} is a {target.kind} of image {target.image_id}: it cannot be retracted "
                f"for image {new.image_id}"
            )


def _retracted(events: Any) -> sa.ColumnElement[bool]:
    takes_back = _E.alias("takes_back")
    return sa.exists().where(takes_back.c.target_seq == events.c.seq)


def _settled_at(up_to: int) -> sa.Subquery:
    """What settled each image at a watermark, under image_state's column names: a review, else the latest answer."""
    takes_back = _E.alias("takes_back")
    gone = sa.exists().where(takes_back.c.target_seq == _E.c.seq, takes_back.c.seq <= up_to)
    then = (_E.c.seq <= up_to, ~gone)
    reviewed = sa.select(_E.c.image_id).where(*then, _E.c.kind == "review")
    reviews = sa.select(sa.func.max(_E.c.seq)).where(*then, _E.c.kind == "review").group_by(_E.c.image_id)
    answers = sa.select(sa.func.max(_E.c.seq)).where(*then, _E.c.kind.in_(fold.ANSWERS)).group_by(_E.c.image_id)
    made = sa.case((_E.c.kind != "review", _E.c.kind), (_E.c.class_id.is_(None), "reject"), else_="label")
    columns = (_E.c.image_id, _E.c.class_id, made.label("kind"), _E.c.reason, _E.c.seq.label("event_seq"), _E.c.source)
    latest = sa.or_(_E.c.seq.in_(reviews), sa.and_(_E.c.seq.in_(answers), _E.c.image_id.not_in(reviewed)))
    return sa.select(*columns).where(latest).subquery()


def _event(row: sa.Row[Any]) -> records.Event:
    return records.Event(**row._asdict())
