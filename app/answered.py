"""A person's own last answers, each image as it was asked, so that one can go back and change them."""

from typing import Any

from sqlalchemy import Connection

from app import class_names, errors, items, labelling
from store import annotators, answers, labels, queue
from store.database import Database
from store.records import Event, Lease

MOST = 100


def own(
    db: Database, *, annotator: str, count: int, before: str | None = None, hidden_rate: float = 0.0
) -> list[dict[str, Any]]:
    """The latest `count` answers that stand, newest first: items as items.build says, with `previous` and its uuid.

    `before` is the uuid of the answer to go on from. Nothing is leased: an answer that is changed later is late by then,
    and counts all the same. Raises BadRequest for a count out of range, NotFound for an unknown uuid.
    """
    if not 1 <= count <= MOST:
        raise errors.BadRequest(f"count must be between 1 and {MOST}, not {count}")
    name = labelling.checked_name(annotator)
    with db.read() as tx:
        person = annotators.by_name(tx, name)
        if person is None:
            return []
        found = answers.own(tx, person.id, count=count, before=_seq(tx, before))
        built = items.build(tx, [_as_asked(event) for event in found], hidden_rate)
        names = class_names.now(tx)
        return [
            item | {"previous": labelling.said(tx, event, names) | {"uuid": event.uuid}}
            for item, event in zip(built, found, strict=True)
        ]


def _seq(tx: Connection, before: str | None) -> int | None:
    if before is None:
        return None
    event = labels.get_by_uuid(tx, labelling.checked_uuid(before))
    if event is None:
        raise errors.NotFound(f"no answer has the uuid {before}: it has not arrived yet")
    return event.seq


def _as_asked(event: Event) -> Lease:
    """A lease that nobody holds, with the reason, publication and rank of the answer."""
    reason = event.queue_reason or "random"
    return Lease(
        image_id=event.image_id,
        slot=0,
        annotator_id=event.annotator_id,
        client="",
        token="",
        publication_id=event.publication_id,
        position=event.queue_rank,
        reason=reason,
        blind=reason in queue.BLIND,
        propensity=event.propensity,
        leased_at=0.0,
        expires_at=0.0,
    )
