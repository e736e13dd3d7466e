"""What reviewers do: look at what is in doubt, decide, take it back. Decisions are events that override ordinary answers."""

from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from app import class_names, consensus_file, errors, labelling, map_views, regions, review_file
from store import annotators, answers, classes, images, labels, queue
from store import errors as store_errors
from store.database import Database
from store.records import NewEvent

DECISIONS = ("label", "reject", "discuss")
UNDOABLE = ("review", "flag")


def items(db: Database, workspace: Path, *, kind: str, count: int, reviewer: str) -> dict[str, Any]:
    """The first `count` open images of one list, each with what was said by whom, what the model says, and its like.

    Returns {"images": [...], "counts": {kind: open images}}.
    """
    if kind not in review_file.KINDS:
        raise errors.BadRequest(f"kind must be one of {', '.join(review_file.KINDS)}, not {kind!r}")
    if not 1 <= count <= 100:
        raise errors.BadRequest(f"count must be between 1 and 100, not {count}")
    labelling.checked_name(reviewer)
    lists = review_file.read(workspace)
    with db.read() as tx:
        rows = _open(tx, lists)
        chosen = [row for row in rows if row["kind"] == kind][:count]
        agreed = consensus_file.read(workspace)["images"]
        return {"images": _build(tx, chosen, lists, agreed), "counts": _counted(rows)}


def counts(tx: Connection, workspace: Path) -> dict[str, int]:
    """How many images each list still holds."""
    return _counted(_open(tx, review_file.read(workspace)))


def people(db: Database, workspace: Path) -> dict[str, Any]:
    """The annotators' quality as far as it was measured, by name: {"people": [...], "method": how answers are weighed}."""
    lists = review_file.read(workspace)
    with db.read() as tx:
        names = {person.id: person.name for person in annotators.all_(tx)}
    rows = [{**row, "name": names.get(row["annotator_id"], "?")} for row in lists["people"]]
    return {"people": rows, "method": lists["method"]}


def decide(db: Database, event: dict[str, Any], *, now: float) -> dict[str, Any]:
    """Append one decision; when this returns it is on disk. Repeating a uuid changes nothing.

    `decision` is "label" (with class_id), "reject" (with a reason or none) or "discuss". `seen` is the label event up to
    which the reviewer saw the image; BadRequest when somebody else has decided about it since.
    """
    decision, seen = event.get("decision"), labelling.integer(event, "seen")
    if decision not in DECISIONS:
        raise errors.BadRequest(f"decision must be one of {', '.join(DECISIONS)}, not {decision!r}")
    if (decision == "label") != (event.get("class_id") is not None):
        raise errors.BadRequest("a label, and only a label, needs a class_id")
    if seen is None:
        raise errors.BadRequest("seen is missing: the label event up to which the image was looked at")
    name = labelling.checked_name(event.get("annotator"))
    kind = "flag" if decision == "discuss" else "review"
    values = {**event, "kind": kind, "suggestion_visible": event.get("suggestion_class_id") is not None}
    try:
        with db.write(durable=True) as tx:
            person = annotators.ensure(tx, name, now, role="reviewer")
            new = labelling.new_event(values, person.id)
            if labels.get_by_uuid(tx, new.uuid) is None:
                _refuse_if_decided(tx, new, seen)
            saved, _ = labels.append(tx, new, now)
            note = class_names.late(tx, [saved.class_id])
    except store_errors.UnknownImage as problem:
        raise errors.NotFound(str(problem)) from problem
    except (store_errors.Unknown, store_errors.Refused) as problem:
        raise errors.BadRequest(str(problem)) from problem
    return {"saved": True, "event_id": saved.seq, **note}


def undo(db: Database, *, uuid: str, annotator: str, target: str | None, now: float) -> dict[str, Any]:
    """Take back this reviewer's decision `target`, or the latest that stands; repeating a uuid changes nothing."""
    name, identifier = labelling.checked_name(annotator), labelling.checked_uuid(uuid)
    with db.write(durable=True) as tx:
        person = annotators.ensure(tx, name, now, role="reviewer")
        known = labels.get_by_uuid(tx, identifier)
        if known is not None:
            return {"undone": True, "event_id": known.seq, "image_id": known.image_id}
        taken = _meant(tx, person.id, target)
        if taken is None:
            return {"undone": False, "event_id": None, "image_id": None}
        values = {"uuid": identifier, "image_id": taken.image_id, "kind": "retract", "target_seq": taken.seq}
        saved, _ = labels.append(tx, NewEvent(annotator_id=person.id, **values), now)
    return {"undone": True, "event_id": saved.seq, "image_id": taken.image_id}


