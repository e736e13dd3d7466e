"""What counts now: the fold of one image's events. Pure, and the only place that decides it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from store import records, schema

ANSWERS = ("label", "reject")
RELEASING = ("label", "reject", "skip")  # kinds that end the annotator's lease and that undo takes back


def fold(blank: records.ImageState, events: Sequence[records.Event], *, open_lane: str) -> records.ImageState:
    """Fold events, oldest first, into the state of their image.

    The latest unretracted label or reject settles it. `blank` gives what no event changes; `open_lane` is the lane of
    the image while it is not settled.
    """
    retracted = {event.target_seq for event in events if event.kind == "retract"}
    standing = [event for event in events if event.seq not in retracted]
    answers = [event for event in standing if event.kind in ANSWERS]
    last = answers[-1] if answers else None
    return replace(
        blank,
        lane=schema.CLOSED if last else open_lane,
        kind=last.kind if last else None,
        class_id=last.class_id if last else None,
        reason=last.reason if last else None,
        event_seq=last.seq if last else None,
        annotator_id=last.annotator_id if last else None,
        source=last.source if last else None,
        settled_at=last.received_at if last else None,
        answers=len(answers),
        skips=len({event.annotator_id for event in standing if event.kind == "skip"}),
        flags=len({event.annotator_id for event in standing if event.kind == "flag"}),
    )


def open_lane(*, status: str, holdout: int) -> str:
    """Say which lane an unsettled image is in."""
    if status != "ok":
        return schema.CLOSED
    return schema.HOLDOUT if holdout else schema.POOL
