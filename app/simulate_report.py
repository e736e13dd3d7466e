"""Figures of a simulation: area under the curve, labels to a target with intervals, and the table that is printed."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

Floats = NDArray[np.float64]
RESAMPLES = 2000


def aubc(labels_B: Sequence[int], accuracy_B: Floats) -> float:
    """Area under accuracy over labels, divided by the range of labels (trapezoids): the mean accuracy on the way."""
    if len(labels_B) < 2:
        return float(accuracy_B[0])
    width = np.diff(np.asarray(labels_B, dtype=np.float64))
    heights = (np.asarray(accuracy_B)[1:] + np.asarray(accuracy_B)[:-1]) / 2
    return float((width * heights).sum() / width.sum())


def labels_to(labels_B: Sequence[int], accuracy_B: Floats, target: float) -> int | None:
    """The first measured budget at which the accuracy is `target` or more; None when it never is."""
    reached = np.flatnonzero(np.asarray(accuracy_B) >= target)
    return int(labels_B[reached[0]]) if len(reached) else None


def arm(labels_B: Sequence[int], curves_SB: Floats, target: float) -> dict[str, Any]:
    """One strategy over all seeds: mean curve, AUBC with its standard error, labels to the target with 95 % interval."""
    areas_S = np.array([aubc(labels_B, curve) for curve in curves_SB])
    middle = labels_to(labels_B, curves_SB.mean(axis=0), target)
    resampled = [_or_beyond(labels_B, labels_to(labels_B, m, target)) for m in _resampled_means(curves_SB)]
    low, high = np.quantile(resampled, [0.025, 0.975])
    return {
        "curves": np.round(curves_SB, 5).tolist(),
        "mean": np.round(curves_SB.mean(axis=0), 5).tolist(),
        "aubc": float(areas_S.mean()),
        "aubc_se": float(areas_S.std(ddof=1) / np.sqrt(len(areas_S))) if len(areas_S) > 1 else None,
        "labels_to_target": middle,
        "labels_to_target_low": float(low),
        "labels_to_target_high": None if high > labels_B[-1] else float(high),
        "labels_to_target_per_seed": [labels_to(labels_B, curve, target) for curve in curves_SB],
    }


def against_random(labels_B: Sequence[int], curves_SB: Floats, random_SB: Floats, target: float) -> dict[str, Any]:
    """Paired over seeds: the gain in AUBC and the share of labels saved at the target, each with 95 % interval.

    A mean curve that never reaches the target counts as one step beyond the budget, so that savings are understated.
    """
    gains_S = np.array([aubc(labels_B, c) - aubc(labels_B, r) for c, r in zip(curves_SB, random_SB, strict=True)])
    pairs = zip(_resampled_means(curves_SB), _resampled_means(random_SB), strict=True)  # the same seeds are drawn
    saved = [_saving(labels_B, own, rand, target) for own, rand in pairs]
    draws = np.random.default_rng(0).integers(len(gains_S), size=(RESAMPLES, len(gains_S)))
    return {
        "aubc_gain": float(gains_S.mean()),
        "aubc_gain_interval": np.quantile(gains_S[draws].mean(axis=1), [0.025, 0.975]).tolist(),
        "saved": _saving(labels_B, curves_SB.mean(axis=0), random_SB.mean(axis=0), target),
        "saved_interval": np.quantile(saved, [0.025, 0.975]).tolist(),
    }


def table(result: dict[str, Any]) -> Table:
    """The printed table: accuracy at a few budgets, AUBC, labels to the target and labels saved against random."""
    labels_B, target = result["labels"], result["target"]
    after_rounds = {bisect.bisect_left(labels_B, at) for at in result["plan"]["rounds_at"]}
    some = {0, 1, len(labels_B) // 4, len(labels_B) // 2, len(labels_B) - 1} | after_rounds
    shown = sorted(some & set(range(len(labels_B))))
    out = Table(title=f"{result['name']}: test accuracy by labels, {result['seeds']} seeds", caption=result["measured"])
    for column in ["strategy", *[f"@{labels_B[b]}" for b in shown], "AUBC", f"labels to {target:g}", "saved (95 %)"]:
        out.add_column(column, justify="left" if column == "strategy" else "right", no_wrap=True)
    for name, figures in result["strategies"].items():
        se = figures["aubc_se"]
        high = figures["labels_to_target_high"]
        reached = figures["labels_to_target"]
        versus = figures.get("against_random")
        out.add_row(
            name,
            *[f"{figures['mean'][b]:.3f}" for b in shown],
            f"{figures['aubc']:.4f}" + (f" ± {se:.4f}" if se is not None else ""),
            f"{reached if reached is not None else 'never'} [{figures['labels_to_target_low']:.0f}, "
            f"{'never' if high is None else f'{high:.0f}'}]",
            ""
            if versus is None
            else f"{versus['saved']:.0%} [{versus['saved_interval'][0]:.0%}, {versus['saved_interval'][1]:.0%}]",
        )
    return out


def _resampled_means(curves_SB: Floats) -> list[Floats]:
    draws = np.random.default_rng(0).integers(len(curves_SB), size=(RESAMPLES, len(curves_SB)))
    return list(curves_SB[draws].mean(axis=1))


def _or_beyond(labels_B: Sequence[int], reached: int | None) -> float:
    step = labels_B[-1] - labels_B[-2] if len(labels_B) > 1 else labels_B[-1]
    return float(labels_B[-1] + step if reached is None else reached)


def _saving(labels_B: Sequence[int], own_B: Floats, random_B: Floats, target: float) -> float:
    own, rand = (_or_beyond(labels_B, labels_to(labels_B, curve, target)) for curve in (own_B, random_B))
    return 1.0 - own / rand
