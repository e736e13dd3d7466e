"""One strategy with one seed against an oracle: ask, answer, now and then train the network, refresh, measure."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import ranking, simulate_classifiers, simulate_conditions, simulate_data
from model import acquisition, calibration, config, out_of_class, roc, uncertainty

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]
Point = dict[str, Any]

STARTS = ("own", "random", "typical")
# strategies that choose their own first batch; coreset could too, but its paper begins at random
ASK_UNTAUGHT = acquisition.NEEDS_NOTHING - {"coreset"}
WITHOUT_POSTERIOR = acquisition.NEEDS_NOTHING - {"auto"}
DEFAULT_BACKBONE = "vmamba_nano"


@dataclasses.dataclass(frozen=True)
class Plan:
    """One simulation: strategies x seeds, `batch` answers at a time up to `budget`.

    audit: share of the asked images that is drawn at random. start: who chooses the first batch; "own" lets `auto` and
    the cold-start strategies choose theirs and gives all others the seed's random batch; "random" and "typical" give
    all arms the same. rounds_at: answers after which the network itself is trained, before the next batch is asked,
    and round_start from what, one of config.STARTS. steps: of such a training, 0 for its own default. draws:
    posterior draws. classifier: a name of simulate_classifiers.CLASSIFIERS. Seeds count from first_seed. random_weights:
    the backbone starts without its pretrained ones. crops: the network's (config.NetworkConfig).
    """

    strategies: tuple[str, ...]
    budget: int = 200
    batch: int = 20
    seeds: int = 5
    first_seed: int = 0
    target: float = 0.6
    audit: float = 0.0
    start: str = "own"
    rounds_at: tuple[int, ...] = ()
    round_start: str = "pretrained"
    steps: int = 0
    draws: int = 20
    backbone: str = DEFAULT_BACKBONE
    random_weights: bool = False
    crops: int = config.BOTH
    classifier: str = "last_layer"
    conditions: simulate_conditions.Conditions = simulate_conditions.BALANCED

    @property
    def seed_numbers(self) -> range:
        return range(self.first_seed, self.first_seed + self.seeds)


@dataclasses.dataclass(frozen=True)
class Answers:
    """What the oracle has said: image positions in the material and, for the labelled ones, their classes of `classes`."""

    labelled: Ints
    labels: Ints
    rejected: Ints
    unlabelled: Ints
    classes: int


Retrain = Callable[[Answers, int], Floats]  # answers and seed -> new embeddings of all images of the material


@dataclasses.dataclass(frozen=True)
class Ready:
    """What the arms of one seed share before the first answer; `prepared` is by the classifier's own `prepare`."""

    world: simulate_conditions.World
    prepared: Any
    test_TD: Floats


@dataclasses.dataclass
class _Arm:
    """One strategy with one seed, as it runs; the space changes when a round trains the network."""

    strategy: str
    seed: int
    world: simulate_conditions.World
    prepared: Any
    test_TD: Floats
    rng: np.random.Generator
    asked: list[int] = dataclasses.field(default_factory=list)  # rows of the pool, in the order of asking
    batch: list[int] = dataclasses.field(default_factory=list)  # the last of them
    candidates: Ints | None = None  # rows of the pool that the draws belong to; None: all that are open
    draws_NSK: Floats | None = None
    points: list[Point] = dataclasses.field(default_factory=list)


def ready(material: simulate_data.Material, plan: Plan, seed: int) -> Ready:
    """The pool of one seed, in the classifier's space."""
    world = simulate_conditions.build(material, plan.conditions, seed)
    prepare = simulate_classifiers.CLASSIFIERS[plan.classifier].prepare
    prepared = prepare(world.pool_of(material.embeddings_ND), np.random.default_rng([seed, 3]))
    return Ready(world, prepared, material.embeddings_ND[world.test_T])


def run(shared: Ready, plan: Plan, strategy: str, seed: int, retrain: Retrain) -> list[Point]:
    """Ask until the budget is spent -> one point of figures after each batch."""
    arm = _Arm(strategy, seed, shared.world, shared.prepared, shared.test_TD, np.random.default_rng([seed, 1]))
    budget, rounds = min(plan.budget, len(arm.world.images_P)), sorted(plan.rounds_at)
    while len(arm.asked) < budget:
        arm.batch = _ask(arm, plan, min(plan.batch, budget - len(arm.asked)))
        arm.asked.extend(arm.batch)
        if rounds and len(arm.asked) >= rounds[0]:
            rounds = [at for at in rounds if at > len(arm.asked)]
            _take_in(arm, plan, retrain(_for_training(arm), seed))
        _refresh(arm, plan)
    return arm.points


