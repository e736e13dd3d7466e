"""Receipts: how many suggestions a learning step changed, which answers it had learned from, and how to take one back."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection

from app import errors, labelling, predictions
from store import annotators, answers, classes, queue
from store.database import Database
from store.records import Event, Publication

SHOWN = 24  # changed images that a receipt names, the surest first
MOST = 50
LONGEST = 60  # answers that a receipt lists


def changes(
    workspace: Path, after: predictions.Predictions | None, apart: Collection[int], *, network: str
) -> dict[str, Any]:
    """What goes into a publication's metrics: {"receipt": {"since", "changed", "sample": [[image, from, to]]}}.

    The top classes are compared with those of the newest predictions at hand, over all images but those `apart` (settled
    and holdout); `since` is the watermark of those. Empty where there are none, or where they come from another
    `network` (named by its embeddings): then it was that which changed them.
    """
    try:
        before = predictions.newest(workspace)
    except errors.BadRequest:  # an unreadable older step is told where it is needed; a receipt is not worth a stop
        return {}
    if before is None or after is None or before.meta.get("embeddings") != network:
        return {}
    both_N, old_N, new_N = np.intersect1d(
        before.image_ids_N, after.image_ids_N, assume_unique=True, return_indices=True
    )
    from_N, to_N = before.top_class_N[old_N], after.top_class_N[new_N]
    spots_M = np.flatnonzero(from_N != to_N)
    spots_M = spots_M[~np.isin(both_N[spots_M], np.fromiter(apart, np.int64))]
    surest_M = spots_M[np.argsort(-after.confidence_N[new_N[spots_M]], kind="stable")][:SHOWN]
    sample = [[int(both_N[at]), int(from_N[at]), int(to_N[at])] for at in surest_M]
    return {"receipt": {"since": before.meta["watermark"], "changed": len(spots_M), "sample": sample}}


def listed(db: Database, *, annotator: str, count: int) -> list[dict[str, Any]]:
    """The receipts among the latest publications from this annotator's answers, newest first.

    Each: publication, kind, created_at, changed, pool, mine and others (answers learned from), images with the class
    before and after, and the annotator's answers with their uuid and whether they stand. Raises BadRequest for a count
    out of range.
    """
    if not 1 <= count <= MOST:
        raise errors.BadRequest(f"count must be between 1 and {MOST}, not {count}")
    name = labelling.checked_name(annotator)
    with db.read() as tx:
        person = annotators.by_name(tx, name)
        if person is None:
            return []
        names = {each.id: each.name for each in classes.ever(tx)}
        found = [_receipt(tx, each, person.id, names) for each in queue.latest(tx, count) if "receipt" in each.metrics]
    return [each for each in found if each["mine"]]


def _receipt(tx: Connection, publication: Publication, annotator_id: int, names: dict[int, str]) -> dict[str, Any]:
    told = publication.metrics["receipt"]
    learned = answers.given(tx, told["since"], publication.watermark)
    mine = [event for event, _ in learned if event.annotator_id == annotator_id]
    stands = {event.seq: stands for event, stands in learned}
    return {
        "publication": publication.id,
        "kind": publication.kind,
        "created_at": publication.created_at,
        "changed": told["changed"],
        "pool": publication.pool_size,
        "mine": len(mine),
        "others": len(learned) - len(mine),
        "images": [
            {"image_id": image_id, "from": names.get(old, ""), "to": names.get(new, "")}
            for image_id, old, new in told["sample"]
        ],
        "answers": [_answer(event, stands[event.seq], names) for event in mine[:LONGEST]],
    }


def _answer(event: Event, stands: bool, names: dict[int, str]) -> dict[str, Any]:
    name = None if event.class_id is None else names.get(event.class_id, "")
    return {"uuid": event.uuid, "image_id": event.image_id, "kind": event.kind, "name": name, "stands": stands}
