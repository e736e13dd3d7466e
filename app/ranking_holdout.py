"""What the answered holdout says of a fitted last layer: its temperature, how good it is, and by which uncertainty to ask."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.ranking_spots import Spots
from model import calibration, last_layer, roc, shares, uncertainty

Floats = NDArray[np.floating]

CALIBRATED_FROM = 20  # holdout answers from which probabilities may be called calibrated


def measure(
    layer: last_layer.LastLayer, x_NR: Floats, spots: Spots
) -> tuple[last_layer.LastLayer, dict[str, Any], bool]:
    """Temperature from the calibration half (cross-validated while small), accuracy and calibration on the holdout.

    -> (the layer with that temperature, figures, whether its probabilities may be called calibrated).
    """
    held = len(spots.held_N)
    if not held:
        return layer, {}, False
    half_N = spots.held_halves_N == 1
    if half_N.sum() >= CALIBRATED_FROM // 2:
        scores = layer.log_probs_at(x_NR[spots.held_N[half_N]])
        layer = layer.tempered(calibration.fit_temperature(scores, spots.held_labels_N[half_N]))
    log_probs_NK = layer.log_probs_at(x_NR[spots.held_N])
    right = int((log_probs_NK.argmax(axis=1) == spots.held_labels_N).sum())
    low, high = shares.wilson(right, held)
    figures = {"accuracy": right / held, "low": low, "high": high, **_calibration(log_probs_NK, spots, half_N)}
    return layer, figures, held >= CALIBRATED_FROM


def _calibration(log_probs_NK: Floats, spots: Spots, half_N: NDArray[np.bool_]) -> dict[str, Any]:
    """ECE, NLL and Brier on the test half, which never set the temperature; all answers while that half is small."""
    use_N = ~half_N if (~half_N).sum() >= CALIBRATED_FROM else np.ones(len(half_N), bool)
    log_probs, labels = log_probs_NK[use_N], spots.held_labels_N[use_N]
    return {
        "ece": calibration.ece(log_probs, labels),
        "nll": calibration.nll(log_probs, labels),
        "brier": calibration.brier(log_probs, labels),
        "reliability": [dataclasses.asdict(each) for each in calibration.reliability(log_probs, labels)],
    }


def better_uncertainty(draw: Callable[[Floats], Floats], x_NR: Floats, spots: Spots) -> dict[str, Any]:
    """Which uncertainty finds the mistakes better -> rank_by and both areas under the ROC curve (None: not known).

    `draw` gives the posterior draws that also rank the pool. As every choice, this one looks at the calibration half
    alone. The margin of the mean is what the literature found safe, so the epistemic part (the mutual information of
    the draws) must lead by more than two standard errors, on 20 answers at least with five right and five wrong ones.
    """
    half_N = spots.held_halves_N == 1
    told = uncertainty.decompose(draw(x_NR[spots.held_N[half_N]]))
    wrong_N = told.mean_NK.argmax(axis=1) != spots.held_labels_N[half_N]
    margin, epistemic = roc.area(-told.margin_N, wrong_N), roc.area(told.epistemic_N, wrong_N)
    found = roc.compare(-told.margin_N, told.epistemic_N, wrong_N) if len(wrong_N) >= CALIBRATED_FROM else None
    leads = found is not None and found.second_is_better()
    return {
        "rank_by": "epistemic" if leads else "margin",
        "auroc_margin": margin,
        "auroc_epistemic": epistemic,
    }
