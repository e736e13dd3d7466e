"""Figures of a simulation: areas under curves, labels to a target, savings and harm against random, wins; no printing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
RESAMPLES = 2000
SIGNIFICANT = 0.05
HARM = 2.0  # standard errors below random


def aubc(labels_B: Sequence[int], accuracy_B: Floats) -> float:
    """Area under accuracy over labels, divided by the range of labels (trapezoids): the mean accuracy on the way."""
    if len(labels_B) < 2:
        return float(accuracy_B[0])
    width = np.diff(np.asarray(labels_B, dtype=np.float64))
    heights = (np.asarray(accuracy_B)[1:] + np.asarray(accuracy_B)[:-1]) / 2
    return float((width * heights).sum() / width.sum())


def areas(labels_B: Sequence[int], curves_SB: Floats) -> Floats:
    """The area of each seed's curve."""
    return np.array([aubc(labels_B, curve) for curve in curves_SB])


def labels_to(labels_B: Sequence[int], accuracy_B: Floats, target: float) -> int | None:
    """The first measured budget at which the accuracy is `target` or more; None when it never is."""
    reached = np.flatnonzero(np.asarray(accuracy_B) >= target)
    return int(labels_B[reached[0]]) if len(reached) else None


def arm(labels_B: Sequence[int], curves_SB: Floats, target: float) -> dict[str, Any]:
    """One strategy over all seeds: mean curve, AUBC with its standard error, labels to the target with 95 % interval.

    The interval is of the mean curve's crossing, by bootstrap over seeds; None: beyond the budget.
    """
    areas_S = areas(labels_B, curves_SB)
    crossings = [labels_to(labels_B, mean, target) for mean in _resampled(curves_SB)]
    low, high = _interval([np.inf if at is None else float(at) for at in crossings])
    return {
        "curves": np.round(curves_SB, 5).tolist(),
        "mean": np.round(curves_SB.mean(axis=0), 5).tolist(),
        "aubc": float(areas_S.mean()),
        "aubc_se": standard_error(areas_S),
        "aubc_per_seed": areas_S.tolist(),
        "labels_to_target": labels_to(labels_B, curves_SB.mean(axis=0), target),
        "labels_to_target_low": low,
        "labels_to_target_high": high,
        "labels_to_target_per_seed": [labels_to(labels_B, curve, target) for curve in curves_SB],
    }


def against_random(labels_B: Sequence[int], curves_SB: Floats, random_SB: Floats, target: float) -> dict[str, Any]:
    """Paired over seeds: gain in AUBC, labels saved at the target (with 95 % intervals) and harm.

    saved: 1 - own / random labels at which the mean curves cross the target. saved_per_seed: the median over seeds of
    the same for each seed's own curves. Censored curves are read against us: where random never crosses, one step
    beyond the budget counts as its labels (the saving is at least that); where the strategy never crosses, there is no
    saving however small (None). saved_bound says which holds: exact, at least, none. harm: the most that the mean curve
    of random lies above, and at how many labels.
    """
    gains_S = areas(labels_B, curves_SB) - areas(labels_B, random_SB)
    means, random_means = _resampled(curves_SB), _resampled(random_SB)  # the same seeds are drawn: pairs
    saved = [_saving(labels_B, own, rand, target) for own, rand in zip(means, random_means, strict=True)]
    each_S = [_saving(labels_B, own, rand, target) for own, rand in zip(curves_SB, random_SB, strict=True)]
    draws = _draws(len(gains_S))
    middle, random_middle = curves_SB.mean(axis=0), random_SB.mean(axis=0)
    behind_B = random_middle - middle
    reached, random_reached = (labels_to(labels_B, curve, target) for curve in (middle, random_middle))
    return {
        "aubc_gain": float(gains_S.mean()),
        "aubc_gain_se": standard_error(gains_S),
        "aubc_gain_interval": np.quantile(gains_S[draws].mean(axis=1), [0.025, 0.975]).tolist(),
        "harmful": is_below(gains_S),
        "saved": _finite(_saving(labels_B, middle, random_middle, target)),
        "saved_interval": _interval(saved),
        "saved_bound": "none" if reached is None else "exact" if random_reached is not None else "at least",
        "saved_per_seed": _finite(_median(np.array(each_S))),
        "saved_per_seed_interval": _interval([_median(each) for each in np.array(each_S)[draws]]),
        "seeds_reached": sum(labels_to(labels_B, curve, target) is not None for curve in curves_SB),
        "seeds_reached_random": sum(labels_to(labels_B, curve, target) is not None for curve in random_SB),
        "harm": max(0.0, float(behind_B.max())),
        "harm_at": int(labels_B[int(behind_B.argmax())]),
    }


