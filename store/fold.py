"""What counts now: the fold of one image's events. Pure, and the only place that decides it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from store import records, schema

ANSWERS = ("label", "reject")
SETTLING = ("label", "reject", "review")
RELEASING = ("label", "reject", "skip")  # kinds that end the annotator's lease and that undo takes back


def fold(
    blank: records.ImageState, events: Sequence[records.Event], *, open_lane: str, wanted: int = 1
) -> records.ImageState:
    """Fold events, oldest first, into the state of their image.

    The latest unretracted review settles it, else the latest unretracted label or reject. `blank` gives what no event
    changes; `open_lane` is the lane of the image while it is not settled; `wanted` people are to answer it.
    """
    retracted = {event.target_seq for event in events if event.kind == "retract"}
    standing = [event for event in events if event.seq not in retracted]
    answers = [event for event in standing if event.kind in ANSWERS]
    reviews = [event for event in standing if event.kind == "review"]
    settling = reviews or answers
    last = settling[-1] if settling else None
    people = sorted({event.annotator_id for event in answers})
    reviewed = reviews[-1].seq if reviews else 0
    return replace(
        blank,
        lane=_lane(open_lane, reviewed=bool(reviews), people=len(people), wanted=wanted),
        kind=settled_kind(last) if last else None,
        class_id=last.class_id if last else None,
        reason=last.reason if last else None,
        event_seq=last.seq if last else None,
        annotator_id=last.annotator_id if last else None,
        source=last.source if last else None,
        settled_at=last.received_at if last else None,
        answers=len(answers),
        skips=len({event.annotator_id for event in standing if event.kind == "skip"}),
        flags=len({event.annotator_id for event in standing if event.kind == "flag" and event.seq > reviewed}),
        said_by=f",{','.join(map(str, people))}," if people else "",
    )


def settled_kind(event: records.Event) -> str:
    """Say what a settling event makes of its image: a review with a class is a label, one without a reject."""
    if event.kind != "review":
        return event.kind
    return "reject" if event.class_id is None else "label"


def open_lane(*, status: str, holdout: int) -> str:
    """Say which lane an unsettled image is in."""
    if status != "ok":
        return schema.CLOSED
    return schema.HOLDOUT if holdout else schema.POOL


def _lane(open_lane: str, *, reviewed: bool, people: int, wanted: int) -> str:
    if open_lane == schema.CLOSED or reviewed or people >= wanted:
        return schema.CLOSED
    return schema.MORE if people else open_lane
