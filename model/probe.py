"""Linear probe: how much a frozen embedding tells of the classes, by logistic regression; imports no torch."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from model import errors

STRENGTHS = (
    1e-4,
    3e-4,
    1e-3,
    3e-3,
    0.01,
    0.03,
    0.1,
    0.3,
    1.0,
    3.0,
    10.0,
)  # C: weight of the data beside |w|^2 / 2
FOLDS = 5

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Result:
    """accuracy: on the test rows; C: the strength that the folds of the training rows chose; folds: their accuracy."""

    accuracy: float
    C: float
    folds: float


def linear(
    train_ND: Floats, train_labels_N: Ints, test_ND: Floats, test_labels_N: Ints, *, rng: np.random.Generator
) -> Result:
    """Standardise by the training rows, choose C by their stratified folds, fit on all of them, test."""
    if len(train_ND) < 2 * FOLDS or len(test_ND) == 0 or len(np.unique(train_labels_N)) < 2:
        raise errors.BadInput(
            f"{len(train_ND)} rows to train on and {len(test_ND)} to test on; give at least {2 * FOLDS} of two classes"
        )
    mean_D, std_D = train_ND.mean(0), train_ND.std(0)
    x_ND, test_ND = ((rows - mean_D) / np.maximum(std_D, 1e-6) for rows in (train_ND, test_ND))
    fold_N = _folds(train_labels_N, rng)
    told = {C: _across_folds(x_ND, train_labels_N, fold_N, C) for C in STRENGTHS}
    best = max(STRENGTHS, key=lambda C: told[C])
    weights = fit(x_ND, train_labels_N, C=best)
    return Result(float((predict(test_ND, weights) == test_labels_N).mean()), best, told[best])


def fit(x_ND: Floats, truth: Ints | Floats, *, C: float) -> Floats:
    """(K, D + 1): minimises C times the summed cross-entropy plus |w|^2 / 2; the last column, the bias, goes free.

    `truth`: a class index for each row, or probabilities (N, K)."""
    truth_NK = truth if truth.ndim == 2 else np.eye(int(truth.max()) + 1)[truth]
    classes, ones_ND = truth_NK.shape[1], np.hstack([x_ND, np.ones((len(x_ND), 1))])

    def cost(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(classes, -1)
        log_NK = special.log_softmax(ones_ND @ weights.T, axis=1)
        slope = C * (np.exp(log_NK) - truth_NK).T @ ones_ND
        slope[:, :-1] += weights[:, :-1]
        return float(-C * (log_NK * truth_NK).sum() + 0.5 * (weights[:, :-1] ** 2).sum()), slope.ravel()

    start = np.zeros(classes * ones_ND.shape[1])
    found = optimize.minimize(cost, start, jac=True, method="L-BFGS-B", options={"maxiter": 300})
    answer: Floats = found.x.reshape(classes, -1)
    return answer


def predict(x_ND: Floats, weights: Floats) -> Ints:
    """The likeliest class of each row."""
    answer: Ints = (x_ND @ weights[:, :-1].T + weights[:, -1]).argmax(axis=1)
    return answer


def _folds(labels_N: Ints, rng: np.random.Generator) -> Ints:
    """Which fold each row is tested in; every class is spread over all."""
    fold_N = np.empty(len(labels_N), np.int64)
    for k in np.unique(labels_N):
        members = rng.permutation(np.flatnonzero(labels_N == k))
        fold_N[members] = (np.arange(len(members)) + k) % FOLDS
    return fold_N


def _across_folds(x_ND: Floats, labels_N: Ints, fold_N: Ints, C: float) -> float:
    """Accuracy of the rows when each is left out with its fold."""
    right = 0
    for fold in range(FOLDS):
        kept = fold_N != fold
        right += int((predict(x_ND[~kept], fit(x_ND[kept], labels_N[kept], C=C)) == labels_N[~kept]).sum())
    return right / len(labels_N)
