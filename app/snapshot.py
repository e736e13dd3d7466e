"""What the store says at one watermark, as plain values for the learning: who is labelled, held out, rejected, leased."""

import dataclasses
from collections import Counter

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from app import regions
from store import annotators, answers, classes, gold, labels, picked, queue
from store.records import Said

MOST_GOLD = 100  # gold images that are kept ready; they do not teach, so that the model's word on them is its own
GOLD_SHARE = 0.25  # most of the labels that they may be
KEPT_LABELS = 2  # that each class keeps for teaching
BAD = "bad_image"  # the reason of a reject that says nothing of classes, see labelling.REASONS
IMPORTER = "import"  # the annotator under whose name labels that came with a folder are stored


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """Image ids throughout; class indices follow `class_ids`, the active classes in their order."""

    watermark: int
    class_ids: list[int]
    labelled: dict[int, int]  # image -> class index; holdout left out
    holdout: dict[int, int]  # every holdout image -> 1 calibration half, 2 test half
    holdout_labels: dict[int, int]  # answered holdout image -> class index
    rejected: set[int]
    leased: list[int]
    round_id: int | None  # of the publication that a new one would replace
    said: list[Said] = dataclasses.field(default_factory=list)  # what each person says; empty while one person labels
    soft: dict[int, NDArray[np.float64]] = dataclasses.field(default_factory=dict)  # image -> probabilities of classes
    picked: set[int] = dataclasses.field(default_factory=set)  # answered because the model was sure of their class
    gold: list[int] = dataclasses.field(default_factory=list)  # decided by a reviewer, asked again, never taught
    in_pages: set[int] = dataclasses.field(default_factory=set)  # of `leased`, those on a page of the grid: no maps
    aside: set[int] = dataclasses.field(default_factory=set)  # labelled with a class that is retired: as good as gone
    regions: dict[int, tuple[float, float, float, float]] = dataclasses.field(
        default_factory=dict
    )  # evidence, see regions.py
    stands_for: dict[int, int] = dataclasses.field(default_factory=dict)  # class id -> itself, or what took it over
    bad: set[int] = dataclasses.field(default_factory=set)  # of `rejected`, those that are bad pictures

    @property
    def settled(self) -> set[int]:
        """Images that nobody need be asked about and that are no unlabelled ones either, holdout left out."""
        return self.labelled.keys() | self.rejected | self.aside | set(self.gold)

    @property
    def classes_seen(self) -> int:
        return len(set(self.labelled.values()))

    @property
    def single(self) -> list[int]:
        """Leased images that are looked at one at a time, and so want maps."""
        return [image_id for image_id in self.leased if image_id not in self.in_pages]

    def counts(self) -> Counter[int]:
        """Labels per class index, holdout left out."""
        return Counter(self.labelled.values())

    def targets(self, image_ids: list[int]) -> NDArray[np.float64] | None:
        """Soft labels of labelled images (images, classes), one-hot where nobody disagrees; None where nobody does."""
        if not any(image_id in self.soft for image_id in image_ids):
            return None
        certain_KK = np.eye(len(self.class_ids))
        return np.stack([self.soft.get(image_id, certain_KK[self.labelled[image_id]]) for image_id in image_ids])


def take(tx: Connection, *, holdout: dict[int, int], now: float, with_gold: bool = False) -> Snapshot:
    """Read everything that one learning step sees, inside one transaction; `holdout` maps its images to their halves.

    `with_gold`: keep some reviewed images from teaching, to be asked again."""
    class_ids = [each.id for each in classes.all_(tx)]
    index = {class_id: at for at, class_id in enumerate(class_ids)}
    labelled: dict[int, int] = {}
    held: dict[int, int] = {}
    rejected, aside, bad = set[int](), set[int](), set[int]()
    for answer in labels.settled(tx):
        if answer.class_id is None:
            rejected.add(answer.image_id)
            if answer.reason == BAD:
                bad.add(answer.image_id)
        elif answer.class_id in index:
            (held if answer.image_id in holdout else labelled)[answer.image_id] = index[answer.class_id]
        else:
            aside.add(answer.image_id)
    golden = _gold(tx, labelled) if with_gold else []
    current, leases = queue.current(tx), queue.live_leases(tx, now)
    return Snapshot(
        watermark=labels.watermark(tx),
        class_ids=class_ids,
        labelled={image_id: at for image_id, at in labelled.items() if image_id not in golden},
        holdout=holdout,
        holdout_labels=held,
        rejected=rejected,
        leased=[lease.image_id for lease in leases],
        picked=picked.settled_by_model_choice(tx),
        gold=golden,
        in_pages={lease.image_id for lease in leases if lease.reason == "grid"},
        round_id=current.round_id if current else None,
        said=_said(tx),
        aside=aside,
        stands_for=classes.resolve(tx),
        bad=bad,
    )


def _gold(tx: Connection, labelled: dict[int, int]) -> list[int]:
    """The reviewed images that are kept from teaching: always the first of their random order that their class can spare."""
    most, left, found = min(MOST_GOLD, int(GOLD_SHARE * len(labelled))), Counter(labelled.values()), list[int]()
    for image_id in gold.decided(tx):
        at = labelled.get(image_id)
        if at is not None and left[at] > KEPT_LABELS and len(found) < most:
            found.append(image_id)
            left[at] -= 1
    return found


def evidence(tx: Connection) -> dict[int, tuple[float, float, float, float]]:
    """The evidence region of each image for which somebody drew one that still stands: the last.

    It goes through all events: for rounds, not for refreshes."""
    found = {}
    for event in labels.with_region(tx):
        box = regions.read(event.region)
        if box is not None:
            found[event.image_id] = (box["x"], box["y"], box["w"], box["h"])
    return found


def _said(tx: Connection) -> list[Said]:
    """Everything that everybody says, once two people answer; an import is nobody, though its answers then count."""
    imported = annotators.by_name(tx, IMPORTER)
    people = [person for person in answers.people(tx) if imported is None or person != imported.id]
    return answers.standing(tx) if len(people) > 1 else []
