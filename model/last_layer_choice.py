"""Choices of the last layer made by cross-validation on its own labels: self-training or not, sharpness, spread."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from model import last_layer_training
from model.last_layer_training import Doubles, Floats, Ints

FOLDS = 4
FOLD_POOL = 1500  # other rows used while cross-validating
FOLD_PASSES = 3
SHARPNESS = np.geomspace(0.5, 16.0, 16)  # candidates, in units of the pool's score spread
SPREADS = (0.1, 0.2, 0.4, 0.8)  # candidates, in units of the residual's standard deviation
USUAL_SHARPNESS, USUAL_SPREAD = 3.0, 0.2  # kept while labels say little
PRIOR_LABELS = 10.0  # weight of the usual values against the labels' own likelihood
FEWEST_FOR_DOUBT = 8  # held-out labels


@dataclass(frozen=True)
class Choice:
    """A solution on all labels with the scale of its logits and of its posterior draws."""

    solution: last_layer_training.Solution
    inverse_temperature: float
    spread: float
    self_trained: bool


def alpha(weight_noise: float, labels: int, classes: int) -> float:
    """Variance of a weight in units of its own square, less the more labels there are for a class.

    So a score is doubted that hangs on few directions (Gaussian dropout: Kingma, Salimans and Welling 2015, arXiv
    1506.02557). What `weight_noise` is, 0.2, was found on birds and groceries.
    """
    return weight_noise * classes / (labels + classes)


@dataclass(frozen=True)
class _OutOfFold:
    scores_LK: Doubles  # in units of the pool's score spread
    unit_L: Doubles  # posterior standard deviation for unit noise, in the same units
    noise_LK: Doubles  # variance by the noise of the weights, in the squares of these units
    targets_LK: Doubles

    @property
    def empty(self) -> bool:
        return not len(self.targets_LK)


def choose(
    x_NR: Floats,
    labelled: Ints,
    targets_LK: Doubles,
    *,
    recipe: last_layer_training.Recipe,
    usable_N: npt.NDArray[np.bool_],
    self_training: bool | None,
    rng: np.random.Generator,
    picked_L: npt.NDArray[np.bool_] | None = None,
    alpha: float = 0.0,
) -> Choice:
    """Solve on all labels, self-trained unless the labels left out of each fold say that it harms.

    `targets_LK` over the seen classes, one-hot or soft; every class is the likeliest of some row. Labels that were
    picked because the model was sure of them (`picked_L`) are never left out: they would say that it may be surer still.
    """
    classes, plain = targets_LK.shape[1], dataclasses.replace(recipe, pseudo_weight=0.0)
    if classes == 0:
        width = x_NR.shape[1]
        nothing = last_layer_training.Solution(np.empty((width, 0)), np.eye(width))
        return Choice(nothing, 1.0, 1.0, False)
    if classes < 2:
        solution = last_layer_training.solve(x_NR, labelled, targets_LK, recipe=plain, usable_N=usable_N)
        return Choice(solution, 1.0, 1.0, False)
    trained = True if self_training is None else self_training
    rows = _fold_rows(labelled, usable_N, rng)
    picked_L = np.zeros(len(labelled), dtype=bool) if picked_L is None else picked_L
    held = _cross_validate(x_NR, labelled, targets_LK, recipe if trained else plain, rows, picked_L, alpha)
    sharpness, spread, losses = _best_scales(held)
    if self_training is None and not held.empty:
        plain_held = _cross_validate(x_NR, labelled, targets_LK, plain, rows, picked_L, alpha)
        plain_sharpness, plain_spread, plain_losses = _best_scales(plain_held)
        if _harms(losses, plain_losses):
            trained, sharpness, spread = False, plain_sharpness, plain_spread
    used = recipe if trained else plain
    solution = last_layer_training.solve(x_NR, labelled, targets_LK, recipe=used, usable_N=usable_N, picked_L=picked_L)
    unit = _score_spread(x_NR, usable_N, solution)
    return Choice(solution, sharpness / unit, spread * _noise(classes), trained)


def _noise(classes: int) -> float:
    return float(np.sqrt((1.0 - 1.0 / classes) / classes))  # of a one-hot target around its mean


def _score_spread(x_NR: Floats, usable_N: npt.NDArray[np.bool_], solution: last_layer_training.Solution) -> float:
    return max(float((x_NR[usable_N] @ solution.weights_RK).std()), 1e-9)


def _fold_rows(labelled: Ints, usable_N: npt.NDArray[np.bool_], rng: np.random.Generator) -> Ints:
    others_N = usable_N.copy()
    others_N[labelled] = False
    others = np.flatnonzero(others_N)
    if len(others) > FOLD_POOL:
        others = np.sort(rng.choice(others, FOLD_POOL, replace=False))
    return np.concatenate([labelled, others])


def _cross_validate(
    x_NR: Floats,
    labelled: Ints,
    targets_LK: Doubles,
    recipe: last_layer_training.Recipe,
    rows: Ints,
    picked_L: npt.NDArray[np.bool_],
    alpha: float,
) -> _OutOfFold:
    """Scores of each label by a fit without it; the first label of every class, and those picked, are always taught."""
    classes = targets_LK.shape[1]
    rank_L = _rank_within_class(targets_LK.argmax(axis=1), classes)
    short = dataclasses.replace(recipe, passes=FOLD_PASSES)
    x_MR, scores, units, noises, truths = x_NR[rows], [], [], [], []
    for fold in range(FOLDS):
        held_L = (rank_L > 0) & (rank_L % FOLDS == fold) & ~picked_L
        if not held_L.any():
            continue
        usable_M = np.ones(len(rows), dtype=bool)
        taught = np.flatnonzero(~held_L)
        part = last_layer_training.solve(
            x_MR, taught, targets_LK[taught], recipe=short, usable_N=usable_M, picked_L=picked_L[taught]
        )
        unit = _score_spread(x_MR, usable_M, part)
        x_HR = x_MR[: len(labelled)][held_L]
        scores.append(x_HR @ part.weights_RK / unit)
        units.append(np.linalg.norm(x_HR @ part.covariance_factor_RR, axis=1) * _noise(classes) / unit)
        noises.append(alpha * (np.square(x_HR) @ np.square(part.weights_RK / unit)))
        truths.append(targets_LK[held_L])
    if not scores:
        nothing = np.empty((0, classes))
        return _OutOfFold(nothing, np.empty(0), nothing, nothing)
    return _OutOfFold(*(np.concatenate(each) for each in (scores, units, noises, truths)))


def _rank_within_class(labels: Ints, classes: int) -> Ints:
    rank_L = np.zeros(len(labels), dtype=np.int64)
    for c in range(classes):
        members = np.flatnonzero(labels == c)
        rank_L[members] = np.arange(len(members))
    return rank_L


def _best_scales(held: _OutOfFold) -> tuple[float, float, Doubles]:
    """Sharpness and spread of the least penalised likelihood -> (sharpness, spread, each label's loss there)."""
    if held.empty:
        return USUAL_SHARPNESS, USUAL_SPREAD, np.empty(0)
    best, kept = np.inf, (USUAL_SHARPNESS, USUAL_SPREAD, np.empty(0))
    for sharpness in SHARPNESS:
        for spread in SPREADS:
            losses = _losses(held, sharpness, spread)
            away = np.log(sharpness / USUAL_SHARPNESS) ** 2 + np.log(spread / USUAL_SPREAD) ** 2
            penalised = float(losses.sum() + PRIOR_LABELS * 0.5 * away)
            if penalised < best:
                best, kept = penalised, (float(sharpness), float(spread), losses)
    return kept


def _losses(held: _OutOfFold, sharpness: float, spread: float) -> Doubles:
    variance_LK = sharpness**2 * ((spread * held.unit_L[:, None]) ** 2 + held.noise_LK)
    log_probs_LK = special.log_softmax(sharpness * held.scores_LK / np.sqrt(1 + np.pi / 8 * variance_LK), axis=1)
    return np.asarray(-(held.targets_LK * log_probs_LK).sum(axis=1))


def _harms(losses: Doubles, plain_losses: Doubles) -> bool:
    """Whether self-training loses likelihood on unseen labels by more than two standard errors of the difference."""
    difference_L = losses - plain_losses
    if len(difference_L) < FEWEST_FOR_DOUBT:
        return False
    return bool(difference_L.mean() > 2.0 * difference_L.std(ddof=1) / np.sqrt(len(difference_L)))
