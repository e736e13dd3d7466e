"""Changing the classes, also while people label: each change is one transaction, kept in the history and undone by it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from app import errors, labelling
from store import class_acts, class_use, classes
from store import errors as store_errors
from store.database import Database

KEYS = "123456789abdjkpqrtuvw"  # a class may be pinned to; the other letters are keys of the page
MOST_AHEAD = 200  # names in one request
Change = Callable[[Connection, int, dict[str, Any], dict[str, Any]], Any]  # body, {"now", "by"}


def add(
    db: Database, name: str, *, now: float, annotator: str | None = None, parent_id: int | None = None
) -> dict[str, Any]:
    """Add the class `name`; returns {"class_id", "name"}. Raises BadRequest when it is empty or already there."""
    by = labelling.checked_name(annotator) if annotator else ""
    with _explained(), db.write(durable=True) as tx:
        added = classes.add(tx, name, now, by=by, parent_id=parent_id)
    return {"class_id": added.id, "name": added.name}


def all_(db: Database) -> list[dict[str, Any]]:
    """Every active class in its order, as {"class_id", "name", "parent_id", "shortcut"}."""
    with db.read() as tx:
        return [
            {"class_id": each.id, "name": each.name, "parent_id": each.parent_id, "shortcut": each.shortcut}
            for each in classes.all_(tx)
        ]


def change(db: Database, class_id: int, body: dict[str, Any], *, now: float) -> dict[str, Any]:
    """Change one class by `body`, {"act", "annotator", "seen", ...}; returns {"act": number of the newest change}.

    `act` and what it needs: rename (name), note (note), shortcut (shortcut or null), images (image_ids), move (parent_id or
    null, before or null), merge (into), retire, restore. `seen` is the newest change that the page knows; BadRequest where
    somebody else has changed the same since, or where the change cannot be made, in a sentence.
    """
    act = body.get("act")
    if not isinstance(act, str) or act not in CHANGES:
        raise errors.BadRequest(f"act must be one of {', '.join(CHANGES)}, not {act!r}")
    by, seen = labelling.checked_name(body.get("annotator")), labelling.integer(body, "seen")
    with _explained(), db.write(durable=True) as tx:
        touched = [class_id] + ([_needed(body, "into")] if act == "merge" else [])
        _refuse_if_changed(tx, touched, act, seen, by)
        CHANGES[act](tx, class_id, body, {"now": now, "by": by})
        return {"act": class_acts.newest(tx)}


def undo(db: Database, seq: int | None, annotator: str, *, now: float) -> dict[str, Any]:
    """Undo one change, or the person's newest that stands; returns {"undone", "act"}. BadRequest where it cannot be undone."""
    by = labelling.checked_name(annotator)
    with _explained(), db.write(durable=True) as tx:
        if seq is None:
            gone = class_acts.undone(tx)
            mine = (act for act in class_acts.latest(tx, MOST_AHEAD) if act.actor == by and act.act != "undo")
            last = next((act for act in mine if act.seq not in gone), None)
            if last is None:
                return {"undone": None, "act": class_acts.newest(tx)}
            seq = last.seq
        return {"undone": seq, "act": classes.undo(tx, seq, now=now, by=by)}


def _rename(tx: Connection, class_id: int, body: dict[str, Any], who: dict[str, Any]) -> None:
    name = body.get("name")
    if not isinstance(name, str):
        raise errors.BadRequest(f"name must be a text, not {name!r}")
    classes.rename(tx, class_id, name, **who)


def _pin(tx: Connection, class_id: int, body: dict[str, Any], who: dict[str, Any]) -> None:
    key = body.get("shortcut") or None
    if key is not None and (not isinstance(key, str) or key not in KEYS):
        raise errors.BadRequest(f"{key!r} is no free key: choose one of {' '.join(KEYS)}")
    classes.annotate(tx, class_id, "shortcut", key, **who)


def _choose(tx: Connection, class_id: int, body: dict[str, Any], who: dict[str, Any]) -> None:
    chosen = body.get("image_ids")
    classes.annotate(tx, class_id, "images", chosen, **who)
    known = class_use.settled_with(tx, class_id, chosen or [])
    wrong = next((each for each in chosen or [] if each not in known), None)
    if wrong is not None:
        raise errors.BadRequest(f"image {wrong} is not labelled as this class: choose among those that are")


def _move(tx: Connection, class_id: int, body: dict[str, Any], who: dict[str, Any]) -> None:
    parent_id, before = (labelling.integer(body, name) for name in ("parent_id", "before"))
    classes.move(tx, class_id, parent_id=parent_id, before=before, **who)


CHANGES: dict[str, Change] = {
    "rename": _rename,
    "note": lambda tx, class_id, body, who: classes.annotate(tx, class_id, "note", body.get("note"), **who),
    "shortcut": _pin,
    "images": _choose,
    "move": _move,
    "merge": lambda tx, class_id, body, who: classes.merge(tx, class_id, _needed(body, "into"), **who),
    "retire": lambda tx, class_id, body, who: classes.retire(tx, class_id, **who),
    "restore": lambda tx, class_id, body, who: classes.restore(tx, class_id, **who),
}
_RESTS_ON = {"rename": "name", "note": "note", "shortcut": "shortcut", "images": "images", "move": "parent_id"}


def _refuse_if_changed(tx: Connection, class_ids: list[int], act: str, seen: int | None, by: str) -> None:
    """Two people at one class: the second is told what the first changed, and nothing is overwritten unseen."""
    for done in class_acts.since(tx, seen) if seen is not None else []:
        for class_id in class_ids:
            changed = done.after.get(class_id, {}).keys() & {_RESTS_ON.get(act, "name"), "status"}
            if changed and done.actor != by:
                what = {"undo": "undone a change of", "merge": "merged", "retire": "retired"}.get(done.act, "changed")
                who, name = done.actor or "the program", classes.get(tx, class_id).name
                raise errors.BadRequest(f"{who} has {what} {name!r} meanwhile: look at it again")


def _needed(body: dict[str, Any], name: str) -> int:
    value = labelling.integer(body, name)
    if value is None:
        raise errors.BadRequest(f"{name} is missing: send the id of a class")
    return value


@contextmanager
def _explained() -> Iterator[None]:
    """What the store refuses as a sentence for the page."""
    try:
        yield
    except (store_errors.Unknown, store_errors.Refused) as problem:
        raise errors.BadRequest(str(problem)) from problem
