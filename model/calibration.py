"""How far probabilities can be believed: temperature, calibration error, and scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from model import errors

Floats = npt.NDArray[np.float64]
CROSS_VALIDATE_UNDER = 50  # labels
LOG_TEMPERATURE_BOUNDS = (np.log(0.05), np.log(20.0))


@dataclass(frozen=True)
class Temperature:
    """The divisor of the logits, and the negative log-likelihoods (nats per label) before and after.

    `nll_after` is out of fold when `cross_validated`: it then says what the temperature does to unseen labels.
    """

    value: float
    nll_before: float
    nll_after: float
    cross_validated: bool
    n: int


@dataclass(frozen=True)
class Bin:
    """One bin of a reliability diagram: confidences in (low, high], their mean, the accuracy there, and the count."""

    low: float
    high: float
    confidence: float
    accuracy: float
    count: int


def temper(log_probs_NK: npt.ArrayLike, temperature: float) -> Floats:
    """Log-probabilities (or logits) divided by `temperature` and normalised again."""
    logits_NK = np.asarray(log_probs_NK, dtype=np.float64) / float(temperature)
    return np.asarray(special.log_softmax(logits_NK, axis=1))


def fit_temperature(log_probs_NK: npt.ArrayLike, labels_N: npt.ArrayLike, *, folds: int = 5) -> float:
    """The divisor of the logits alone; see `measure_temperature`."""
    return measure_temperature(log_probs_NK, labels_N, folds=folds).value


def measure_temperature(log_probs_NK: npt.ArrayLike, labels_N: npt.ArrayLike, *, folds: int = 5) -> Temperature:
    """The temperature of least negative log-likelihood (Guo et al. 2017).

    Under 50 labels the fit is cross-validated over `folds` (label i in fold i mod folds): when the temperature does
    not better the likelihood out of fold, 1.0 is kept. Without labels the temperature is 1.0.
    """
    logits_NK, labels = _checked(log_probs_NK, labels_N)
    if not len(labels):
        return Temperature(1.0, float("nan"), float("nan"), True, 0)
    before = nll(logits_NK, labels)
    value = _best_temperature(logits_NK, labels)
    if len(labels) >= CROSS_VALIDATE_UNDER:
        return Temperature(value, before, nll(temper(logits_NK, value), labels), False, len(labels))
    after = _out_of_fold_nll(logits_NK, labels, min(folds, len(labels)))
    return Temperature(value if after < before else 1.0, before, min(after, before), True, len(labels))


def nll(log_probs_NK: npt.ArrayLike, labels_N: npt.ArrayLike) -> float:
    """Mean negative log-likelihood in nats; a label of probability zero counts as 1e-12."""
    log_probs, labels = _checked(log_probs_NK, labels_N)
    picked_N = special.log_softmax(log_probs, axis=1)[np.arange(len(labels)), labels]
    return float(-np.maximum(picked_N, np.log(1e-12)).mean()) if len(labels) else float("nan")


def brier(log_probs_NK: npt.ArrayLike, labels_N: npt.ArrayLike) -> float:
    """Mean squared distance between the probabilities and the one-hot label (0 best, 2 worst)."""
    log_probs, labels = _checked(log_probs_NK, labels_N)
    errors_NK = np.exp(log_probs)
    errors_NK[np.arange(len(labels)), labels] -= 1.0
    return float((errors_NK**2).sum(axis=1).mean()) if len(labels) else float("nan")


def reliability(log_probs_NK: npt.ArrayLike, labels_N: npt.ArrayLike, *, bins: int = 15) -> list[Bin]:
    """Equal-width bins of the largest probability, empty ones left out."""
    log_probs, labels = _checked(log_probs_NK, labels_N)
    confidence_N = np.exp(log_probs.max(axis=1)) if len(labels) else np.empty(0)
    right_N = log_probs.argmax(axis=1) == labels
    which_N = np.clip(np.ceil(confidence_N * bins).astype(int) - 1, 0, bins - 1)
    diagram = []
    for b in range(bins):
        inside = which_N == b
        if inside.any():
            mean = float(confidence_N[inside].mean())
            diagram.append(Bin(b / bins, (b + 1) / bins, mean, float(right_N[inside].mean()), int(inside.sum())))
    return diagram


def ece(log_probs_NK: npt.ArrayLike, labels_N: npt.ArrayLike, *, bins: int = 15) -> float:
    """Expected calibration error: the bins' |accuracy - confidence|, weighted by their counts (0..1)."""
    diagram = reliability(log_probs_NK, labels_N, bins=bins)
    total = sum(b.count for b in diagram)
    return sum(b.count * abs(b.accuracy - b.confidence) for b in diagram) / total if total else float("nan")


def _best_temperature(logits_NK: Floats, labels: npt.NDArray[np.int64]) -> float:
    found = optimize.minimize_scalar(
        lambda log_t: nll(temper(logits_NK, float(np.exp(log_t))), labels),
        bounds=LOG_TEMPERATURE_BOUNDS,
        method="bounded",
    )
    return float(np.exp(found.x))


def _out_of_fold_nll(logits_NK: Floats, labels: npt.NDArray[np.int64], folds: int) -> float:
    if folds < 2:
        return float("inf")
    fold_N, total = np.arange(len(labels)) % folds, 0.0
    for fold in range(folds):
        value = _best_temperature(logits_NK[fold_N != fold], labels[fold_N != fold])
        held = fold_N == fold
        total += nll(temper(logits_NK[held], value), labels[held]) * int(held.sum())
    return total / len(labels)


def _checked(log_probs_NK: npt.ArrayLike, labels_N: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.int64]]:
    log_probs, labels = np.array(log_probs_NK, dtype=np.float64), np.asarray(labels_N, dtype=np.int64)
    if log_probs.ndim != 2 or labels.shape != (len(log_probs),):
        raise errors.BadInput(f"{log_probs.shape} log-probabilities do not fit {labels.shape} labels")
    if np.isnan(log_probs).any() or np.isposinf(log_probs).any():
        raise errors.NotFinite("log_probs_NK holds NaN or infinity")
    if ((labels < 0) | (labels >= log_probs.shape[1])).any():
        last = log_probs.shape[1] - 1
        raise errors.BadInput(f"labels run from {labels.min()} to {labels.max()}, classes from 0 to {last}")
    return log_probs, labels
