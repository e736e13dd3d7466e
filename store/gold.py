"""Gold images: a reviewer decided their class. Other people are asked them like any image, and nothing follows but a count."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import schema

_E, _S, _C, _I = schema.label_events, schema.image_state, schema.classes, schema.images
GOLD = "gold"  # why such an image is asked; in a study it carries the study's reason, as all its images do
STUDY = "study:"  # begins the reason of what a study asks: study:<its number>:<place in the person's order>


def decided(tx: Connection) -> dict[int, int]:
    """Map the images of the pool that a standing review gives a class to that class, as merged today, in random order."""
    merged = sa.func.coalesce(_C.c.merged_into, _S.c.class_id)
    query = sa.select(_S.c.image_id, merged).join_from(_S, _E, _E.c.seq == _S.c.event_seq)
    query = query.join(_I, _I.c.id == _S.c.image_id).join(_C, _C.c.id == _S.c.class_id)
    query = query.where(_E.c.kind == "review", _S.c.kind == "label", _I.c.holdout == 0, _I.c.status == "ok")
    return {image_id: class_id for image_id, class_id in tx.execute(query.order_by(_S.c.draw, _S.c.image_id))}


def decided_by_another(tx: Connection, image_id: int, annotator_id: int) -> bool:
    """Say whether somebody else's review settles the image, so that this annotator's answer changes nothing."""
    query = sa.select(_E.c.annotator_id).join_from(_S, _E, _E.c.seq == _S.c.event_seq)
    reviewer = tx.scalar(query.where(_S.c.image_id == image_id, _E.c.kind == "review"))
    return reviewer is not None and reviewer != annotator_id
