"""The worker measures what it published while nobody waits: one step at a time, the result beside the predictions."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from app import measure, predictions, snapshot, study_plan
from app.settings import Settings
from model import estimate, held_out, last_layer
from store import blind, images, labels, rounds
from store.database import Database

Ints = NDArray[np.int64]

MOST_TAUGHT_BY = 6_000  # rows of the pool that teach, as in a refresh
STOP_SET = 1000  # images whose predictions are watched
APART = 10  # labels between two looks at them
WATCHED = 3
FEWEST_NEW = 5  # label events after which measuring again is worth it while people go on


class Held(Protocol):
    """What is needed of the pool as the worker holds it."""

    image_ids: Ints

    @property
    def folder(self) -> str: ...

    @property
    def prepared(self) -> last_layer.Prepared: ...


class Measurer:
    """What is being measured; `step` does a little of it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.done = -1  # watermark of the last measured publication
        self.running: measure.Steps[dict[str, Any]] | None = None
        self.of: predictions.Predictions | None = None

    def step(self, db: Database, held: Held, *, watermark: int, resting: bool) -> bool:
        """Do the next step; False when there is nothing to do. `watermark` is what is published, `resting` says that
        nobody has answered for a while, so that a few new answers are worth measuring."""
        if self.running is None:
            if watermark == self.done or (watermark - self.done < FEWEST_NEW and not resting):
                return False
            self._begin(db, held)
            self.done = watermark
            return self.running is not None
        try:
            next(self.running)
        except StopIteration as end:
            self._keep(end.value)
        return True

    def _begin(self, db: Database, held: Held) -> None:
        self.of = predictions.newest(self.settings.workspace)
        if self.of is None or self.of.meta.get("embeddings") != held.folder:
            return  # nothing is predicted yet, or a round published that the worker has not taken up
        if not np.array_equal(self.of.image_ids_N, held.image_ids):
            return
        found = situation(db, self.of, held.prepared, gold_rate=self.settings.gold_rate)
        rng = np.random.default_rng([self.settings.seed, found.population])
        self.running = measure.measure(found, rng=rng)

    def _keep(self, told: dict[str, Any]) -> None:
        assert self.of is not None
        facts = {name: self.of.meta[name] for name in ("publication", "labels", "watermark", "created_at")}
        agreement = _agreement(self.settings.workspace, self.of)
        predictions.keep_measured(
            self.settings.workspace, facts["publication"], facts | told | {"agreement": agreement}
        )
        predictions.prune(self.settings.workspace)
        self.running = self.of = None


def situation(
    db: Database, found: predictions.Predictions, prepared: last_layer.Prepared, *, gold_rate: float
) -> measure.Situation:
    """What the store says of the publication that left these predictions, as rows of the prepared embeddings."""
    with db.read() as tx:
        known = {image.id: image.holdout for image in images.all_ok(tx)}
        holdout = {image_id: half for image_id, half in known.items() if half}
        seen = snapshot.take(tx, holdout=holdout, now=0.0, with_gold=study_plan.gold_rate(tx, gold_rate) > 0)
        answered = sorted(labels.settled(tx), key=lambda each: each.event_seq)
        asked = [each for each in blind.asked(tx) if each.seq > _learned_by(tx, found) or each.holdout]
    row_of = {int(image_id): row for row, image_id in enumerate(found.image_ids_N)}
    order = {each.image_id: each.event_seq for each in answered if each.image_id in row_of}
    pooled = [i for i in order if i not in holdout]
    labelled = [i for i in pooled if i in seen.labelled]
    rejected = [i for i in pooled if i in seen.rejected]
    golden = {each.image_id: each.class_id for each in answered if each.image_id in set(seen.gold) & order.keys()}
    settled = seen.settled | seen.holdout_labels.keys()
    open_N = np.array([row for i, row in row_of.items() if i not in settled], np.int64)
    taught = held_out.Taught(
        prepared,
        _rows(labelled, row_of),
        np.array([seen.labelled[i] for i in labelled], np.int64),
        _rows(rejected, row_of),
        _rows(list(holdout), row_of),
        len(seen.class_ids),
        float(found.meta["temperature"]),
        last_layer.Config(max_pool=MOST_TAUGHT_BY),
        picked=_rows([i for i in labelled if i in seen.picked], row_of),
    )
    return measure.Situation(
        taught,
        _blind(
            asked,
            seen,
            row_of,
            order={i: order[i] for i in pooled},
            pool_size=len(row_of) - sum(i in holdout for i in row_of),
        ),
        _rows(pooled, row_of),
        found.score_N[open_N],
        population=len(row_of),
        people=len(seen.labelled) + len(seen.gold) + len(seen.holdout_labels),
        gold=_rows(list(golden), row_of),
        gold_labels=np.array([seen.class_ids.index(k) for k in golden.values() if k is not None], np.int64),
    )