def _ask(arm: _Arm, plan: Plan, count: int) -> list[int]:
    """The next `count` pool rows: by the strategy, and each with probability `audit` at random instead."""
    first = not arm.asked
    name = _asks(arm, plan)
    rng = np.random.default_rng([arm.seed, 2]) if first else arm.rng  # the same first set for all arms
    audits = int((rng.random(count) < plan.audit).sum()) if name != "random" else 0
    open_N, space = _open(arm), arm.prepared.x_NR
    candidates = open_N if arm.candidates is None else arm.candidates
    labelled, labels, rejected = _answers(arm)
    chosen = acquisition.select(
        name,
        log_probs_NSK=arm.draws_NSK,
        embeddings_ND=space[candidates],
        labelled_ND=space[labelled],
        count=count - audits,
        rng=rng,
        context=acquisition.situation(
            space,
            labelled=labelled,
            labels=labels,
            rejected=rejected,
            candidates=candidates,
            num_classes=len(arm.world.class_names),
            rng=rng,
        ),
    )
    rest = np.setdiff1d(open_N, candidates[chosen])
    return [*candidates[chosen].tolist(), *rng.choice(rest, min(audits, len(rest)), replace=False).tolist()]


def _asks(arm: _Arm, plan: Plan) -> str:
    """The strategy that chooses now; as in the product, typical images where one needs a posterior and there is none."""
    if not arm.asked:
        name = arm.strategy if plan.start == "own" else plan.start
        return name if name in ASK_UNTAUGHT else "random"
    untaught = arm.draws_NSK is None and arm.strategy not in acquisition.NEEDS_NOTHING
    return "typical" if untaught else arm.strategy


def _open(arm: _Arm) -> Ints:
    open_N = np.ones(len(arm.world.images_P), dtype=bool)
    open_N[arm.asked] = False
    return np.flatnonzero(open_N)


def _answers(arm: _Arm) -> tuple[Ints, Ints, Ints]:
    """The oracle's answers so far -> (labelled pool rows, their classes, rejected pool rows)."""
    asked = np.asarray(arm.asked, dtype=np.int64)
    said = arm.world.said_P[asked]
    usable = said != simulate_conditions.REJECTED
    return asked[usable], said[usable], asked[~usable]


def _refresh(arm: _Arm, plan: Plan) -> None:
    """Fit the classifier, measure it on the test images, predict what is still open."""
    began = time.perf_counter()
    labelled, labels, rejected = _answers(arm)
    fit = simulate_classifiers.CLASSIFIERS[plan.classifier].fit
    layer = fit(arm.prepared, labelled, labels, rejected, len(arm.world.class_names), arm.rng)
    seconds = time.perf_counter() - began
    arm.points.append(_point(arm, plan, layer.log_probs(arm.test_TD)) | {"fit_seconds": round(seconds, 4)})
    arm.candidates, arm.draws_NSK = None, None
    if arm.strategy not in WITHOUT_POSTERIOR and len(np.unique(labels)) > 1 and len(arm.asked) < plan.budget:
        _predict(arm, plan, layer)


def _predict(arm: _Arm, plan: Plan, layer: simulate_classifiers.Fitted) -> None:
    """Draws of the most uncertain open rows, as many as the product draws."""
    open_N = _open(arm)
    if len(open_N) > ranking.MOST_DRAWN:
        margins = uncertainty.margin(layer.log_probs_at(arm.prepared.x_NR[open_N]))
        open_N = np.sort(open_N[np.argsort(margins, kind="stable")[: ranking.MOST_DRAWN]])
    if len(open_N):
        arm.candidates = open_N
        arm.draws_NSK = layer.draws_at(arm.prepared.x_NR[open_N], plan.draws, arm.rng)


def _point(arm: _Arm, plan: Plan, log_probs_TK: Floats) -> Point:
    """Accuracy (the mean over classes where the pool has a long tail) and what else is known after this batch."""
    truth_T, found = arm.world.test_labels_T, arm.world.truth_P[arm.asked]
    right_T = log_probs_TK.argmax(axis=1) == truth_T
    weights_T = 1.0 / np.bincount(truth_T)[truth_T] if plan.conditions.tail > 1 else np.ones(len(truth_T))
    return {
        "labels": len(arm.asked),
        "accuracy": float(np.average(right_T, weights=weights_T)),
        "ece": float(calibration.ece(log_probs_TK, truth_T)),
        "nll": float(calibration.nll(log_probs_TK, truth_T)),
        "auroc": roc.area(-log_probs_TK.max(axis=1), ~right_T),
        "in_class": float((arm.world.truth_P[arm.batch] >= 0).mean()),
        "classes": len(np.unique(found[found >= 0])),
    }


def _take_in(arm: _Arm, plan: Plan, embeddings_ND: Floats) -> None:
    """New embeddings of all images after a round; copies have the same pixels and thus the very same ones."""
    prepare = simulate_classifiers.CLASSIFIERS[plan.classifier].prepare
    arm.prepared = prepare(arm.world.pool_of(embeddings_ND, jitter=False), arm.rng)
    arm.test_TD = embeddings_ND[arm.world.test_T]


def _for_training(arm: _Arm) -> Answers:
    """As a round of the worker is taught: without the open images that probably belong to no class."""
    labelled, labels, rejected = _answers(arm)
    out_P = out_of_class.probability(
        arm.prepared.x_NR, labelled=labelled, labels=labels, rejected=rejected, rng=np.random.default_rng([arm.seed, 4])
    )
    images_P, open_P = arm.world.images_P, _open(arm)
    fit_P = open_P[out_P[open_P] < ranking.PROBABLY]
    return Answers(images_P[labelled], labels, images_P[rejected], images_P[fit_P], len(arm.world.class_names))
