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
    """Weights of the seen classes and the factor of their shared posterior covariance."""

    weights_RK: Doubles
    covariance_factor_RR: Doubles  # L with L L^T = inverse of the posterior precision, for unit noise


def solve(
    x_NR: Floats,
    labelled: Ints,
    targets_LK: Doubles,
    *,
    recipe: Recipe,
    usable_N: npt.NDArray[np.bool_],
    picked_L: npt.NDArray[np.bool_] | None = None,
) -> Solution:
    """Fit K seen classes on the `labelled` rows' targets (rows sum to one, one-hot or soft), then on the usable pool.

    `pseudo_weight` zero gives the plain ridge fit. Rows outside `usable_N` (rejected images) never teach. Labels that
    were picked for their class (`picked_L`) teach, but do not say how frequent the class is among the pool.
    """
    label_weights_L = targets_LK @ np.maximum(targets_LK.sum(axis=0), 1e-9) ** -recipe.balance
    label_weights_L /= label_weights_L.mean()
    weights_RK = _ridge(x_NR[labelled], targets_LK, label_weights_L, recipe.ridge)
    pool_N = usable_N.copy()
    pool_N[labelled] = False
    pool = np.flatnonzero(pool_N)
    if recipe.pseudo_weight <= 0 or not len(pool) or targets_LK.shape[1] < 2:
        return Solution(
            weights_RK, _covariance_factor(x_NR[labelled], recipe.label_weight * label_weights_L, recipe.ridge)
        )
    x_MR = x_NR[np.concatenate([labelled, pool])]
    sure_L = recipe.label_weight * label_weights_L
    counts_K = targets_LK.sum(axis=0) if picked_L is None else targets_LK[~picked_L].sum(axis=0)
    weights_RK = _self_train(x_MR, targets_LK, sure_L, weights_RK, recipe, counts_K)
    evidence_M = np.concatenate([sure_L, np.full(len(pool), recipe.pseudo_weight * recipe.pseudo_evidence)])
    return Solution(weights_RK, _covariance_factor(x_MR, evidence_M, recipe.ridge))


def _self_train(
    x_MR: Floats, told_LK: Doubles, sure_L: Doubles, weights_RK: Doubles, recipe: Recipe, counts_K: Doubles
) -> Doubles:
    """Weights after `passes` of pseudo-labelling; the first L rows are labelled, the rest is the pool.

    `counts_K` are the labels that tell how frequent the classes are.
    """
    taught = len(told_LK)
    priors_K = (counts_K + 1.0) / (counts_K.sum() + len(counts_K))
    for step in range(recipe.passes):
        soft_PK = _soften(x_MR[taught:] @ weights_RK, recipe.sharpness)
        if step:
            priors_K = _estimate_priors(soft_PK, counts_K)
        soft_PK = balance(soft_PK, priors_K)
        share = recipe.first_share + (1 - recipe.first_share) * step / max(1, recipe.passes - 1)
        weights_M = np.concatenate([sure_L, recipe.pseudo_weight * _most_confident(soft_PK, share)])
        targets_MK = np.concatenate([told_LK, soft_PK])
        weights_RK = _ridge(x_MR, targets_MK, _even_out(targets_MK, weights_M, recipe.balance), recipe.ridge)
    return weights_RK


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


def _estimate_priors(soft_PK: Doubles, counts_K: Doubles) -> Doubles:
    """Shares of labels and pool, drawn towards even ones: estimated alone, an over-predicted class feeds itself.

    The pull is half, and less where the labels' counts are uneven beyond chance (positive-part Stein shrinkage by
    their chi-square), so that a long tail is not flattened.
    """
    classes, labels = len(counts_K), counts_K.sum()
    pooled_K = (soft_PK.sum(axis=0) + labels * (counts_K + 1.0) / (labels + classes)) / (len(soft_PK) + labels)
    chi_square = float(((counts_K - labels / classes) ** 2).sum() * classes / labels)
    trust = max(0.5, 1.0 - (classes - 1) / max(chi_square, 1e-9))
    return np.asarray(trust * pooled_K + (1.0 - trust) / classes)


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
    roots_M1 = np.sqrt(weights_M)[:, None].astype(np.float32)
    scaled_MR = x_MR * roots_M1
    right_RK = scaled_MR.T @ ((targets_MK - centre_K).astype(np.float32) * roots_M1)
    return np.asarray(linalg.cho_solve((_precision_factor(scaled_MR, ridge), False), right_RK.astype(np.float64)))


def _covariance_factor(x_MR: Floats, weights_M: Doubles, ridge: float) -> Doubles:
    upper_RR = _precision_factor(x_MR * np.sqrt(weights_M)[:, None].astype(np.float32), ridge)
    # precision = U^T U, so its inverse is U^-1 U^-T
    return np.asarray(linalg.solve_triangular(upper_RR, np.eye(len(upper_RR)), lower=False))


def _precision_factor(scaled_MR: Floats, ridge: float) -> Doubles:
    """Upper Cholesky factor of X^T X + ridge, X already scaled by the roots of its weights."""
    # BLAS's syrk computes one triangle only: half the work of a product; it wants Fortran order, which is X^T here
    gram_RR = linalg.blas.ssyrk(1.0, scaled_MR.T, lower=0).astype(np.float64)
    gram_RR[np.diag_indices_from(gram_RR)] += ridge
    return np.asarray(linalg.cholesky(gram_RR, lower=False, check_finite=False))
