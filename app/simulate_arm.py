"""One strategy with one seed against an oracle: ask, answer, now and then train the network, refresh, measure."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import simulate_classifiers, simulate_data
from model import acquisition, calibration

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

STARTS = ("own", "random", "typical")
# strategies that choose their own first batch; coreset could too, but its paper begins at random
ASK_UNTAUGHT = acquisition.NEEDS_NOTHING - {"coreset"}
DEFAULT_BACKBONE = "vmamba_nano"


@dataclasses.dataclass(frozen=True)
class Plan:
    """One simulation: strategies x seeds, `batch` answers at a time up to `budget`.

    audit: share of the asked images that is drawn at random. start: who chooses the first batch; "own" lets `auto` and
    the cold-start strategies choose theirs and gives all others the seed's random batch. rounds_at: answers after
    which the network itself is trained, before the next batch is asked. steps: of such a training, 0 for its
    own default. draws: posterior draws. classifier: a name of simulate_classifiers.CLASSIFIERS.
    """

    strategies: tuple[str, ...]
    budget: int = 200
    batch: int = 20
    seeds: int = 5
    target: float = 0.6
    audit: float = 0.0
    start: str = "own"
    rounds_at: tuple[int, ...] = ()
    steps: int = 0
    draws: int = 20
    backbone: str = DEFAULT_BACKBONE
    classifier: str = "last_layer"


@dataclasses.dataclass(frozen=True)
class Answers:
    """What the oracle has said: image positions in the material and, for the labelled ones, their classes."""

    labelled: Ints
    labels: Ints
    rejected: Ints
    unlabelled: Ints


Retrain = Callable[[Answers, int], Floats]  # answers and seed -> new embeddings of all images of the material


@dataclasses.dataclass
class _Arm:
    """One strategy with one seed, as it runs; embeddings change when a round trains the network."""

    strategy: str
    seed: int
    pool: Ints
    test: Ints
    embeddings_ND: Floats
    prepared: Any  # by the classifier's own `prepare`
    rng: np.random.Generator
    asked: list[int] = dataclasses.field(default_factory=list)  # positions into pool, in the order of asking
    draws_NSK: Floats | None = None
    points: list[dict[str, float]] = dataclasses.field(default_factory=list)


def run(
    material: simulate_data.Material, plan: Plan, strategy: str, seed: int, retrain: Retrain
) -> list[dict[str, float]]:
    """Ask until the budget is spent -> one point of figures after each batch."""
    pool, test = material.split(seed)
    rng = np.random.default_rng([seed, 1])
    embeddings_ND = material.embeddings_ND
    prepare = simulate_classifiers.CLASSIFIERS[plan.classifier].prepare
    prepared = prepare(embeddings_ND[pool], rng)
    arm = _Arm(strategy, seed, pool, test, embeddings_ND, prepared, rng)
    budget, rounds = min(plan.budget, len(pool)), sorted(plan.rounds_at)
    while len(arm.asked) < budget:
        arm.asked.extend(_ask(arm, material, plan, min(plan.batch, budget - len(arm.asked))))
        if rounds and len(arm.asked) >= rounds[0]:
            rounds = [at for at in rounds if at > len(arm.asked)]
            arm.embeddings_ND = retrain(_for_training(arm, material), seed)
            arm.prepared = prepare(arm.embeddings_ND[pool], rng)
        _refresh(arm, material, plan)
    return arm.points


def _ask(arm: _Arm, material: simulate_data.Material, plan: Plan, count: int) -> list[int]:
    """The next `count` pool positions: by the strategy, and each with probability `audit` at random instead."""
    first = not arm.asked
    name = plan.start if first and plan.start != "own" else arm.strategy
    if first and name not in ASK_UNTAUGHT:
        name = "random"
    rng = np.random.default_rng([arm.seed, len(arm.asked), 2]) if first else arm.rng  # the same first set for all arms
    audits = int((rng.random(count) < plan.audit).sum()) if name != "random" else 0
    open_N, space = _open(arm), arm.prepared.x_NR
    labelled, labels, rejected = _answers(arm, material)
    chosen = acquisition.select(
        name,
        log_probs_NSK=arm.draws_NSK,
        embeddings_ND=space[open_N],
        labelled_ND=space[labelled],
        count=count - audits,
        rng=rng,
        context=acquisition.situation(
            space,
            labelled=labelled,
            labels=labels,
            rejected=rejected,
            candidates=open_N,
            num_classes=len(material.class_names),
            rng=rng,
        ),
    )
    rest = np.setdiff1d(open_N, open_N[chosen])
    return [*open_N[chosen].tolist(), *rng.choice(rest, min(audits, len(rest)), replace=False).tolist()]


def _open(arm: _Arm) -> Ints:
    open_N = np.ones(len(arm.pool), dtype=bool)
    open_N[arm.asked] = False
    return np.flatnonzero(open_N)


def _answers(arm: _Arm, material: simulate_data.Material) -> tuple[Ints, Ints, Ints]:
    """The oracle's answers so far -> (labelled pool positions, their classes, rejected pool positions)."""
    asked = np.asarray(arm.asked, dtype=np.int64)
    truth = material.labels_N[arm.pool[asked]]
    usable = truth != simulate_data.UNUSABLE
    return asked[usable], truth[usable], asked[~usable]


def _refresh(arm: _Arm, material: simulate_data.Material, plan: Plan) -> None:
    """Fit the last layer, measure it on the test images, draw the posterior of what is still open."""
    began = time.perf_counter()
    labelled, labels, rejected = _answers(arm, material)
    classes = len(material.class_names)
    fit = simulate_classifiers.CLASSIFIERS[plan.classifier].fit
    layer = fit(arm.prepared, labelled, labels, rejected, classes, arm.rng)
    seconds = time.perf_counter() - began
    log_probs_NK = layer.log_probs(arm.embeddings_ND[arm.test])
    truth = material.labels_N[arm.test]
    arm.draws_NSK = layer.draws_at(arm.prepared.x_NR[_open(arm)], plan.draws, arm.rng) if len(_open(arm)) else None
    arm.points.append(
        {
            "labels": len(arm.asked),
            "accuracy": float((log_probs_NK.argmax(axis=1) == truth).mean()),
            "ece": calibration.ece(log_probs_NK, truth),
            "nll": calibration.nll(log_probs_NK, truth),
            "classes": len(np.unique(labels)),
            "fit_seconds": round(seconds, 4),
        }
    )


def _for_training(arm: _Arm, material: simulate_data.Material) -> Answers:
    labelled, labels, rejected = _answers(arm, material)
    return Answers(arm.pool[labelled], labels, arm.pool[rejected], arm.pool[_open(arm)])
