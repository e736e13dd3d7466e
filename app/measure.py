"""From blind answers to what a person may trust: the certificate, the accuracy, the forecast. Plain arrays, in steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Generator
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from model import errors as model_errors
from model import estimate, finish, forecast, held_out

Ints = NDArray[np.int64]
T = TypeVar("T")
Steps = Generator[None, None, T]

FOLDS = 5  # of the blind answers; each fit then lacks one answer in fifty, as audits are one in ten
OTHER_FOLDS = 10  # of the others: those are many, and a fit that lacks a quarter of them would be too pessimistic
SHARES = (0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.14, 0.2)  # for which "needed" is told
PREFIXES = (0.3, 0.45, 0.65, 0.85, 1.0)  # parts of the answers, in their order, from which the curve is drawn
FEWEST_TAUGHT = 10
AHEAD = (50, 100, 150, 500)
UNFIT = -1  # the truth of an image that no class fits, and of one that people skipped: every label for it is wrong


@dataclasses.dataclass(frozen=True)
class Blind:
    """T images asked blind: their rows, true classes (or UNFIT), and groups of near-duplicates; of audits, how many
    images were open and how many had been asked before."""

    rows_T: Ints
    truth_T: Ints
    holdout_T: NDArray[np.bool_]
    groups_T: Ints
    open_T: Ints
    asked_T: Ints


@dataclasses.dataclass(frozen=True)
class Situation:
    """One publication: what taught it, what was asked blind, and what it says of the open images.

    `asked` are all answered pool rows in their order, `population` all images, `people` labels that people gave, `gold`
    labelled rows that teach nothing.
    """

    taught: held_out.Taught
    blind: Blind
    asked: Ints
    open_scores_N: NDArray[np.floating]
    population: int
    people: int
    gold: Ints = dataclasses.field(default_factory=lambda: np.empty(0, np.int64))
    gold_labels: Ints = dataclasses.field(default_factory=lambda: np.empty(0, np.int64))


def measure(it: Situation, *, rng: np.random.Generator) -> Steps[dict[str, Any]]:
    """Everything, one fit of the last layer between two yields; returns plain values, ready for JSON."""
    right_T, score_T = yield from blind_answers(it, rng=rng)
    told = certificate(it, right_T, score_T)
    told["estimate"] = yield from _accuracy(it, right_T, rng)
    told["forecast"] = yield from _forecast(it, rng)
    return told


def blind_answers(it: Situation, *, rng: np.random.Generator) -> Steps[tuple[NDArray[np.bool_], NDArray[np.floating]]]:
    """For each blind answer whether the model is right and its score, both out of sample."""
    top_T, score_T = np.full(len(it.blind.rows_T), UNFIT - 1), np.zeros(len(it.blind.rows_T))
    for places, top_M, score_M in held_out.in_folds(it.taught, it.blind.rows_T, folds=FOLDS, rng=rng):
        top_T[places], score_T[places] = top_M, score_M
        yield
    return top_T == it.blind.truth_T, score_T


def all_of(steps: Steps[T]) -> T:
    """Take all steps at once -> what they return."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast(T, end.value)


def certificate(it: Situation, right_T: NDArray[np.bool_], score_T: NDArray[np.floating]) -> dict[str, Any]:
    """The frontier and, for some error rates, how many more blind answers would let the model label half of the rest."""
    found = finish.frontier(
        score_T,
        ~right_T,
        open_scores_N=it.open_scores_N,
        population=it.population,
        groups_T=it.blind.groups_T,
    )
    columns = zip(found.thresholds_J, found.model_J, found.wrong_J, found.mistakes_J, strict=True)
    still_open = len(it.open_scores_N)
    return {
        "confidence": finish.CONFIDENCE,
        "answers": len(right_T),
        "population": it.population,
        "people": it.people,
        "open": still_open,
        "frontier": [
            {"above": max(float(cut), -1.0), "model": int(model), "wrong": float(wrong), "mistakes": int(mistakes)}
            for cut, model, wrong, mistakes in columns
        ],
        "needed": [
            [
                share,
                finish.needed(
                    found, population=it.population, people=it.people, still_open=still_open, share=share
                ),
            ]
            for share in SHARES
        ],
    }  # fmt: skip


def _accuracy(it: Situation, right_T: NDArray[np.bool_], rng: np.random.Generator) -> Steps[dict[str, Any]]:
    audit_T = ~it.blind.holdout_T
    right_N = np.zeros(len(it.taught.prepared.x_NR), dtype=bool)
    right_N[it.blind.rows_T] = right_T
    if audit_T.any():
        others = np.setdiff1d(np.concatenate([it.taught.labelled_L, it.gold]), it.blind.rows_T)
        truth_N = np.full(len(right_N), UNFIT)
        truth_N[it.taught.labelled_L], truth_N[it.gold] = it.taught.labels_L, it.gold_labels
        for places, top_M, _ in held_out.in_folds(it.taught, others, folds=OTHER_FOLDS, rng=rng):
            right_N[others[places]] = top_M == truth_N[others[places]]
            yield
    before = np.concatenate([[0], np.cumsum(right_N[it.asked])])
    found = estimate.accuracy(
        right_T[~audit_T],
        audit_right_A=right_T[audit_T],
        open_A=it.blind.open_T[audit_T],
        asked_A=it.blind.asked_T[audit_T],
        asked_right_A=before[it.blind.asked_T[audit_T]],
    )
    return {} if not found.answers else dataclasses.asdict(found)


def _forecast(it: Situation, rng: np.random.Generator) -> Steps[dict[str, Any]]:
    """The curve of the past, replayed: the first labels, then more and more, all judged by the same blind answers."""
    total, blind = len(it.taught.labelled_L), it.blind.rows_T
    usable = int((~np.isin(it.taught.labelled_L, blind)).sum())
    firsts = sorted({round(part * usable) for part in PREFIXES if round(part * usable) >= FEWEST_TAUGHT})
    right_TJ = np.zeros((len(blind), len(firsts)), dtype=bool)
    for j, first in enumerate(firsts):
        top_T, _ = held_out.predict(it.taught, blind, blind, first=first, rng=rng)
        right_TJ[:, j] = top_T == it.blind.truth_T
        yield
    labels_J = [round(first * total / max(usable, 1)) for first in firsts]
    try:
        found = forecast.fit(labels_J, right_TJ)
    except model_errors.BadInput:
        return {}
    gains = [dict(zip(("more", "gain", "low", "high"), (more, *found.gain(more)), strict=True)) for more in AHEAD]
    ahead = [total + round(step * 500 / 12) for step in range(13)]
    curve = [
        dict(zip(("labels", "accuracy", "low", "high"), (n, *found.accuracy(n)), strict=True)) for n in ahead
    ]  # fmt: skip
    points = [{"labels": n, "accuracy": float(a)} for n, a in zip(labels_J, right_TJ.mean(axis=0), strict=True)]
    return {"labels": total, "points": points, "gains": gains, "curve": curve}
