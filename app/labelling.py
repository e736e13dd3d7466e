"""What people do: next, submit, undo, renew, release. Each is one transaction and returns values ready for JSON."""

import dataclasses
import math
import uuid as uuids
from typing import Any

import numpy as np
from sqlalchemy import Connection

from app import class_names, errors, items, passing, regions, study_plan
from store import annotators, gold, labels, queue
from store import errors as store_errors
from store import overlap as asked
from store.database import Database
from store.records import Event, NewEvent

KINDS = ("label", "reject", "skip", "flag")
REASONS = ("bad_image", "none_of_the_classes", "other")
LONGEST_ANSWER_MS = 86_400_000


def next_images(
    db: Database,
    *,
    annotator: str,
    client: str,
    count: int,
    now: float,
    rng: np.random.Generator,
    lease_seconds: float = 300.0,
    holdout_rate: float = 0.1,
    gold_rate: float = 0.0,
    hidden_rate: float = 0.0,
) -> list[dict[str, Any]]:
    """Up to `count` images leased to this annotator's tab, first those that it already holds, each as items.build says."""
    if not 1 <= count <= 100:
        raise errors.BadRequest(f"count must be between 1 and 100, not {count}")
    name = checked_name(annotator)

    def claim(tx: Connection) -> list[dict[str, Any]]:
        person = annotators.ensure(tx, name, now)
        leases = queue.claim(
            tx,
            annotator_id=person.id,
            client=client,
            count=count,
            now=now,
            lease_seconds=lease_seconds,
            rng=rng,
            holdout_rate=holdout_rate,
            gold_rate=study_plan.gold_rate(tx, gold_rate),
        )
        return items.build(tx, study_plan.assign(tx, leases, now), hidden_rate)

    return db.attempt(claim)


def ask_several(db: Database, *, overlap: int, overlap_rate: float) -> None:
    """Make the workspace ask `overlap` people for a share of its images; nothing is written where it does already."""
    with db.read() as tx:
        known = asked.read(tx)
    if known != asked.several(overlap, overlap_rate):
        with db.write() as tx:
            labels.ask_several(tx, overlap, overlap_rate)


def submit(db: Database, event: dict[str, Any], *, now: float) -> dict[str, Any]:
    """Append one answer and release its lease; when this returns, the answer is on disk. Repeating a uuid changes nothing.

    A skip may name in `asked` the person to whom the image is passed, and bring a note. -> {"saved", "event_id"}, and where
    its class is gone by now "note", which says where the answer counts (class_names.late).
    """
    kind = event.get("kind")
    if kind not in KINDS:
        raise errors.BadRequest(f"kind must be one of {', '.join(KINDS)}, not {kind!r}")
    if kind == "label" and event.get("class_id") is None:
        raise errors.BadRequest("a label needs a class_id")
    _reason(event)
    name = checked_name(event.get("annotator"))
    checked_uuid(event.get("uuid"))

    def append(tx: Connection) -> dict[str, Any]:
        person = annotators.ensure(tx, name, now)
        new = dataclasses.replace(new_event(event, person.id), asked_id=passing.asked(tx, event, person.id))
        saved, _ = labels.append(tx, _completed(tx, new), now)
        return {"saved": True, "event_id": saved.seq, **class_names.late(tx, [saved.class_id])}

    try:
        return db.attempt(append, durable=True)
    except store_errors.UnknownImage as problem:
        raise errors.NotFound(str(problem)) from problem
    except (store_errors.Unknown, store_errors.Refused) as problem:
        raise errors.BadRequest(str(problem)) from problem


def _completed(tx: Any, event: NewEvent) -> NewEvent:
    """The event with what the page was not told: that it was a gold image, and what the model would have suggested."""
    if event.queue_reason in ("uncertain", "typical") and gold.decided_by_another(
        tx, event.image_id, event.annotator_id
    ):
        event = dataclasses.replace(event, queue_reason=gold.GOLD)
    if event.suggestion_visible or event.suggestion_class_id is not None or event.publication_id is None:
        return event
    row = queue.row(tx, event.publication_id, event.image_id)
    if row is None or not row.suggestions:
        return event
    class_id, probability = row.suggestions[0]
    return dataclasses.replace(event, suggestion_class_id=class_id, suggestion_probability=probability)