def _learned_by(tx: Any, found: predictions.Predictions) -> int:
    """Watermark up to which answers trained the network itself: it has seen those audits, no refit can unsee them."""
    round_id = found.meta.get("round")
    return rounds.get(tx, round_id).watermark if round_id and found.meta.get("checkpoint") else 0


def _blind(
    asked: list[blind.Blind],
    seen: snapshot.Snapshot,
    row_of: dict[int, int],
    *,
    order: dict[int, int],
    pool_size: int,
) -> measure.Blind:
    """`order` maps answered pool images to their events, oldest first. What had been asked before an audit is counted
    when its queue was published: pages of the grid answered since then were still among the images it was drawn from."""
    index = {class_id: at for at, class_id in enumerate(seen.class_ids)}
    place = {image_id: at for at, image_id in enumerate(order)}
    kept = [
        each
        for each in asked
        if each.image_id in row_of
        and (each.class_id is None or each.class_id in index)
        and (each.holdout or each.image_id in place)
    ]
    seqs = np.array(list(order.values()), np.int64)
    since = [each.seq - 1 if each.watermark is None else min(each.watermark, each.seq - 1) for each in kept]
    before = np.where([each.holdout for each in kept], 0, np.searchsorted(seqs, since, side="right"))
    chances = np.array([each.propensity or 0.0 for each in kept])
    with np.errstate(divide="ignore"):
        still = np.where(chances > 0, 1 / chances, pool_size - before)
    return measure.Blind(
        _rows([each.image_id for each in kept], row_of),
        np.array([measure.UNFIT if each.class_id is None else index[each.class_id] for each in kept], np.int64),
        np.array([each.holdout for each in kept], bool),
        np.array([-each.image_id if each.group_id is None else each.group_id for each in kept], np.int64),
        np.maximum(np.round(still), 1).astype(np.int64),
        before,
    )


def _rows(ids: list[int], row_of: dict[int, int]) -> Ints:
    return np.array([row_of[image_id] for image_id in ids], np.int64)


def _agreement(workspace: Path, found: predictions.Predictions) -> list[float]:
    """Cohen's kappa between predictions on a fixed set of images, each 10 labels or more apart; the last three.

    Stabilising predictions: Bloodgood and Vijay-Shanker 2009, CoNLL, A method for stopping active learning."""
    file = workspace / "predictions" / "agreement.json"
    before = _read(file)
    lots_N = (found.image_ids_N * 2654435761) % (1 << 32)  # a fixed random order of ids, whatever comes later
    chosen_N = np.sort(np.argsort(lots_N, kind="stable")[:STOP_SET])
    now = {"ids": found.image_ids_N[chosen_N].tolist(), "classes": found.top_class_N[chosen_N].tolist()}
    kappas: list[float] = before.get("kappas", [])
    if before and found.meta["labels"] < before["labels"] + APART:
        return kappas[-WATCHED:]
    if before:
        then = dict(zip(before["ids"], before["classes"], strict=True))
        both = [(then[i], c) for i, c in zip(now["ids"], now["classes"], strict=True) if i in then]
        kappas = [*kappas, estimate.kappa(*zip(*both, strict=True))] if both else kappas
    beside = file.with_name(f"agreement.{os.getpid()}")
    beside.write_text(json.dumps({"labels": found.meta["labels"], "kappas": kappas, **now}), encoding="utf-8")
    os.replace(beside, file)
    return kappas[-WATCHED:]


def _read(file: Path) -> dict[str, Any]:
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