def _open(tx: Connection, lists: review_file.Lists) -> list[review_file.Row]:
    """The rows about whose images nothing new was said since the lists were made."""
    if not lists["rows"]:
        return []
    changed = answers.changed_since(tx, lists["watermark"])
    return [row for row in lists["rows"] if row["image_id"] not in changed]


def _counted(rows: list[review_file.Row]) -> dict[str, int]:
    return {kind: sum(row["kind"] == kind for row in rows) for kind in review_file.KINDS}


def _build(
    tx: Connection, rows: list[review_file.Row], lists: review_file.Lists, agreed: dict[str, list[tuple[int, float]]]
) -> list[dict[str, Any]]:
    ids = [row["image_id"] for row in rows]
    found = {image.id: image for image in images.get_many(tx, ids)}
    names, now = {each.id: each.name for each in classes.ever(tx)}, class_names.now(tx)
    people_ = {person.id: person.name for person in annotators.all_(tx)}
    said: dict[int, list[dict[str, Any]]] = {}
    for each in answers.standing(tx, ids):
        name = None if each.class_id is None else names[each.class_id]
        told = {"annotator": people_[each.annotator_id], "class_id": each.class_id, "name": name}
        said.setdefault(each.image_id, []).append({**told, "reason": each.reason, "review": each.review})
    maps = _maps(tx, lists["publication"], ids, now)
    watermark = labels.watermark(tx)
    return [
        {
            "image_id": row["image_id"],
            "seen": watermark,
            "kind": row["kind"],
            "score": row["score"],
            "why": row["why"],
            "width": found[row["image_id"]].width,
            "height": found[row["image_id"]].height,
            "scene": found[row["image_id"]].box is not None,
            "path": Path(found[row["image_id"]].path).name,
            "said": said.get(row["image_id"], []),
            "flags": _flags(tx, row["image_id"], people_) if row["kind"] == "flag" else [],
            "current": _current(tx, row["image_id"], agreed.get(str(row["image_id"])), now),
            "suggestions": now.suggestions(row["opinion"]),
            "neighbours": now.neighbours(row["neighbours"]),
            "overlays": maps.get(row["image_id"], []),
            "region": regions.latest(labels.of_image(tx, row["image_id"])),
        }
        for row in rows
    ]


def _maps(
    tx: Connection, publication: int | None, ids: list[int], names: class_names.Names
) -> dict[int, list[dict[str, Any]]]:
    """Maps of the images that the current queue holds, whose captions name no class; the others have none."""
    current = queue.current(tx) if publication is not None else None
    if current is None:
        return {}
    rows = queue.rows_for(tx, current.id, ids)
    return {image_id: map_views.shown(row, current.id, names, []) for image_id, row in rows.items()}


def _current(
    tx: Connection, image_id: int, agreed: list[tuple[int, float]] | None, names: class_names.Names
) -> dict[str, Any] | None:
    """What counts in training: the consensus where several people answered, else what settles the image."""
    state = labels.state(tx, image_id)
    if agreed and state.kind == "label":
        return {"kind": "label", "class_id": names.final(agreed[0][0]), "reason": None}
    told = {"kind": state.kind, "class_id": names.final(state.class_id), "reason": state.reason}
    return told if state.settled else None


def _flags(tx: Connection, image_id: int, names: dict[int, str]) -> list[dict[str, Any]]:
    events = labels.of_image(tx, image_id)
    gone = {event.target_seq for event in events}
    standing = [event for event in events if event.kind == "flag" and event.seq not in gone]
    return [{"annotator": names[event.annotator_id], "note": event.note} for event in standing]


def _refuse_if_decided(tx: Connection, new: NewEvent, seen: int) -> None:
    """Two reviewers at one image: the second is told what the first decided, and nothing is overwritten unseen."""
    for event in labels.of_image(tx, new.image_id):
        if event.seq > seen and event.kind in UNDOABLE and event.annotator_id != new.annotator_id:
            who = next(person.name for person in annotators.all_(tx) if person.id == event.annotator_id)
            raise errors.BadRequest(f"{who} has decided about this image meanwhile: look at it again")


def _meant(tx: Connection, annotator_id: int, target: str | None) -> Any:
    """The decision to take back: the one named while it stands, else the reviewer's latest."""
    named = labels.get_by_uuid(tx, labelling.checked_uuid(target)) if target else None
    if named is not None and named.annotator_id == annotator_id and named.kind in UNDOABLE:
        if all(event.target_seq != named.seq for event in labels.of_image(tx, named.image_id)):
            return named
        return None
    return labels.last_undoable(tx, annotator_id, UNDOABLE)
