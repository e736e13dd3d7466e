"""One asked image as the page sees it: why it is asked, what the model suggests, its neighbours and its maps."""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from app import class_names, imported, map_views, passing, study_plan
from store import draw, gold, images, queue
from store.records import Image, Lease, Publication, QueueRow

WHY = {
    "typical": "a typical image of a group that few labels cover",
    "uncertain": "the model is unsure",
}
PLAIN = {
    "audit": "audit: drawn at random, asked blind",
    "holdout": "holdout: asked blind, never trained on",
    "again": "asked again: two people would make sure",
    "grid": "one of many that the model holds for one class",
    "yesno": "the model holds it for one class: yes or no?",
    draw.PASSED: "somebody passed it to you, and took that back since",
}
STUDIED = "a study: what is shown beside the image changes from time to time"
HIDDEN = "suggestion hidden, to see how far suggestions steer"


def build(tx: Connection, leases: Sequence[Lease], hidden_rate: float = 0.0) -> list[dict[str, Any]]:
    """The leased images in their order; suggestions come from the current publication, or are marked as older.

    `hidden_rate`: share of the images that come without suggestion and map, though there are some."""
    current = queue.current(tx)
    ids = [lease.image_id for lease in leases]
    rows = queue.rows_for(tx, current.id, ids) if current else {}
    found = {image.id: image for image in images.get_many(tx, ids)}
    names = class_names.now(tx)
    made = [_item(tx, lease, found[lease.image_id], current, rows.get(lease.image_id), names) for lease in leases]
    _offer(tx, made, names)
    conditions, askers = study_plan.terms(tx, leases), passing.askers(tx, leases)
    for lease, item in zip(leases, made, strict=True):
        asker = askers.get(lease.image_id)
        item.update(why=passing.why(item["why"], lease, asker), asked_by=asker and asker[0])
        if condition := study_plan.condition(conditions, lease):
            _apply(item, condition)
        elif item["suggestions"] and _lot(lease) < hidden_rate:
            item.update(blind=True, suggestions=[], neighbours=[], overlays=[], why=f"{item['why']}; {HIDDEN}")
    return made


def _offer(tx: Connection, made: Sequence[dict[str, Any]], names: class_names.Names) -> None:
    """What a model elsewhere said, where ours says nothing yet; never where an image is asked blind."""
    bare = {item["image_id"]: item for item in made if not item["suggestions"] and not item["blind"]}
    for image_id, said in imported.of(tx, bare).items():
        suggestions = names.suggestions(said[-1].shares)
        if suggestions:
            item = bare[image_id]
            item.update(
                suggestions=suggestions, calibrated=False, why=f"{item['why']}; imported: {said[-1].model} suggests"
            )


def _apply(item: dict[str, Any], condition: study_plan.Condition) -> None:
    """Take from an item what its place in a study hides; a map without suggestion names no class."""
    item["why"] = f"{item['why']}; {STUDIED}"
    if not condition.map:
        item["overlays"] = []
    if not condition.suggestion:
        maps = [map_views.unnamed(each) for each in item["overlays"]]
        item.update(blind=True, suggestions=[], neighbours=[], overlays=maps)


def _lot(lease: Lease) -> float:
    """From [0, 1), the same for this person and image every time, so that a reload or an undo shows what was shown."""
    digest = hashlib.sha256(f"{lease.annotator_id}/{lease.image_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


def _item(
    tx: Connection,
    lease: Lease,
    image: Image,
    current: Publication | None,
    row: QueueRow | None,
    names: class_names.Names,
) -> dict[str, Any]:
    publication = current
    if row is None and lease.publication_id is not None and not lease.blind:
        row = queue.row(tx, lease.publication_id, lease.image_id)
        publication = queue.publication(tx, lease.publication_id) if row else current
    if lease.reason == gold.GOLD:  # like any other image: nobody is to take more care with it
        lease = dataclasses.replace(lease, reason="uncertain")
    item: dict[str, Any] = {
        "image_id": image.id,
        "lease": lease.token,
        "publication": publication.id if publication else None,
        "older": bool(publication and current and publication.id != current.id),
        "round": publication.round_id if publication else None,
        "calibrated": bool(publication and publication.calibrated),
        "reason": lease.reason,
        "why": _why(lease, row, publication),
        "blind": lease.blind,
        "width": image.width,
        "height": image.height,
        "scene": image.box is not None,  # /scene/{image_id} shows it whole
        "position": lease.position,
        "propensity": lease.propensity,
        "suggestions": [],
        "neighbours": [],
        "overlays": [],
    }
    if row is not None and publication is not None and not lease.blind:
        item.update(_shown(row, publication, names))
    return item


def _shown(row: QueueRow, publication: Publication, names: class_names.Names) -> dict[str, Any]:
    suggestions = names.suggestions(row.suggestions)
    maps = map_views.shown(row, publication.id, names, [each["name"] for each in suggestions[:2]])
    return {"suggestions": suggestions, "neighbours": names.neighbours(row.neighbours), "overlays": maps}


def _why(lease: Lease, row: QueueRow | None, publication: Publication | None) -> str:
    if lease.reason in PLAIN:
        return PLAIN[lease.reason]
    if publication is None:
        return "no model yet: a random image"
    if row is None or lease.reason == "random":
        return "random order: the queue is used up, the next one is being made"
    reason = "uncertain" if lease.reason.startswith(gold.STUDY) else lease.reason
    rank = f"rank {row.position + 1:,} of {publication.pool_size:,}"
    told = f"{rank}: {WHY.get(reason, reason)}"
    if lease.reason == "typical" and publication.kind == "cold":
        return f"no model yet: showing you typical images first ({rank})"
    return told if row.epistemic is None else f"{told}, epistemic {row.epistemic:.2g}"
