"""What a study asked and was told: places in each person's order, and the answers with the truth where it is known."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import fold, gold, schema

_E, _S, _C, _L = schema.label_events, schema.image_state, schema.classes, schema.leases
_LATEST = 100  # answers looked back at for the last place: they come nearly in the order of their places


class Answer(NamedTuple):
    """One first answer of a study; `truth` is a class that somebody else's review had given the image by then, or None."""

    annotator_id: int
    place: int
    class_id: int | None  # None for a reject
    seconds: float | None
    suggested: int | None
    truth: int | None


def reason(study: int, place: int) -> str:
    """The queue_reason of a study's image."""
    return f"{gold.STUDY}{study}:{place}"


def read_reason(text: str) -> tuple[int, int] | None:
    """(study, place) of a queue_reason; None where it is no study's."""
    numbers = text.removeprefix(gold.STUDY).split(":")
    if not text.startswith(gold.STUDY) or len(numbers) != 2 or not all(each.isdecimal() for each in numbers):
        return None
    return int(numbers[0]), int(numbers[1])


def next_place(tx: Connection, study: int, annotator_id: int, *, after: int) -> int:
    """The first place of this person's order that nothing was asked for yet; the study began at watermark `after`."""
    like = f"{gold.STUDY}{study}:%"
    mine = (_E.c.annotator_id == annotator_id, _E.c.seq > after)  # an index's range: earlier answers are not looked at
    said = sa.select(_E.c.queue_reason).where(*mine, _E.c.queue_reason.like(like))
    held = sa.select(_L.c.reason).where(_L.c.annotator_id == annotator_id, _L.c.reason.like(like))
    texts = [*tx.scalars(said.order_by(_E.c.seq.desc()).limit(_LATEST)), *tx.scalars(held)]
    return 1 + max((found[1] for each in texts if (found := read_reason(each))), default=-1)


def ask(tx: Connection, token: str, why: str) -> None:
    """Make a lease one of a study's."""
    tx.execute(sa.update(_L).where(_L.c.token == token).values(reason=why))


def answers(tx: Connection, study: int) -> list[Answer]:
    """List each person's first standing answer to each image of a study, by seq."""
    back, review, said, meant = _E.alias("takes_back"), _E.alias("review"), _C.alias("said"), _C.alias("meant")
    settled = _C.alias("settled")
    truth = sa.case(
        (
            sa.and_(review.c.kind == "review", review.c.annotator_id != _E.c.annotator_id, review.c.seq < _E.c.seq),
            sa.func.coalesce(settled.c.merged_into, _S.c.class_id),
        )
    )
    query = sa.select(
        _E.c.image_id,
        _E.c.annotator_id,
        _E.c.queue_reason,
        sa.func.coalesce(said.c.merged_into, _E.c.class_id),
        _E.c.shown_ms,
        sa.func.coalesce(meant.c.merged_into, _E.c.suggestion_class_id),
        truth,
    )
    query = query.join_from(_E, _S, _S.c.image_id == _E.c.image_id).outerjoin(review, review.c.seq == _S.c.event_seq)
    for alias, column in ((said, _E.c.class_id), (meant, _E.c.suggestion_class_id), (settled, _S.c.class_id)):
        query = query.outerjoin(alias, alias.c.id == column)
    query = query.where(
        _E.c.queue_reason.like(f"{gold.STUDY}{study}:%"),
        _E.c.kind.in_(fold.ANSWERS),
        _E.c.source == "page",
        ~sa.exists().where(back.c.target_seq == _E.c.seq),
    )
    first: dict[tuple[int, int], Answer] = {}
    for image_id, person, why, class_id, shown_ms, suggested, true in tx.execute(query.order_by(_E.c.seq)):
        found = read_reason(why)
        if found is not None:
            seconds = None if shown_ms is None else shown_ms / 1000
            first.setdefault((image_id, person), Answer(person, found[1], class_id, seconds, suggested, true))
    return list(first.values())
