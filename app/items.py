"""One asked image as the page sees it: why it is asked, what the model suggests, its neighbours and its maps."""

import hashlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from store import classes, images, queue
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
}
HIDDEN = "suggestion hidden, to see how far suggestions steer"


def build(tx: Connection, leases: Sequence[Lease], hidden_rate: float = 0.0) -> list[dict[str, Any]]:
    """The leased images in their order; suggestions come from the current publication, or are marked as older.

    `hidden_rate`: share of the images that come without suggestion and map, though there are some."""
    current = queue.current(tx)
    ids = [lease.image_id for lease in leases]
    rows = queue.rows_for(tx, current.id, ids) if current else {}
    found = {image.id: image for image in images.get_many(tx, ids)}
    names = classes.names(tx)
    made = [_item(tx, lease, found[lease.image_id], current, rows.get(lease.image_id), names) for lease in leases]
    for lease, item in zip(leases, made, strict=True):
        if item["suggestions"] and _lot(lease) < hidden_rate:
            item.update(blind=True, suggestions=[], neighbours=[], overlays=[], why=f"{item['why']}; {HIDDEN}")
    return made


def _lot(lease: Lease) -> float:
    """From [0, 1), the same for this person and image every time, so that a reload or an undo shows what was shown."""
    digest = hashlib.sha256(f"{lease.annotator_id}/{lease.image_id}".encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32


def _item(
    tx: Connection, lease: Lease, image: Image, current: Publication | None, row: QueueRow | None, names: dict[int, str]
) -> dict[str, Any]:
    publication = current
    if row is None and lease.publication_id is not None and not lease.blind:
        row = queue.row(tx, lease.publication_id, lease.image_id)
        publication = queue.publication(tx, lease.publication_id) if row else current
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
        "position": lease.position,
        "propensity": lease.propensity,
        "suggestions": [],
        "neighbours": [],
        "overlays": [],
    }
    if row is not None and publication is not None and not lease.blind:
        item.update(_shown(row, publication, names))
    return item


def _shown(row: QueueRow, publication: Publication, names: dict[int, str]) -> dict[str, Any]:
    suggestions = [
        {"class_id": class_id, "name": names[class_id], "probability": probability}
        for class_id, probability in row.suggestions
        if class_id in names
    ]
    neighbours = [
        {"class_id": class_id, "name": names[class_id], "image_ids": near}
        for class_id, near in row.neighbours
        if class_id in names
    ]
    top = [names[class_id] for class_id, _ in row.suggestions if class_id in names][:2]
    overlays = [
        {"kind": kind, "caption": _caption(kind, top), "url": f"/overlay/{publication.id}/{row.image_id}?kind={kind}"}
        for kind in row.overlays
    ]
    return {"suggestions": suggestions, "neighbours": neighbours, "overlays": overlays}


def _caption(kind: str, top: list[str]) -> str:
    if kind == "evidence" and top:
        return f"where the evidence for {top[0]} lies"
    if kind == "contrast" and len(top) == 2:
        return f"what speaks for {top[0]} rather than {top[1]}"
    return "where the network looks, for no class in particular"


def _why(lease: Lease, row: QueueRow | None, publication: Publication | None) -> str:
    if lease.reason in PLAIN:
        return PLAIN[lease.reason]
    if publication is None:
        return "no model yet: a random image"
    if row is None or lease.reason == "random":
        return "random order: the queue is used up, the next one is being made"
    rank = f"rank {row.position + 1:,} of {publication.pool_size:,}"
    told = f"{rank}: {WHY.get(lease.reason, lease.reason)}"
    if lease.reason == "typical" and publication.kind == "cold":
        return f"no model yet: showing you typical images first ({rank})"
    return told if row.epistemic is None else f"{told}, epistemic {row.epistemic:.2g}"