def undo(
    db: Database,
    *,
    uuid: str,
    annotator: str,
    client: str,
    now: float,
    lease_now: float | None = None,
    target: str | None = None,
    only: bool = False,
    lease_seconds: float = 300.0,
    hidden_rate: float = 0.0,
) -> dict[str, Any]:
    """Retract this annotator's latest standing answer and lease its image again, so that it is shown as it was.

    `target` is the uuid of the answer that the tab means; with two tabs it may not be the latest. Where it does not
    stand any more the latest is meant, or with `only` nothing. A reject and the reason that followed it are taken back
    together, and so is a page of the grid. Repeating a uuid changes nothing. `lease_now`: the leases' own time.
    """
    name, identifier = checked_name(annotator), checked_uuid(uuid)

    def take_back(tx: Connection) -> dict[str, Any]:
        labels.lock_watermark(tx)  # what is taken back still stands
        person = annotators.ensure(tx, name, now)
        known = labels.get_by_uuid(tx, identifier)
        if known is not None:
            taken = labels.get(tx, known.target_seq) if known.target_seq is not None else None
            event_id = known.seq
        else:
            taken = _meant(tx, person.id, target, only)
            if taken is None:
                return {"undone": False, "event_id": None, "item": None}
            event_id = _retract(tx, taken, identifier, person.id, now)
        if taken is None:
            return {"undone": False, "event_id": event_id, "item": None}
        held_from = now if lease_now is None else lease_now
        lease = queue.lease_for(tx, taken.image_id, person.id, client, now=held_from, lease_seconds=lease_seconds)
        if lease is None:  # somebody else holds the image by now
            return {"undone": True, "event_id": event_id, "item": None}
        item, names = items.build(tx, [lease], hidden_rate)[0], class_names.now(tx)
        item["previous"] = said(tx, taken, names)
        return {"undone": True, "event_id": event_id, "item": item}

    return db.attempt(take_back, durable=True)


def said(tx: Any, event: Event, names: class_names.Names) -> dict[str, Any]:
    """An answer as the page shows it again, its class as it counts now."""
    told = {"kind": event.kind, "class_id": names.final(event.class_id), "reason": event.reason}
    told["asked"] = passing.name_of(tx, event)
    return {**told, "region": regions.read(event.region)}


def renew(db: Database, *, annotator: str, client: str, now: float, lease_seconds: float = 300.0) -> dict[str, Any]:
    """Keep this tab's images its own for another lease; returns how many it holds."""
    name = checked_name(annotator)
    return db.attempt(
        lambda tx: {"renewed": queue.renew(tx, annotators.ensure(tx, name, now).id, client, now, lease_seconds)}
    )


def release(db: Database, *, annotator: str, client: str, now: float) -> dict[str, Any]:
    """Give this tab's images back to everybody; returns how many."""
    name = checked_name(annotator)
    return db.attempt(lambda tx: {"released": queue.release(tx, annotators.ensure(tx, name, now).id, client)})


def _meant(tx: Any, annotator_id: int, target: str | None, only: bool) -> Any:
    """The answer to take back: the one that is named while it stands, else (unless `only` it is) the annotator's latest."""
    named: Any = labels.get_by_uuid(tx, checked_uuid(target)) if target else None
    theirs = named is not None and named.annotator_id == annotator_id and named.kind in KINDS
    if theirs and all(event.target_seq != named.seq for event in labels.of_image(tx, named.image_id)):
        return named
    return None if only else labels.last_undoable(tx, annotator_id)


def _retract(tx: Any, taken: Any, identifier: str, annotator_id: int, now: float) -> int:
    event_id = _append_retract(tx, taken, identifier, annotator_id, now)
    before = labels.last_undoable(tx, annotator_id)
    while before is not None and _together(taken, before):
        follow = str(uuids.uuid5(uuids.UUID(identifier), str(before.seq)))
        _append_retract(tx, before, follow, annotator_id, now)
        before = labels.last_undoable(tx, annotator_id)
    return event_id


