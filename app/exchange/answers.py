"""What every export gives out: the settled images, each with the answer that stands for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from store import annotators, classes, images, labels, records
from store.database import Database

_BATCH = 500


@dataclass(frozen=True)
class Answer:
    """One settled image: `class_name` as the class is called (and merged) today, None for a reject."""

    image: records.Image
    class_name: str | None
    reason: str | None
    event: records.Event
    annotator: str
    suggestion: str | None

    @property
    def state(self) -> str:
        """Labelled or rejected."""
        return "rejected" if self.class_name is None else "labelled"


def settled(db: Database) -> Iterator[Answer]:
    """Every settled image by id, all as they were at one moment."""
    with db.read() as tx:
        stands_for = classes.resolve(tx)
        names = {label_class.id: label_class.name for label_class in classes.ever(tx)}
        people = {annotator.id: annotator.name for annotator in annotators.all_(tx)}
        answers = labels.settled(tx)
        wanted = {answer.event_seq for answer in answers}
        events = {event.seq: event for event in labels.all_events(tx) if event.seq in wanted}
        for start in range(0, len(answers), _BATCH):
            part = answers[start : start + _BATCH]
            for answer, image in zip(part, images.get_many(tx, [a.image_id for a in part]), strict=True):
                event = events[answer.event_seq]
                name = None if answer.class_id is None else names[answer.class_id]
                shown = event.suggestion_class_id
                suggestion = None if shown is None else names[stands_for[shown]]
                yield Answer(image, name, answer.reason, event, people[event.annotator_id], suggestion)
