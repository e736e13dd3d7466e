"""Self-training of the last layer: weighted ridge regression on labels and class-balanced pseudo-labels of the pool."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, special

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BALANCING_STEPS = 8


@dataclass(frozen=True)
class Recipe:
    """How labels and pseudo-labels are weighed; one setting for all sets (found on birds and groceries)."""

    ridge: float = 1.0
    passes: int = 5
    label_weight: float = 3.0
    pseudo_weight: float = 1.0
    sharpness: float = 2.0  # the pool's scores are divided by their spread and multiplied by this
    first_share: float = 0.5  # most confident share of the pool used in the first pass; all of it in the last
    balance: float = 0.5  # exponent of the inverse class counts that weigh labels and pseudo-labels
    pseudo_evidence: float = 0.1  # a pseudo-label's weight in the posterior's precision


@dataclass(frozen=True)
class Solution:
    """Weights of the seen classes, the factor of their shared posterior covariance and the estimated class priors."""

    weights_RK: Doubles
    covariance_factor_RR: Doubles  # L with L L^T = inverse of the posterior precision, for unit noise
    priors_K: Doubles


def solve(
    x_NR: Floats, labelled: Ints, labels: Ints, classes: int, *, recipe: Recipe, usable_N: npt.NDArray[np.bool_]
) -> Solution:
    """Fit `classes` seen classes (0..classes-1, each with a label) on `labelled` rows, then on the usable pool too.

    `pseudo_weight` zero gives the plain ridge fit. Rows outside `usable_N` (rejected images) never teach.
    """
    onehot_LK = np.eye(classes)[labels]
    counts_K = onehot_LK.sum(axis=0)
    label_weights_L = counts_K[labels] ** -recipe.balance
    label_weights_L /= label_weights_L.mean()
    weights_RK = _ridge(x_NR[labelled], onehot_LK, label_weights_L, recipe.ridge)
    priors_K = (counts_K + 1.0) / (len(labels) + classes)
    pool_N = usable_N.copy()
    pool_N[labelled] = False
    weigh_N = np.zeros(len(x_NR))
    weigh_N[labelled] = recipe.label_weight * label_weights_L
    if recipe.pseudo_weight > 0 and pool_N.any() and classes > 1:
        rows, targets_MK = np.concatenate([labelled, np.flatnonzero(pool_N)]), None
        x_MR, frequencies_K = x_NR[rows], priors_K
        for step in range(recipe.passes):
            soft_PK = _soften(x_MR[len(labelled) :] @ weights_RK, recipe.sharpness)
            if step:
                priors_K = _update_priors(soft_PK, frequencies_K, len(labels))
            soft_PK = balance(soft_PK, priors_K)
            share = recipe.first_share + (1 - recipe.first_share) * step / max(1, recipe.passes - 1)
            pseudo_P = recipe.pseudo_weight * _most_confident(soft_PK, share)
            targets_MK = np.concatenate([onehot_LK, soft_PK])
            row_weights_M = np.concatenate([recipe.label_weight * label_weights_L, pseudo_P])
            weights_RK = _ridge(x_MR, targets_MK, _even_out(targets_MK, row_weights_M, recipe.balance), recipe.ridge)
        weigh_N[rows[len(labelled) :]] = recipe.pseudo_evidence * pseudo_P
    return Solution(weights_RK, _covariance_factor(x_NR, weigh_N, recipe.ridge), priors_K)


def balance(probs_PK: Doubles, priors_K: Doubles) -> Doubles:
    """Rows rescaled by class until their mean is `priors_K` (Sinkhorn), so that no class swallows the pool."""
    scale_K = np.ones(len(priors_K))
    for _ in range(BALANCING_STEPS):
        rows_P = 1.0 / np.maximum(probs_PK @ scale_K, 1e-12)
        scale_K = priors_K * len(probs_PK) / np.maximum(rows_P @ probs_PK, 1e-12)
    balanced = probs_PK * scale_K
    return np.asarray(balanced / np.maximum(balanced.sum(axis=1, keepdims=True), 1e-12))


def _soften(scores_PK: Doubles, sharpness: float) -> Doubles:
    return np.asarray(special.softmax(sharpness * scores_PK / max(float(scores_PK.std()), 1e-9), axis=1))


def _update_priors(soft_PK: Doubles, frequencies_K: Doubles, labels: int) -> Doubles:
    # Half estimated from labels and pool, half even: estimated alone, a class that is over-predicted grows by itself.
    pooled_K = (soft_PK.sum(axis=0) + labels * frequencies_K) / (len(soft_PK) + labels)
    return np.asarray(0.5 * pooled_K + 0.5 / len(frequencies_K))


def _most_confident(soft_PK: Doubles, share: float) -> Doubles:
    if share >= 1.0:
        return np.ones(len(soft_PK))
    confidence_P = soft_PK.max(axis=1)
    return (confidence_P >= np.quantile(confidence_P, 1.0 - share)).astype(np.float64)


def _even_out(targets_MK: Doubles, weights_M: Doubles, exponent: float) -> Doubles:
    totals_K = weights_M @ targets_MK
    class_weights_K = np.maximum(totals_K / totals_K.mean(), 0.1) ** -exponent
    return np.asarray(weights_M * (targets_MK @ class_weights_K))


def _ridge(x_MR: Floats, targets_MK: Doubles, weights_M: Doubles, ridge: float) -> Doubles:
    centre_K = (weights_M @ targets_MK) / weights_M.sum()
    weighted_MR = x_MR * weights_M[:, None].astype(np.float32)
    gram_RR = (weighted_MR.T @ x_MR).astype(np.float64)
    gram_RR[np.diag_indices_from(gram_RR)] += ridge
    right_RK = (weighted_MR.T @ (targets_MK - centre_K).astype(np.float32)).astype(np.float64)
    return np.asarray(linalg.solve(gram_RR, right_RK, assume_a="pos"))


def _covariance_factor(x_NR: Floats, weights_N: Doubles, ridge: float) -> Doubles:
    used = weights_N > 0
    weighted_MR = x_NR[used] * np.sqrt(weights_N[used])[:, None].astype(np.float32)
    precision_RR = (weighted_MR.T @ weighted_MR).astype(np.float64)
    precision_RR[np.diag_indices_from(precision_RR)] += ridge
    upper_RR = linalg.cholesky(precision_RR, lower=False)  # precision = U^T U, so its inverse is U^-1 U^-T
    return np.asarray(linalg.solve_triangular(upper_RR, np.eye(len(upper_RR)), lower=False))
