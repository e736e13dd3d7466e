"""The grid and yes/no modes: images that the model holds for one class, leased, confirmed by the page, taken back whole.

Both pick from the whole pool by the model's word, so their answers are no random draw: they carry queue_reason "grid" or
"yesno", never enter what is estimated from blind answers, and teach without telling how frequent a class is.
"""

from __future__ import annotations

import dataclasses
import uuid as uuids
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from app import class_names, errors, items, labelling, mode_board, mode_costs, pool_view
from app.mode_board import LIKELY, SURE
from store import annotators, images, label_batches, labels, picked
from store import errors as store_errors
from store.database import Database
from store.records import Event, Lease, NewEvent, Publication

MOST = 48  # images a page, and answers that come at once
TRIED = 2000  # candidates looked up for one page
STRUCK = 5000  # images a tab will not have again, a class
KINDS = ("label", "skip")


@dataclasses.dataclass(frozen=True)
class Tab:
    """Who asks: the annotator, the tab's client id for this mode, and the images that it holds.

    `without`: class id -> the images that it will not have again for that class.
    `seen`: the latest "at" that it was told. A page taken back while this request was on its way is younger.
    """

    annotator: str
    client: str
    holding: frozenset[int] = frozenset()
    without: Mapping[int, frozenset[int]] = dataclasses.field(default_factory=dict)
    seen: float | None = None


def read_tab(body: dict[str, Any]) -> Tab:
    """The tab that a request speaks of; raises BadRequest."""
    name, client = labelling.checked_name(body.get("annotator")), body.get("client")
    if not isinstance(client, str) or not 1 <= len(client) <= 100:
        raise errors.BadRequest(f"client must be the tab's id, a text of 1 to 100 characters, not {client!r}")
    return Tab(name, client, frozenset(_ids(body, "holding", 500)), _without(body), labelling.number(body, "seen"))


def page(
    db: Database,
    board: mode_board.Board,
    tab: Tab,
    *,
    class_id: int | None = None,
    named: bool = False,
    count: int,
    now: float,
    lease_seconds: float = 300.0,
) -> dict[str, Any]:
    """Up to `count` images of one class, the safest first: of `class_id` while it lasts, then of the fullest class.

    Where the person `named` the class, all that it may hold, and of no other. -> {"class_id", "name", "images":
    [{"image_id", "lease", "probability", "width", "height"}], "publication", "round", "calibrated", "older", "classes":
    [{"class_id", "name", "images"}], "at": `now`}; no class and no images where the model holds none that are free.
    """
    checked_count(count)
    leases: list[Lease] = []
    with db.read() as seen:
        found = mode_board.Held(seen, board)
        view, listed, chosen = found.view, found.listed(), None
        for each, ids in found.pages(class_id, named=named):
            not_now = tab.holding | tab.without.get(each, frozenset())
            with db.write() as tx:
                person = annotators.ensure(tx, tab.annotator, now)
                terms = _lease(tab, person.id, now, lease_seconds, "grid", view.publication if view else None)
                leases = picked.claim(tx, [i for i in ids if i not in not_now][:TRIED], **terms, count=count)
                known = images.get_many(tx, [lease.image_id for lease in leases])
            if leases:
                chosen = each
                break
    if view is None or chosen is None:
        return {"class_id": None, "name": None, "images": [], "publication": None, "classes": listed, "at": now}
    scores = view.score_N[view.rows_of([lease.image_id for lease in leases])]
    return {
        "class_id": chosen,
        "name": found.names[chosen],
        "images": [
            {
                "image_id": lease.image_id,
                "lease": lease.token,
                "probability": round(float(score), 4),
                "width": image.width,
                "height": image.height,
            }
            for lease, image, score in zip(leases, known, scores, strict=True)
        ],
        **_of(view, found.shown),
        "classes": listed,
        "at": now,
    }