def wins(areas_by_name: dict[str, Floats]) -> dict[str, dict[str, dict[str, Any]]]:
    """Row against column: mean difference of AUBC, p of the paired two-sided t-test, and whether the row wins at .05."""
    return {
        row: {col: _versus(a, b) for col, b in areas_by_name.items() if col != row} for row, a in areas_by_name.items()
    }


def is_below(gains_S: Floats) -> bool:
    """Whether the mean lies below zero by more than two standard errors."""
    se = standard_error(gains_S)
    return bool(se is not None and gains_S.mean() < -HARM * se and gains_S.mean() < 0)


def grid(cells: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Results of one plan under several conditions -> for each strategy its gains by cell, their mean over cells paired
    by seed, and how many cells lie significantly below random; and in how many cells each beats each other."""
    names = list(next(iter(cells.values()))["strategies"])
    areas_CNS = np.array([[r["strategies"][name]["aubc_per_seed"] for name in names] for r in cells.values()])
    rows: dict[str, Any] = {}
    for at, name in enumerate(names):
        gains_CS = areas_CNS[:, at] - areas_CNS[:, names.index("random")]
        rows[name] = {
            "aubc": areas_CNS[:, at].mean(axis=1).tolist(),
            "gain": gains_CS.mean(axis=1).tolist(),
            "gain_se": [standard_error(gains_S) for gains_S in gains_CS],
            "harmful": [is_below(gains_S) for gains_S in gains_CS],
            "mean_aubc": float(areas_CNS[:, at].mean()),
            "mean_gain": float(gains_CS.mean()),
            "mean_gain_se": standard_error(gains_CS.mean(axis=0)),
        }
    counts = {
        row: {col: sum(r["wins"][row][col]["wins"] for r in cells.values()) for col in names if col != row}
        for row in names
    }
    return {"cells": list(cells), "strategies": rows, "wins": counts}


def standard_error(values_S: Floats) -> float | None:
    """Of the mean; None for a single value."""
    return float(values_S.std(ddof=1) / np.sqrt(len(values_S))) if len(values_S) > 1 else None


def _versus(own_S: Floats, other_S: Floats) -> dict[str, Any]:
    gains_S = own_S - other_S
    alike = len(gains_S) < 2 or bool(np.ptp(gains_S) < 1e-12)
    p = (0.0 if alike and len(gains_S) > 1 and abs(gains_S[0]) > 1e-12 else 1.0) if alike else None
    p = float(stats.ttest_rel(own_S, other_S).pvalue) if p is None else p
    return {"difference": float(gains_S.mean()), "p": p, "wins": bool(p < SIGNIFICANT and gains_S.mean() > 0)}


def _draws(seeds: int) -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(seeds, size=(RESAMPLES, seeds))


def _resampled(curves_SB: Floats) -> list[Floats]:
    """Mean curves of seeds drawn with replacement; the same draws for every strategy."""
    return list(curves_SB[_draws(len(curves_SB))].mean(axis=1))


def _interval(values: Sequence[float]) -> list[float | None]:
    """2.5 and 97.5 %, values that were measured and none in between; None where it is infinite."""
    return [_finite(float(at)) for at in np.quantile(values, [0.025, 0.975], method="inverted_cdf")]


def _median(values: Floats) -> float:
    return float(np.quantile(values, 0.5, method="inverted_cdf"))


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _saving(labels_B: Sequence[int], own_B: Floats, random_B: Floats, target: float) -> float:
    own, rand = (labels_to(labels_B, curve, target) for curve in (own_B, random_B))
    if own is None:
        return -np.inf
    step = labels_B[-1] - labels_B[-2] if len(labels_B) > 1 else labels_B[-1]
    return 1.0 - own / (labels_B[-1] + step if rand is None else rand)
