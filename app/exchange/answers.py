"""What every export gives out: the settled images, each with the answer that stands for it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from app import consensus_file
from store import annotators, bulk, class_acts, images, labels, records
from store import answers as everybody
from store.database import Database

SHARES = ("pool", "calibration", "test")  # by an image's `holdout`


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
    soft: dict[str, float] | None = None  # that consensus whole: probability by class name

    @property
    def state(self) -> str:
        """Labelled or rejected."""
        return "rejected" if self.class_name is None else "labelled"

    @property
    def at(self) -> float:
        """When it was said, in unix seconds: of an imported answer what its file says."""
        told = self.event.client_at if self.event.source == "import" else None
        return self.event.received_at if told is None else told


def fields(answer: Answer) -> dict[str, Any]:
    """What a format with fields of its own gives beside the image and its class; the names are those of rows.COLUMNS."""
    box = answer.image.box
    return {
        "path": answer.image.file, "box_xywh": None if box is None else list(box), "digest": answer.image.digest,
        "state": answer.state, "class": answer.class_name,
        "reason": answer.reason, "note": answer.event.note, "annotator": answer.annotator,
        "answered_at": written(answer.at), "source": answer.event.source, "share": SHARES[answer.image.holdout],
        "answers": answer.people, "agreement": answer.agreement, "soft_label": answer.soft,
    }  # fmt: skip


def written(seconds: float) -> str:
    """Unix seconds as ISO 8601 in UTC."""
    at = datetime.datetime.fromtimestamp(seconds, tz=datetime.timezone.utc)
    return at.isoformat(timespec="milliseconds")


def settled(db: Database, up_to: int | None = None) -> Iterator[Answer]:
    """Every settled image by id, all as they were at one moment: at watermark `up_to`, from the events alone, or now.

    Classes are named and merged as today; at a class_acts.Moment as they were then. Of the past there is no consensus of
    the model.
    """
    with db.read() as tx:
        names, stands_for = class_acts.named(tx, up_to)
        people = {annotator.id: annotator.name for annotator in annotators.all_(tx)}
        consensus = consensus_file.read(db.home)["images"] if db.home is not None and up_to is None else {}
        for part in labels.each_settled(tx, up_to):
            ids = [answer.image_id for answer in part]
            said = _said(tx, ids, up_to, stands_for)
            events = {event.seq: event for event in bulk.with_seqs(tx, [answer.event_seq for answer in part])}
            for answer, image in zip(part, images.get_many(tx, ids), strict=True):
                event = events[answer.event_seq]
                class_id = None if event.class_id is None else stands_for[event.class_id]
                name = None if class_id is None else names[class_id]
                shown = event.suggestion_class_id
                suggestion = None if shown is None else names[stands_for[shown]]
                told = [(stands_for.get(k), p) for k, p in consensus.get(str(image.id), [])]
                also = _agreed(class_id, said.get(image.id, []), told, names)
                yield Answer(image, name, answer.reason, event, people[event.annotator_id], suggestion, *also)


def _said(
    tx: Connection, image_ids: list[int], up_to: int | None, stands_for: dict[int, int]
) -> dict[int, list[int | None]]:
    """What each person says of these images, reviews left out: the class, None for a reject."""
    said: dict[int, list[int | None]] = {}
    for each in everybody.standing(tx, image_ids, up_to=up_to, as_said=True):
        if not each.review:
            said.setdefault(each.image_id, []).append(each.class_id and stands_for[each.class_id])
    return said


def _agreed(
    class_id: int | None, words: list[int | None], told: list[tuple[int | None, float]], names: dict[int, str]
) -> tuple[int, float | None, float | None, dict[str, float] | None]:
    """How many people answered an image, the share that says what is exported, and the consensus of the last refresh."""
    share = words.count(class_id) / len(words) if words else None
    soft: dict[str, float] = {}
    for k, p in told:
        if k is not None:
            soft[names[k]] = round(soft.get(names[k], 0.0) + p, 6)
    return len(words), share, sum(p for k, p in told if k == class_id) if told else None, soft or None
