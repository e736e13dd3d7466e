"""What the Classes tab and the class card show: the list with counts, effects before a change, one class, the history."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection

from app import errors, predictions
from store import class_acts, class_use, classes, labels, queue
from store import errors as store_errors
from store.class_acts import ClassAct
from store.database import Database
from store.records import LabelClass

SHOWN = 6  # pictures on a card of a class without reference images
MOST = 200  # rows of the history, images to choose from


def overview(db: Database, workspace: Path) -> dict[str, Any]:
    """Every class in its order with its counts, those out of use, and the number of the newest change.

    `expected` is the number of images that the model takes for the class, None before it has an opinion.
    """
    likely = _expected(workspace)
    with db.read() as tx:
        counts, stands_for = labels.per_class(tx), classes.resolve(tx)
        every = classes.ever(tx)
        images = class_acts.images_of(tx, [each.id for each in every])
        used = [_row(each, counts, images) for each in classes.all_(tx)]
        newest = class_acts.newest(tx)
    expected: dict[int, int] = {}
    for class_id, number in (likely or {}).items():
        final = stands_for.get(class_id, class_id)
        expected[final] = expected.get(final, 0) + number
    for row in used:
        row["expected"] = None if likely is None else expected.get(row["class_id"], 0)
    gone = [
        {**_row(each, counts, images), "status": each.status, "merged_into": each.merged_into}
        for each in every
        if each.status != "active"
    ]
    return {"classes": used, "gone": gone, "act": newest}


def preview(db: Database, class_id: int, act: str, into: int | None = None) -> dict[str, Any]:
    """What merging (`into` another) or retiring a class would do: {"sentence", "labels", "people", "suggestions"}."""
    with db.read() as tx:
        known = _known(tx, class_id)
        rests = class_use.of(tx, class_id)
        names, under = {each.id: each.name for each in classes.all_(tx)}, _under(tx, class_id)
        shown = _suggested(tx, class_id)
    told = {"labels": rests.labels, "people": rests.people, "suggestions": shown}
    by = f"{_many(rests.labels, 'label')} of {_many(rests.people, 'person', 'people')}" if rests.labels else "no label"
    follow = f"{_many(shown, 'queue suggestion')} {'follows' if shown == 1 else 'follow'}"
    if act == "merge" and into in names and into != class_id:
        sentence = f"Merging {known.name} into {names[into]} moves {by}; {follow}."
    elif act == "retire":
        stay = (
            f"Its {by} {'stays' if rests.labels == 1 else 'stay'} in every export"
            if rests.labels
            else "It has no label"
        )
        sentence = (
            f"Retiring {known.name}: nobody can say it any more. {stay}, and teach{'es' * (rests.labels < 2)} nothing."
        )
        sentence += f" {_many(shown, 'queue suggestion')} {'goes' if shown == 1 else 'go'}." if shown else ""
    else:
        raise errors.BadRequest("only a merge into another class in use, or a retirement, has a preview")
    if under:
        sentence += f" {_many(under, 'class', 'classes')} under it {'moves' if under == 1 else 'move'} up."
    return {**told, "sentence": f"{sentence} It can be undone."}


def card(db: Database, class_id: int) -> dict[str, Any]:
    """What a person compares with: name, those above it, note, key, and reference images (else the newest labelled ones)."""
    with db.read() as tx:
        known = _known(tx, classes.resolve(tx).get(class_id, class_id))
        by_id = {each.id: each for each in classes.all_(tx)}
        chosen = class_acts.images_of(tx, [known.id]).get(known.id, [])
        standing = class_use.settled_with(tx, known.id, chosen)
        images = [each for each in chosen if each in standing]
        newest = [] if images else class_use.images(tx, known.id, SHOWN)
    above, at = list[str](), known.parent_id
    while at is not None and at in by_id:
        above.insert(0, by_id[at].name)
        at = by_id[at].parent_id
    told = {"class_id": known.id, "name": known.name, "above": above, "note": known.note, "shortcut": known.shortcut}
    return {**told, "image_ids": images or newest, "chosen": bool(images)}


def candidates(db: Database, class_id: int, count: int) -> list[int]:
    """Labelled images of the class among which reference images are chosen, the newest first; never of the holdout."""
    with db.read() as tx:
        return class_use.images(tx, _known(tx, class_id).id, min(max(count, 1), MOST))


def history(
    db: Database, *, count: int = 50, class_id: int | None = None, before: int | None = None
) -> list[dict[str, Any]]:
    """Changes in words, the newest first: {"seq", "at", "actor", "class_id", "text", "undone"}."""
    with db.read() as tx:
        acts = class_acts.latest(tx, min(max(count, 1), MOST), class_id=class_id, before=before)
        gone, names = class_acts.undone(tx), {each.id: each.name for each in classes.ever(tx)}
        texts = [_undo_text(tx, act, names) if act.undoes else _text(act, names) for act in acts]
    return [
        {"seq": a.seq, "at": a.at, "actor": a.actor, "class_id": a.class_id, "text": text, "undone": a.seq in gone}
        for a, text in zip(acts, texts, strict=True)
    ]


def _row(each: LabelClass, counts: dict[int, int], images: dict[int, list[int]]) -> dict[str, Any]:
    told = {"class_id": each.id, "name": each.name, "parent_id": each.parent_id, "shortcut": each.shortcut}
    return {**told, "note": each.note, "count": counts.get(each.id, 0), "image_ids": images.get(each.id, [])}


def _known(tx: Connection, class_id: int) -> LabelClass:
    try:
        return classes.get(tx, class_id)
    except store_errors.Unknown as problem:
        raise errors.NotFound(str(problem)) from problem


def _under(tx: Connection, class_id: int) -> int:
    return sum(each.parent_id == class_id for each in classes.all_(tx))


def _suggested(tx: Connection, class_id: int) -> int:
    """Rows of the queue whose first suggestion is this class."""
    current, stands_for = queue.current(tx), classes.resolve(tx)
    rows = queue.head(tx, current.id) if current else []
    firsts = [row.suggestions[0][0] for row in rows if row.suggestions]
    return sum(stands_for.get(first, first) == class_id for first in firsts)


def _expected(workspace: Path) -> dict[int, int] | None:
    newest = predictions.published(workspace)[:1]
    return _counted(workspace, newest[0]) if newest else None


@functools.lru_cache(maxsize=2)
def _counted(workspace: Path, publication: int) -> dict[int, int] | None:
    """Images by the class that the model holds likeliest."""
    try:
        found = predictions.load(workspace, publication)
    except errors.AppError:  # pruned meanwhile, or damaged: the list does without
        return None
    ids, numbers = np.unique(found.top_class_N, return_counts=True)
    return dict(zip(ids.tolist(), numbers.tolist(), strict=True))


def _text(act: ClassAct, names: dict[int, str]) -> str:
    name, before, after = names[act.class_id], act.before.get(act.class_id) or {}, act.after.get(act.class_id, {})
    if act.act == "rename":
        return f"renamed {before['name']} to {after['name']}"
    if act.act == "merge":
        return f"merged {name} into {names[after['merged_into']]}"
    if act.act == "parent":
        return f"put {name} under {names[after['parent_id']]}" if after["parent_id"] else f"put {name} on the top level"
    if act.act == "shortcut":
        return f"pinned {name} to the key {after['shortcut']}" if after["shortcut"] else f"took the key from {name}"
    if act.act == "note":
        return f"wrote the note of {name}" if after["note"] else f"removed the note of {name}"
    if act.act == "images":
        return f"chose {_many(len(after['images']), 'reference image')} for {name}"
    words = {"add": "added", "retire": "retired", "restore": "took back into use", "move": "moved"}
    return f"{words.get(act.act, act.act)} {name}"


def _undo_text(tx: Connection, act: ClassAct, names: dict[int, str]) -> str:
    target, times = class_acts.get(tx, act.undoes or 0), 1
    while target.undoes:
        target, times = class_acts.get(tx, target.undoes), times + 1
    return f"{'undid' if times % 2 else 'did again'}: {_text(target, names)}"


def _many(number: int, one: str, several: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else several or one + 's'}"