def questions(
    db: Database,
    board: mode_board.Board,
    tab: Tab,
    *,
    class_id: int | None,
    count: int,
    now: float,
    lease_seconds: float = 300.0,
) -> list[dict[str, Any]]:
    """Up to `count` images to be asked by yes or no, those that the tab holds first; each as items.build says, with
    "question": {"class_id", "name", "probability"}. One class (`class_id` while it lasts), the least sure first."""
    checked_count(count)
    with db.read() as tx:
        found = mode_board.Held(tx, board)
        view = found.view
        if view is None:
            return []
        order = [class_id, found.fullest(LIKELY, SURE), found.fullest(LIKELY)]
        rows = [found.rows(each, LIKELY)[::-1] for each in dict.fromkeys(order) if each in found.names]
        more = [i for part in rows for i in view.image_ids_N[part].tolist()]
    with db.write() as tx:
        person = annotators.ensure(tx, tab.annotator, now)
        mine = picked.held(tx, person.id, tab.client, now)
        candidates = list(dict.fromkeys([*mine, *more[:TRIED]]))
        terms = _lease(tab, person.id, now, lease_seconds, "yesno", view.publication)
        leases = picked.claim(tx, candidates, **terms, count=count)
        told = items.build(tx, leases)
    return [_asked(item, found, view) for item in told]


def confirm(db: Database, body: dict[str, Any], *, now: float) -> dict[str, Any]:
    """Append the answers of a page, all or none, and end its leases; when this returns they are on disk.

    "events": one label (or skip: "not this class") an image; "out": images that go back to everybody. Repeating uuids
    changes nothing. -> {"saved": how many of the answers are kept}, and "note" as in labelling.submit()
    """
    name, said, out = labelling.checked_name(body.get("annotator")), _events(body), _ids(body, "out", MOST)
    try:
        with db.write(durable=True) as tx:
            person = annotators.ensure(tx, name, now)
            new = [labelling.new_event(event, person.id) for event in said]
            images.get_many(tx, {event.image_id for event in new})
            label_batches.append_many(tx, [event for event in new if event.kind == "label"], now)
            for event in new:
                if event.kind == "skip":
                    labels.append(tx, event, now)
            picked.give_back(tx, person.id, [*(event.image_id for event in new), *out])
            note = class_names.late(tx, [event.class_id for event in new])
    except store_errors.UnknownImage as problem:
        raise errors.NotFound(str(problem)) from problem
    except (store_errors.Unknown, store_errors.Refused) as problem:
        raise errors.BadRequest(str(problem)) from problem
    return {"saved": len(new), **note}


def take_back(
    db: Database, body: dict[str, Any], *, now: float, lease_now: float, lease_seconds: float = 300.0
) -> dict[str, Any]:
    """Retract every answer of a page (`targets`: their uuids) and lease its images to the tab again, in one transaction.

    -> {"undone": answers taken back by this request, "leases": {image id: token}, "at": `lease_now`}; what somebody else
    holds by now is not among them. Repeating the uuid changes nothing.
    """
    tab, identifier = read_tab(body), labelling.checked_uuid(body.get("uuid"))
    targets = body.get("targets")
    if not isinstance(targets, list) or not 1 <= len(targets) <= MOST:
        raise errors.BadRequest(f"targets must list the uuids of 1 to {MOST} answers")
    with db.write(durable=True) as tx:
        person = annotators.ensure(tx, tab.annotator, now)
        said = [labels.get_by_uuid(tx, labelling.checked_uuid(each)) for each in targets]
        mine = [each for each in said if each and each.annotator_id == person.id and each.kind in KINDS]
        undone = sum(_retract(tx, each, identifier, now) for each in mine)
        wanted = [*(each.image_id for each in mine), *_ids(body, "out", MOST)]
        publication = next((each.publication_id for each in mine if each.publication_id), None)
        terms = _lease(tab, person.id, lease_now, lease_seconds, "grid", publication) | {"keep": None}
        leases = picked.claim(tx, wanted, **terms, count=2 * MOST)
    return {"undone": undone, "leases": {str(lease.image_id): lease.token for lease in leases}, "at": lease_now}


