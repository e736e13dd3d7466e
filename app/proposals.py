"""The evidence grid: images of one class with the boxes that the worker proposes, confirmed by the page, taken back whole.

A confirmed box is stored as a drawn one is: in a label event of the image, as its `region`. It is the person's own answer
said once more, word for word, so that what is estimated from how an image was asked stays as it is; or, where the label
came from an import, the person's first. Of other people's images none is shown: to say where is to say what, too. That the
box was proposed stands in `overlay_kind`.
"""

from __future__ import annotations

import dataclasses
import uuid as uuids
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from app import class_names, errors, evidence_file, labelling, modes, regions
from store import annotators, images, label_batches
from store import errors as store_errors
from store.database import Database
from store.records import Event, NewEvent

PROPOSED = "proposed"  # the overlay that was confirmed: the machine's box
REASON = "evidence"  # why an import's image was asked
INPUT = "grid"  # so that an undo takes the page back as a whole


def page(
    db: Database, workspace: Path, tab: modes.Tab, *, class_id: int | None = None, named: bool = False, count: int
) -> dict[str, Any]:
    """Up to `count` images of one class with their boxes, the surest first: of `class_id` while it lasts, then of the fullest.

    Where the person `named` the class, of no other. -> as modes.page(), its images {"image_id", "score", "region",
    "width", "height"}, and "marked": images of the class in which somebody drew the evidence.
    """
    modes.checked_count(count)
    with db.read() as tx:
        person, names = annotators.by_name(tx, tab.annotator), class_names.now(tx)
        shown: dict[int, tuple[int, list[evidence_file.Row]]] = {}
        for found in evidence_file.read(workspace)["classes"]:
            final = names.stands_for.get(found["class_id"], found["class_id"])
            there = _open(tx, found["rows"], final, person.id if person else None, names)
            if final in names.active and there:
                shown[final] = (found["marked"], there)
        listed = sorted(shown, key=lambda each: -len(shown[each][1]))
        chosen, rows = None, list[evidence_file.Row]()
        for each in [class_id] if named else [class_id, *listed]:
            if each is not None and each in shown:
                gone = tab.holding | tab.without.get(each, frozenset())
                rows = [row for row in shown[each][1] if row["image_id"] not in gone][:count]
            if rows:
                chosen = each
                break
        sizes = {image.id: image for image in images.get_many(tx, [row["image_id"] for row in rows])}
    told = [{"class_id": each, "name": names.active[each], "images": len(shown[each][1])} for each in listed]
    return {
        "class_id": chosen,
        "name": names.active[chosen] if chosen is not None else None,
        "marked": shown[chosen][0] if chosen is not None else 0,
        "images": [
            {
                "image_id": row["image_id"],
                "score": row["score"],
                "region": dict(zip(regions.SIDES, row["box"], strict=True)),
                "width": sizes[row["image_id"]].width,
                "height": sizes[row["image_id"]].height,
            }
            for row in rows
        ],
        "classes": told,
    }


def confirm(db: Database, body: dict[str, Any], *, now: float) -> dict[str, Any]:
    """Store the boxes of a page, all or none; when this returns they are on disk. Repeating uuids changes nothing.

    "events": {"uuid", "image_id", "class_id", "region", "client_at"} each. -> {"saved": boxes that are kept}, and "note"
    where an image is left as it is: its class has changed since, or somebody has marked it.
    """
    name, said = labelling.checked_name(body.get("annotator")), _said(body)
    try:
        with db.write(durable=True) as tx:
            person = annotators.ensure(tx, name, now)
            stored = label_batches.by_uuid(tx, [each["uuid"] for each in said])
            fresh = [each for each in said if each["uuid"] not in stored]
            images.get_many(tx, {each["image_id"] for each in said})
            standing = _standing(tx, [each["image_id"] for each in fresh], person.id, class_names.now(tx))
            new = [
                _event(each, standing[each["image_id"]][1], person.id)
                for each in fresh
                if standing.get(each["image_id"], (None, None))[0] == each["class_id"]
            ]
            label_batches.append_many(tx, new, now)
    except store_errors.UnknownImage as problem:
        raise errors.NotFound(str(problem)) from problem
    except (store_errors.Unknown, store_errors.Refused) as problem:
        raise errors.BadRequest(str(problem)) from problem
    left = len(fresh) - len(new)
    note = f"{left} of these were left as they are: somebody has changed or marked them meanwhile"
    return {"saved": len(said) - left, **({"note": note} if left else {})}