def _together(taken: Any, before: Any) -> bool:
    """Whether two answers were one gesture: a reject and its reason, or images of one page of the grid."""
    if taken.kind == "reject":
        return (before.kind, before.image_id) == ("reject", taken.image_id)
    page = ("grid", taken.received_at)
    return (taken.input_mode, taken.received_at) == page == (before.input_mode, before.received_at)


def _append_retract(tx: Any, taken: Any, identifier: str, annotator_id: int, now: float) -> int:
    about = {"image_id": taken.image_id, "target_seq": taken.seq}
    event = NewEvent(uuid=identifier, annotator_id=annotator_id, kind="retract", source="page", **about)
    saved, _ = labels.append(tx, event, now)
    return saved.seq


def new_event(event: dict[str, Any], annotator_id: int) -> NewEvent:
    """The event that a page sent, each field checked; raises BadRequest naming the one that cannot be stored."""
    identifier, image_id = checked_uuid(event.get("uuid")), integer(event, "image_id")
    if image_id is None:
        raise errors.BadRequest("image_id is missing: send the id of the image that the answer is about")
    shown_ms = number(event, "shown_ms")
    return NewEvent(
        uuid=identifier,
        image_id=image_id,
        annotator_id=annotator_id,
        kind=event["kind"],
        class_id=integer(event, "class_id") if event["kind"] in ("label", "review") else None,
        reason=_reason(event) if event["kind"] in ("reject", "review") else None,
        note=_text(event, "note", 2000),
        source="page",
        publication_id=integer(event, "publication"),
        round_id=integer(event, "round"),
        lease_token=_text(event, "lease", 64),
        suggestion_class_id=integer(event, "suggestion_class_id"),
        suggestion_probability=number(event, "suggestion_probability"),
        suggestion_visible=bool(event.get("suggestion_visible")),
        overlay_kind=_text(event, "overlay_kind", 32),
        overlay_visible=bool(event.get("overlay_visible")),
        shown_ms=None if shown_ms is None else min(max(shown_ms, 0.0), LONGEST_ANSWER_MS),
        input_mode=_text(event, "input_mode", 16),
        queue_reason=_text(event, "queue_reason", 32),
        queue_rank=integer(event, "position"),
        propensity=number(event, "propensity"),
        region=regions.checked(event.get("region")),
        client_at=number(event, "client_at"),
    )


def _reason(event: dict[str, Any]) -> str | None:
    reason: str | None = event.get("reason")
    if reason is not None and reason not in REASONS:
        raise errors.BadRequest(f"reason must be one of {', '.join(REASONS)}, not {reason!r}")
    return reason


def checked_name(name: Any) -> str:
    """A name that can be stored; raises BadRequest otherwise."""
    text = name.strip() if isinstance(name, str) else ""
    if not 1 <= len(text) <= 100 or not text.isprintable():
        raise errors.BadRequest(f"annotator must be a name of 1 to 100 printable characters, not {name!r}")
    return text


def checked_uuid(value: Any) -> str:
    """A UUID in its usual spelling; raises BadRequest otherwise."""
    try:
        return str(uuids.UUID(str(value)))
    except ValueError as problem:
        raise errors.BadRequest(f"uuid must be a UUID, not {value!r}") from problem


def integer(event: dict[str, Any], key: str) -> int | None:
    """A whole number of the event, or None; raises BadRequest for anything else."""
    value = event.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**53:
        raise errors.BadRequest(f"{key} must be an integer, not {value!r}")
    return value


def number(event: dict[str, Any], key: str) -> float | None:
    """A finite number of the event, or None; raises BadRequest for anything else."""
    value = event.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise errors.BadRequest(f"{key} must be a finite number, not {value!r}")
    return float(value)


def _text(event: dict[str, Any], key: str, longest: int) -> str | None:
    value = event.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > longest:
        raise errors.BadRequest(f"{key} must be a text of at most {longest} characters")
    return value
