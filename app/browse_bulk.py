"""One decision about many images: one event an image, one transaction, idempotent by the action's uuid, one undo for all.

The events of an action carry the uuids "ACTION/0", "ACTION/1", ...; their input mode is "bulk" and their queue reason
"browse": a person chose these images, so no estimate takes them for random draws (see store/picked.py). Images that are held
out for measuring, and audits that are to be asked blind, are never labelled or rejected here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import Connection

from app import browse, browse_views, class_names, errors, labelling, snapshot
from store import annotators, answers, bulk, images, label_batches, labels, picked, queue
from store import browse as stored
from store import errors as store_errors
from store.database import Database
from store.records import Event, NewEvent

MOST = 1000  # images of one action
ACTIONS = ("label", "reject", "flag", "retract")


def act(browser: browse.Browser, body: dict[str, Any], *, now: float) -> dict[str, Any]:
    """Say the same of up to 1,000 images; when this returns it is on disk. Repeating a uuid changes nothing.

    Returns {"saved", "changed": images, "left": images left alone: asked blind, or with nothing of one's own to take back}, and
    "note" as in labelling.submit().
    `shown` says that the page showed suggestions beside these images.
    """
    action, name = body.get("action"), labelling.checked_name(body.get("annotator"))
    identifier, ids = labelling.checked_uuid(body.get("uuid")), _image_ids(body)
    if action not in ACTIONS:
        raise errors.BadRequest(f"action must be one of {', '.join(ACTIONS)}, not {action!r}")
    if (action == "label") != (body.get("class_id") is not None):
        raise errors.BadRequest("a label, and only a label, needs a class_id")
    if body.get("shown"):
        browser.fresh()
    model = browser.model if body.get("shown") else None
    try:
        with browser.db.write(durable=True) as tx:
            person = annotators.ensure(tx, name, now, role="reviewer").id
            known = bulk.events(tx, identifier)
            if known:
                return _told({event.image_id for event in known}, ids) | class_names.late(
                    tx, [e.class_id for e in known]
                )
            shown = queue.current(tx)
            held = {image.id for image in images.get_many(tx, ids) if image.holdout}
            held |= set(stored.blind(tx, shown.id if shown else None))
            if action == "retract":
                new = [_retract(event, person) for event in bulk.standing(tx, ids, _mine(tx, person))]
            else:
                chosen = ids if action == "flag" else [each for each in ids if each not in held]
                new = _said(tx, body, chosen, person, _suggestions(browser, model, chosen))
            _append(tx, new, identifier, now)
            note = class_names.late(tx, [event.class_id for event in new])
    except store_errors.UnknownImage as problem:
        raise errors.NotFound(str(problem)) from problem
    except (store_errors.Unknown, store_errors.Refused) as problem:
        raise errors.BadRequest(str(problem)) from problem
    return _told({event.image_id for event in new}, ids) | note


def undo(db: Database, *, uuid: str, annotator: str, target: str, now: float) -> dict[str, Any]:
    """Take back this person's whole action `target`; repeating a uuid, or undoing twice, changes nothing more.

    What the action said is retracted; what it had taken back is said again, as it was. -> {"undone", "images"}.
    """
    name, identifier, action = (
        labelling.checked_name(annotator),
        labelling.checked_uuid(uuid),
        labelling.checked_uuid(target),
    )
    with db.write(durable=True) as tx:
        person = annotators.ensure(tx, name, now, role="reviewer").id
        known = bulk.events(tx, identifier)
        if known:
            return {"undone": True, "images": len({event.image_id for event in known})}
        meant = bulk.events(tx, action)
        if meant and meant[0].annotator_id != person:
            raise errors.BadRequest("this action is somebody else's: only who did it takes it back")
        gone = bulk.taken_back(tx, [event.seq for event in meant])
        said = [event for event in meant if event.kind != "retract" and event.seq not in gone]
        new = [_retract(event, person) for event in said] + _again(tx, meant)
        _append(tx, new, identifier, now)
    return {"undone": bool(new), "images": len({event.image_id for event in new})}


def _image_ids(body: dict[str, Any]) -> list[int]:
    found = body.get("image_ids")
    if not isinstance(found, list) or not all(isinstance(each, int) and not isinstance(each, bool) for each in found):
        raise errors.BadRequest("image_ids must be a list of image ids")
    ids = sorted(set(found))
    if not 1 <= len(ids) <= MOST:
        raise errors.BadRequest(f"an action is about 1 to {MOST:,} images, not {len(ids):,}: select fewer")
    return ids


def _said(
    tx: Connection,
    body: dict[str, Any],
    ids: Sequence[int],
    person: int,
    suggested: dict[int, tuple[int, float, int]],
) -> list[NewEvent]:
    """An answer of each open image; where an answer stands already a review, so that it counts before all answers."""
    settled = {each.image_id for each in answers.standing(tx, ids)}
    given = {name: body.get(name) for name in ("uuid", "class_id", "reason", "note", "client_at")}
    new = []
    for image_id in ids:
        class_id, probability, publication = suggested.get(image_id, (None, None, None))
        values = given | {
            "image_id": image_id,
            "kind": "review" if image_id in settled and body["action"] != "flag" else body["action"],
            "suggestion_class_id": class_id,
            "suggestion_probability": probability,
            "suggestion_visible": class_id is not None,
            "publication": publication,
            "input_mode": labels.BULK,
            "queue_reason": picked.BROWSED,
        }
        new.append(labelling.new_event(values, person))
    return new


def _suggestions(
    browser: browse.Browser, model: browse_views.Model | None, ids: Sequence[int]
) -> dict[int, tuple[int, float, int]]:
    """What the page showed beside these images: class, probability and the publication that it is from."""
    if model is None or not ids:
        return {}
    with browser.index.lock:
        rows, known = browser.index.rows_of(ids)
        known &= (rows < model.size) & ~browser.index.unsuggested()[rows]
    return {
        image_id: (int(model.top_N[row]), round(float(model.confidence_N[row]), 4), model.publication)
        for image_id, row, there in zip(ids, rows.tolist(), known.tolist(), strict=True)
        if there and model.top_N[row] >= 0
    }


def _mine(tx: Connection, person: int) -> set[int]:
    """Whose answers this person takes back: one's own, and an import's, which nobody else could."""
    imported = annotators.by_name(tx, snapshot.IMPORTER)
    return {person, imported.id if imported else person}


def _retract(event: Event, person: int) -> NewEvent:
    return NewEvent(
        uuid="",
        image_id=event.image_id,
        annotator_id=person,
        kind="retract",
        target_seq=event.seq,
        input_mode=labels.BULK,
        queue_reason=picked.BROWSED,
    )


def _again(tx: Connection, meant: Sequence[Event]) -> list[NewEvent]:
    """What an action's retracts had taken back, word for word, unless its author has spoken about the image since."""
    taken = bulk.with_seqs(tx, [event.target_seq for event in meant if event.target_seq is not None])
    since = {(each.image_id, each.annotator_id) for each in answers.standing(tx, [event.image_id for event in taken])}
    return [
        NewEvent(**{each.name: getattr(event, each.name) for each in fields(NewEvent)})
        for event in taken
        if (event.image_id, event.annotator_id) not in since
    ]


def _append(tx: Connection, new: Sequence[NewEvent], action: str, now: float) -> None:
    label_batches.append_many(tx, [replace(event, uuid=bulk.uuid_of(action, at)) for at, event in enumerate(new)], now)


def _told(changed: set[int], asked: Sequence[int]) -> dict[str, Any]:
    return {"saved": True, "changed": len(changed), "left": len(asked) - len(changed)}
