"""What every export gives out: the settled images, each with the answer that stands for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import Connection

from app import consensus_file
from store import annotators, class_acts, images, labels, records
from store import answers as everybody
from store.database import Database

_BATCH = 500


@dataclass(frozen=True)
class Answer:
    """One settled image: `class_name` as the class is called and merged at the moment asked for, None for a reject."""

    image: records.Image
    class_name: str | None
    reason: str | None
    event: records.Event
    annotator: str
    suggestion: str | None
    people: int = 1  # annotators whose answer stands, reviews left out
    agreement: float | None = None  # share of them that say what is exported; None where only a review says it
    probability: float | None = None  # of the exported class after the last consensus; None where one person answered

    @property
    def state(self) -> str:
        """Labelled or rejected."""
        return "rejected" if self.class_name is None else "labelled"


def settled(db: Database, up_to: int | None = None) -> Iterator[Answer]:
    """Every settled image by id, all as they were at one moment: at watermark `up_to`, from the events alone, or now.

    Classes are named and merged as today; at a class_acts.Moment as they were then. Of the past there is no consensus of
    the model.
    """
    with db.read() as tx:
        names, stands_for = class_acts.named(tx, up_to)
        people = {annotator.id: annotator.name for annotator in annotators.all_(tx)}
        answers = labels.settled(tx, up_to)
        agreed = _agreed(tx, db, up_to, stands_for)
        wanted = {answer.event_seq for answer in answers}
        events = {event.seq: event for event in labels.all_events(tx) if event.seq in wanted}
        for start in range(0, len(answers), _BATCH):
            part = answers[start : start + _BATCH]
            for answer, image in zip(part, images.get_many(tx, [a.image_id for a in part]), strict=True):
                event = events[answer.event_seq]
                class_id = None if event.class_id is None else stands_for[event.class_id]
                name = None if class_id is None else names[class_id]
                shown = event.suggestion_class_id
                suggestion = None if shown is None else names[stands_for[shown]]
                who, also = people[event.annotator_id], agreed(answer, class_id)
                yield Answer(image, name, answer.reason, event, who, suggestion, *also)


def _agreed(
    tx: Connection, db: Database, up_to: int | None, stands_for: dict[int, int]
) -> Callable[[records.Settled, int | None], tuple[int, float | None, float | None]]:
    """How many people answered an image, the share that says what is exported, and the consensus of the last refresh."""
    said: dict[int, list[int | None]] = {}
    for each in everybody.standing(tx, up_to=up_to, as_said=True):
        if not each.review:
            said.setdefault(each.image_id, []).append(each.class_id and stands_for[each.class_id])
    told = consensus_file.read(db.path.parent)["images"] if db.path is not None and up_to is None else {}

    def of(answer: records.Settled, class_id: int | None) -> tuple[int, float | None, float | None]:
        words = said.get(answer.image_id, [])
        share = words.count(class_id) / len(words) if words else None
        probs = [(stands_for.get(k), p) for k, p in told.get(str(answer.image_id), [])]
        return len(words), share, sum(p for k, p in probs if k == class_id) if probs else None

    return of