def at_hand(db: Database, board: mode_board.Board, *, annotator: str, mode: str) -> dict[str, Any]:
    """What the modes hold, and the one that would cost this person clearly fewer seconds an image than `mode`, if any.

    {"classes": [{"class_id", "name", "images"}], "proposal": None or {"mode", "class_id", "name", "seconds", "instead"}}
    """
    name = labelling.checked_name(annotator)
    with db.read() as tx:
        found, person = mode_board.Held(tx, board), annotators.by_name(tx, name)
        view, listed = found.view, found.listed()
        recorded = picked.times(tx, person.id) if person else []
        hands = [mode_costs.Hand(mode_costs.ONE)]
        for kind, each in (("grid", found.fullest(SURE)), ("yesno", found.fullest(LIKELY, SURE))):
            if view is not None and each is not None:
                rows = found.rows(each, SURE) if kind == "grid" else found.rows(each, LIKELY)[::-1]
                likely = float(view.score_N[rows[:24]].mean()) if len(rows) else 1.0
                hands.append(mode_costs.Hand(kind, each, len(rows), likely))
    better = mode_costs.propose(hands, mode_costs.sort_times(recorded), mode=mode)
    if better is None:
        return {"classes": listed, "proposal": None}
    best, present = better
    told = {"mode": best.hand.mode, "class_id": best.hand.class_id, "name": found.names.get(best.hand.class_id or 0)}
    seconds = {"seconds": round(best.seconds, 2), "instead": round(present.seconds, 2)}
    return {"classes": listed, "proposal": told | seconds}


def _asked(item: dict[str, Any], found: mode_board.Held, view: pool_view.View) -> dict[str, Any]:
    row = int(view.rows_of([item["image_id"]])[0])
    if not item["suggestions"] and row >= 0 and int(view.top_class_N[row]) in found.names:
        class_id, likely = int(view.top_class_N[row]), round(float(view.score_N[row]), 4)
        item["suggestions"] = [{"class_id": class_id, "name": found.names[class_id], "probability": likely}]
        item |= _of(view, found.shown)
    return {**item, "question": next(iter(item["suggestions"]), None)}


def _of(view: pool_view.View, shown: Publication | None) -> dict[str, Any]:
    return {
        "publication": view.publication,
        "round": view.meta.get("round"),
        "calibrated": bool(shown and shown.calibrated),
        "older": bool(shown and shown.id != view.publication),
    }


def _lease(
    tab: Tab, annotator_id: int, now: float, lease_seconds: float, reason: str, publication: int | None
) -> dict[str, Any]:
    who = {"annotator_id": annotator_id, "client": tab.client, "keep": tab.holding, "seen": tab.seen}
    return who | {"now": now, "lease_seconds": lease_seconds, "reason": reason, "publication_id": publication}


def _retract(tx: Connection, taken: Event, identifier: str, now: float) -> bool:
    stands = all(event.target_seq != taken.seq for event in labels.of_image(tx, taken.image_id))
    follow = str(uuids.uuid5(uuids.UUID(identifier), taken.uuid))
    if stands:
        event = NewEvent(
            uuid=follow, image_id=taken.image_id, annotator_id=taken.annotator_id, kind="retract", target_seq=taken.seq
        )
        labels.append(tx, event, now)
    return stands


def _events(body: dict[str, Any]) -> list[dict[str, Any]]:
    said = body.get("events")
    if not isinstance(said, list) or len(said) > MOST or not all(isinstance(event, dict) for event in said):
        raise errors.BadRequest(f"events must list at most {MOST} answers")
    for event in said:
        if event.get("kind") not in KINDS:
            raise errors.BadRequest(f"kind must be one of {', '.join(KINDS)} on a page, not {event.get('kind')!r}")
        if event["kind"] == "label" and event.get("class_id") is None:
            raise errors.BadRequest("a label needs a class_id")
    return [{**event, "input_mode": "grid", "queue_reason": "grid", "propensity": None} for event in said]


def _ids(body: dict[str, Any], key: str, most: int) -> list[int]:
    found = body.get(key) or []
    if not isinstance(found, list) or len(found) > most:
        raise errors.BadRequest(f"{key} must list at most {most} image ids")
    checked = [labelling.integer({key: each}, key) for each in found]
    return [each for each in checked if each is not None]


def _without(body: dict[str, Any]) -> dict[int, frozenset[int]]:
    said = body.get("without") or {}
    if (
        not isinstance(said, dict)
        or len(said) > STRUCK
        or not all(each.isdecimal() and len(each) <= 16 for each in said)
    ):
        raise errors.BadRequest(f"without must map at most {STRUCK} class ids to lists of image ids")
    return {int(each): frozenset(_ids(said, each, STRUCK)) for each in said}


def checked_count(count: int) -> None:
    """Raises BadRequest for what is no page."""
    if not 1 <= count <= MOST:
        raise errors.BadRequest(f"count must be between 1 and {MOST}, not {count}")
