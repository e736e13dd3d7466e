"""The worker's search for evidence while nobody waits: regions drawn in a class are looked for in its other images."""

import dataclasses
import logging
import time
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from app import evidence_file, pool, snapshot
from app.evidence_file import Box, Row
from model import predict, propagate
from store import labels
from store.database import Database

IDLE_SECONDS = 2.0  # without a new answer, before the worker looks
STEP_SECONDS = 0.3
MOST_MARKED = 20  # images of a class whose regions teach what to look for, the latest ones
MOST_AT_ONCE = 8

log = logging.getLogger("raum.worker")
Marks = tuple[tuple[int, Box], ...]  # (image, region)


@dataclasses.dataclass
class _Known:
    """What was found of a class by one network from one set of marks."""

    by: tuple[str, Marks]
    look: propagate.Look | None = None
    rows: dict[int, Row] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class _Task:
    """A class, its marks and the images to look at."""

    class_id: int
    marks: Marks
    marked: int
    wanted: list[int]


class Propagator:
    """State with a lifetime: what is known of each class, and the search that is under way, if one is."""

    def __init__(self) -> None:
        """Nothing has been looked at."""
        self.known: dict[int, _Known] = {}
        self.seen: tuple[str, int] | None = None  # network and label event of the last search
        self.search: Iterator[None] | None = None
        self.undrawn: int | None = 0  # label event up to which nobody drew a region; None: somebody did

    def step(self, db: Database, held: pool.Pool, *, watermark: int, idle: float) -> bool:
        """Search for a moment where that is due, `idle` seconds after the last answer; whether this took time."""
        if idle < IDLE_SECONDS or held.net is None:
            return False
        if self.seen != (held.name, watermark):
            self.seen, (seen_at, tasks) = (held.name, watermark), self._tasks(db, held)
            self.known = {task.class_id: self._known(task, held) for task in tasks}
            self.search = self._search(held, seen_at, tasks) if tasks else None
            if not tasks:
                _publish(held, seen_at, [])
        if self.search is None:
            return False
        until = time.monotonic() + STEP_SECONDS
        while time.monotonic() < until:
            if next(self.search, self) is self:
                self.search = None
                break
        return True

    def _search(self, held: pool.Pool, seen_at: int, tasks: list[_Task]) -> Iterator[None]:
        """A few images a step; what was found is published at the end."""
        for task in tasks:
            yield from _find(held, task, self.known[task.class_id])
        _publish(held, seen_at, [_found(task, self.known[task.class_id]) for task in tasks])

    def _tasks(self, db: Database, held: pool.Pool) -> tuple[int, list[_Task]]:
        """The label event up to which this is seen, and what to look for."""
        with db.read() as tx:
            if self.undrawn is not None and not labels.drawn_since(tx, self.undrawn):
                self.undrawn = labels.watermark(tx)
                return self.undrawn, []
            self.undrawn = None
            seen = dataclasses.replace(snapshot.take(tx, holdout=held.holdout, now=0.0), regions=snapshot.evidence(tx))
        return seen.watermark, _tasks(seen, set(held.image_ids.tolist()))

    def _known(self, task: _Task, held: pool.Pool) -> _Known:
        by = (held.name, task.marks)
        known = self.known.get(task.class_id)
        return known if known is not None and known.by == by else _Known(by)


def _tasks(seen: snapshot.Snapshot, here: set[int]) -> list[_Task]:
    """Of the classes with marks those with most images; `here`: the images that are embedded.

    Images that are held out are never shown with anything of the model's, so none is proposed for them."""
    by_class: dict[int, list[int]] = {}
    for image_id, index in seen.labelled.items():
        if image_id in here:
            by_class.setdefault(index, []).append(image_id)
    tasks = []
    for index, image_ids in by_class.items():
        marked = [image_id for image_id in seen.regions if seen.labelled.get(image_id) == index and image_id in here]
        wanted = sorted(image_id for image_id in image_ids if image_id not in seen.regions)
        if marked and wanted:
            marks = tuple((image_id, seen.regions[image_id]) for image_id in marked[-MOST_MARKED:])
            tasks.append(_Task(seen.class_ids[index], marks, len(marked), wanted[: evidence_file.MOST_IMAGES]))
    return sorted(tasks, key=lambda task: -len(task.wanted))[: evidence_file.MOST_CLASSES]


def _find(held: pool.Pool, task: _Task, known: _Known) -> Iterator[None]:
    """Look at those of the task's images that are not known yet."""
    missing = [image_id for image_id in task.wanted if image_id not in known.rows]
    if missing and known.look is None:
        boxes, parts = dict(task.marks), list[NDArray[np.float16]]()
        kept: list[int] = []
        for part in _parts(held, list(boxes)):
            ids, features = _features(held, part)
            kept += ids
            parts += [features] if ids else []
            yield
        if not kept:
            return
        known.look = propagate.learn(np.concatenate(parts), [boxes[image_id] for image_id in kept])
    for part in _parts(held, missing):
        ids, features = _features(held, part)
        if ids and known.look is not None:
            boxes_N4, scores_N = propagate.find(known.look, features)
            for image_id, box, score in zip(ids, boxes_N4.tolist(), scores_N.tolist(), strict=True):
                known.rows[image_id] = Row(image_id=image_id, box=_short(box), score=round(score, 3))
        yield


def _parts(held: pool.Pool, ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """As many at once as the network looks at in a step."""
    size = max(1, min(MOST_AT_ONCE, int(held.images_per_s * STEP_SECONDS)))
    return (ids[start : start + size] for start in range(0, len(ids), size))


def _features(held: pool.Pool, part: Sequence[int]) -> tuple[list[int], NDArray[np.float16]]:
    """The readable ones of these images, and their feature maps."""
    batch = held.cache.read(part, [held.paths[image_id] for image_id in part])
    ids = [part[int(position)] for position in batch.positions_N]
    if not ids:
        return [], np.empty((0, 0, 0, 0), np.float16)
    features = predict.embed(held.net, batch.images_NHWC, keep_features=True, whole=True).features_NDHW
    assert features is not None
    return ids, features


def _short(box: Sequence[float]) -> Box:
    """Four decimals, within the image."""
    x, y = round(box[0], 4), round(box[1], 4)
    return x, y, round(min(box[2], 1 - x), 4), round(min(box[3], 1 - y), 4)


def _found(task: _Task, known: _Known) -> evidence_file.Class:
    rows = [known.rows[image_id] for image_id in task.wanted if image_id in known.rows]
    rows.sort(key=lambda row: (-row["score"], row["image_id"]))
    return evidence_file.Class(class_id=task.class_id, marked=task.marked, rows=rows)


def _publish(held: pool.Pool, watermark: int, classes: list[evidence_file.Class]) -> None:
    """The page sees it from now on; nothing is written where there was and is nothing."""
    order = sorted((each for each in classes if each["rows"]), key=lambda each: (-len(each["rows"]), each["class_id"]))
    if order or evidence_file.read(held.settings.workspace)["classes"]:
        evidence_file.write(held.settings.workspace, evidence_file.Proposals(watermark=watermark, classes=order))
        log.info("evidence is proposed for %s images", sum(len(each["rows"]) for each in order))
