"""What is known of a classifier that leaves: its data, its rounds, and how good it is on images it never learnt from."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from app import pictures, snapshot
from app.ranking_holdout import CALIBRATED_FROM
from model import calibration, classifier, shares
from model import errors as model_errors
from model.data import sources as opening
from store import classes, images, labels, rounds
from store.database import Database

HOLDOUT = "the workspace's holdout"


@dataclasses.dataclass
class Facts:
    """counts: labels of each class that it learnt from; sources: answers by where they came from; people: how many gave
    them. trained: the data set of a checkpoint that `train` left. measured: figures and `on` what; None where nothing
    could be. images: files to compare ONNX on. onnx: the largest difference of each output."""

    temperature: float
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    sources: dict[str, int] = dataclasses.field(default_factory=dict)
    people: int = 0
    trained: dict[str, Any] | None = None
    rounds: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    measured: dict[str, Any] | None = None
    images: list[opening.Where] = dataclasses.field(default_factory=list)
    onnx: dict[str, Any] | None = None


def without(model: classifier.Classifier) -> Facts:
    """What the checkpoint alone says: `train` leaves the test of its network there."""
    facts = Facts(float(model.meta.get("temperature", 1.0)))
    figures = model.meta.get("figures")
    if isinstance(figures, dict) and isinstance(figures.get("test"), dict):
        name = Path(str(figures["root"])).name or figures["dataset"]
        facts.trained = {"name": name, "labelled": figures["labelled"]}
        facts.measured = {"on": f"the data set's test share ({name})", **figures["test"]}
    return facts


def take(
    db: Database,
    workspace: Path,
    model: classifier.Classifier,
    class_ids: list[int],
    *,
    progress: Callable[[float, str], None],
) -> Facts:
    """All of it from the workspace; the temperature is fitted on the holdout's calibration half."""
    with db.read() as tx:
        known = {image.id: pictures.source(image, workspace) for image in images.all_ok(tx)}
        holdout = images.holdout(tx)
        seen = snapshot.take(tx, holdout=holdout, now=time.time())
        answers = labels.settled(tx, model.meta.get("watermark"))
        learnt = [each for each in answers if each.class_id is not None and each.image_id not in holdout]
        wanted = {each.event_seq for each in learnt}
        people = {event.annotator_id for event in labels.all_events(tx) if event.seq in wanted}
        stands_for, runs = classes.resolve(tx), rounds.all_(tx)
    row = {stands_for.get(class_id, class_id): at for at, class_id in enumerate(class_ids)}
    found = Counter(row[each.class_id] for each in learnt if each.class_id in row)
    facts = Facts(float(model.meta.get("temperature", 1.0)))
    facts.counts = {name: found[at] for at, name in enumerate(model.names)}
    facts.sources, facts.people = dict(Counter(each.source for each in learnt)), len(people)
    facts.rounds = [
        {"round": run.id, "finished_at": run.finished_at, **run.settings}
        for run in runs
        if run.status == "published" and run.id <= model.meta.get("round", run.id)
    ]
    held = {i: row[k] for i, at in seen.holdout_labels.items() if i in known and (k := seen.class_ids[at]) in row}
    facts.images = [known[i] for i in [*held, *(each.image_id for each in learnt)] if i in known]
    halves_N = np.array([holdout[i] for i in held], np.int64)
    progress(0.1, f"measuring on {len(held):,} holdout images")
    draws = classifier.draws_of(model.net, 1.0)
    looked = classifier.each(model.net, [known[i] for i in held], lambda embeddings_BD: list(draws(embeddings_BD)))
    judged = [found for _, found in looked]
    readable_N = np.array([not isinstance(each, model_errors.UnreadableImage) for each in judged], bool)
    if readable_N.any():
        logs_NSK = np.stack([each for each in judged if not isinstance(each, model_errors.UnreadableImage)])
        _measure(facts, logs_NSK, np.array([*held.values()], np.int64)[readable_N], halves_N[readable_N])
        assert facts.measured is not None
        facts.measured["other_classes"] = len(seen.holdout_labels) - len(held)
    return facts


def _measure(facts: Facts, logs_NSK: Any, labels_N: Any, halves_N: Any) -> None:
    """Temperature from the calibration half, figures from the test half; from all answers while that is small."""
    half_N = halves_N == 1
    if half_N.sum() >= CALIBRATED_FROM // 2:
        facts.temperature = calibration.fit_temperature(_mean(logs_NSK[half_N], 1.0), labels_N[half_N])
    few = (~half_N).sum() < CALIBRATED_FROM
    use_N = np.ones(len(half_N), bool) if few else ~half_N
    log_probs_NK, labels = _mean(logs_NSK[use_N], facts.temperature), labels_N[use_N]
    right = int((log_probs_NK.argmax(axis=1) == labels).sum())
    low, high = shares.wilson(right, len(labels))
    facts.measured = {
        "on": HOLDOUT + (", which also set the temperature" if few and facts.temperature != 1.0 else ""),
        "n": len(labels),
        "accuracy": right / len(labels),
        "low": low,
        "high": high,
        "ece": calibration.ece(log_probs_NK, labels),
        "nll": calibration.nll(log_probs_NK, labels),
        "brier": calibration.brier(log_probs_NK, labels),
    }


def _mean(logs_NSK: Any, temperature: float) -> Any:
    """Log of the mean over the draws, each at this temperature."""
    from scipy import special

    tempered = special.log_softmax(logs_NSK.astype(np.float64) / temperature, axis=2)
    return special.logsumexp(tempered, axis=1) - np.log(logs_NSK.shape[1])
