"""How right the model is over all images, without bias, from blind answers; and how much two models agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model import errors

Z = 1.959964


@dataclass(frozen=True)
class Estimate:
    """Accuracy over all images with its 95 % interval; `answers` blind answers, worth `effective` plain draws."""

    accuracy: float
    low: float
    high: float
    answers: int
    effective: float


def accuracy(
    holdout_right_H: npt.ArrayLike,
    *,
    audit_right_A: npt.ArrayLike = (),
    open_A: npt.ArrayLike = (),
    asked_A: npt.ArrayLike = (),
    asked_right_A: npt.ArrayLike = (),
) -> Estimate:
    """Accuracy over all images from holdout answers (even draws) and audits (even draws from what was open).

    An audit came when open_A images were open (one over its propensity) and asked_A had been asked, of which the model
    gets asked_right_A right out of sample. Then (asked_right + open * right) / (asked + open) is unbiased for the share
    right of the whole pool, although the open images are those that the model finds easy: inverse propensity plus what
    is known (Farquhar, Gal and Rainforth 2021, arXiv 2101.11665, their R_pure). It varies less than a plain draw by
    (open / all)^2, so that many audits are worth answers / mean((open / all)^2) draws; both kinds are averaged with
    these weights, and the interval is Wilson's on their sum. All `right` are out of sample.
    """
    held, audits = np.asarray(holdout_right_H, dtype=np.float64), np.asarray(audit_right_A, dtype=np.float64)
    still, asked, known = (np.asarray(each, dtype=np.float64) for each in (open_A, asked_A, asked_right_A))
    if not len(audits) == len(still) == len(asked) == len(known):
        raise errors.BadInput(f"{len(audits)} audits, but {len(still)}, {len(asked)} and {len(known)} figures of them")
    if not len(held) and not len(audits):
        return Estimate(float("nan"), 0.0, 1.0, 0, 0.0)
    whole = still + asked
    worth = len(audits) / float(np.mean((still / whole) ** 2)) if len(audits) else 0.0
    total = float(((known + still * audits) / whole).mean()) * worth if len(audits) else 0.0
    effective = len(held) + worth
    share = min(1.0, max(0.0, (float(held.sum()) + total) / effective))
    low, high = _wilson(share, effective)
    return Estimate(share, low, high, len(held) + len(audits), effective)


def _wilson(share: float, n: float) -> tuple[float, float]:
    square = Z * Z / n
    centre, half = share + square / 2, Z * np.sqrt(share * (1 - share) / n + square / (4 * n))
    return max(0.0, float((centre - half) / (1 + square))), min(1.0, float((centre + half) / (1 + square)))


def kappa(first_N: npt.ArrayLike, second_N: npt.ArrayLike) -> float:
    """Cohen's kappa of two labellings: agreement beyond chance, 1 when they are the same."""
    one, two = np.asarray(first_N), np.asarray(second_N)
    if one.shape != two.shape or not len(one):
        raise errors.BadInput(f"two labellings of the same images are needed, not of {one.shape} and {two.shape}")
    classes, codes = np.unique(np.concatenate([one, two]), return_inverse=True)
    shares = [np.bincount(part, minlength=len(classes)) / len(one) for part in (codes[: len(one)], codes[len(one) :])]
    chance, same = float(shares[0] @ shares[1]), float((one == two).mean())
    return 1.0 if chance >= 1.0 else (same - chance) / (1 - chance)