def take_back(db: Database, body: dict[str, Any], *, now: float) -> dict[str, Any]:
    """Retract every box of a page (`targets`: the uuids of its events); what was said before stands again.

    -> {"undone": boxes taken back by this request}. Repeating the uuid changes nothing.
    """
    name, identifier = labelling.checked_name(body.get("annotator")), labelling.checked_uuid(body.get("uuid"))
    targets = body.get("targets")
    if not isinstance(targets, list) or not 1 <= len(targets) <= modes.MOST:
        raise errors.BadRequest(f"targets must list the uuids of 1 to {modes.MOST} boxes")
    wanted = [labelling.checked_uuid(each) for each in targets]
    with db.write(durable=True) as tx:
        person = annotators.ensure(tx, name, now)
        mine = [
            event
            for event in label_batches.by_uuid(tx, wanted).values()
            if event.annotator_id == person.id and event.overlay_kind == PROPOSED
        ]
        said = label_batches.of_images(tx, [event.image_id for event in mine])
        gone = {event.target_seq for events in said.values() for event in events}
        new = [
            NewEvent(
                uuid=str(uuids.uuid5(uuids.UUID(identifier), event.uuid)),
                image_id=event.image_id,
                annotator_id=person.id,
                kind="retract",
                target_seq=event.seq,
            )
            for event in mine
            if event.seq not in gone
        ]
        label_batches.append_many(tx, new, now)
    return {"undone": len(new)}


def _open(
    tx: Connection,
    rows: Sequence[evidence_file.Row],
    class_id: int | None,
    person: int | None,
    names: class_names.Names,
) -> list[evidence_file.Row]:
    """The rows whose images are still of this class, and without a region."""
    standing = _standing(tx, [row["image_id"] for row in rows], person, names)
    return [row for row in rows if standing.get(row["image_id"], (None, None))[0] == class_id]


def _standing(
    tx: Connection, image_ids: Collection[int], person: int | None, names: class_names.Names
) -> Mapping[int, tuple[int | None, Event]]:
    """Of the images that this person may mark: the class that counts, and the event that settles it."""
    ids = sorted(set(image_ids))
    said = label_batches.of_images(tx, ids)
    found = {}
    for state in label_batches.states(tx, ids):
        events = said.get(state.image_id, [])
        settling = next((event for event in events if event.seq == state.event_seq), None)
        if settling is None or settling.kind != "label" or regions.latest(events) is not None:
            continue
        if settling.source != "page" or settling.annotator_id == person:
            found[state.image_id] = (names.final(state.class_id), settling)
    return found


def _event(each: dict[str, Any], settling: Event, person: int) -> NewEvent:
    told = {
        "uuid": each["uuid"],
        "region": each["region"],
        "client_at": each["client_at"],
        "input_mode": INPUT,
        "overlay_kind": PROPOSED,
        "overlay_visible": True,
    }
    if settling.annotator_id != person:
        about = {"image_id": settling.image_id, "annotator_id": person, "kind": "label", "class_id": each["class_id"]}
        shown = {"suggestion_class_id": each["class_id"], "suggestion_visible": True, "queue_reason": REASON}
        return NewEvent(**about, **shown, **told)
    own = {field.name: getattr(settling, field.name) for field in dataclasses.fields(NewEvent)}
    return NewEvent(**own | told | {"lease_token": None, "shown_ms": None})


def _said(body: dict[str, Any]) -> list[dict[str, Any]]:
    said = body.get("events")
    if not isinstance(said, list) or len(said) > modes.MOST or not all(isinstance(each, dict) for each in said):
        raise errors.BadRequest(f"events must list at most {modes.MOST} boxes")
    checked = [
        {
            "uuid": labelling.checked_uuid(each.get("uuid")),
            "image_id": labelling.integer(each, "image_id"),
            "class_id": labelling.integer(each, "class_id"),
            "region": regions.checked(each.get("region")),
            "client_at": labelling.number(each, "client_at"),
        }
        for each in said
    ]
    if any(each[name] is None for each in checked for name in ("image_id", "class_id", "region")):
        raise errors.BadRequest("a confirmed box needs an image_id, a class_id and a region")
    return checked
