"""Uncertainty of predictions from posterior draws: total, aleatoric, epistemic and the margin of the mean."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import special

from model import chunks, errors

Floats = npt.NDArray[np.float64]
NORMALISED = 0.02  # half-precision files are normalised to about 0.5 %


@dataclass(frozen=True)
class Uncertainty:
    """Per image: entropies in nats, margin and largest mean probability in 0..1, the mean as log-probabilities."""

    total_N: Floats
    aleatoric_N: Floats
    epistemic_N: Floats
    margin_N: Floats
    confidence_N: Floats
    mean_NK: Floats  # of no rows where it was not wanted


def decompose(log_probs_NSK: npt.ArrayLike, *, with_mean: bool = True) -> Uncertainty:
    """Total = entropy of the mean of S draws, aleatoric = mean entropy of the draws, epistemic = their difference.

    The difference is the mutual information between label and weights (BALD, Houlsby et al. 2011). Draws are read a
    piece at a time, in single precision unless they are double. BadInput when
    the array has not three axes, NotFinite when a row is not a distribution; minus infinity
    (probability zero) is allowed, NaN is not.
    """
    draws = np.asarray(log_probs_NSK)
    if draws.ndim != 3 or 0 in draws.shape[1:]:
        raise errors.BadInput(f"log_probs_NSK must have the axes (images, draws, classes), it has shape {draws.shape}")
    columns = np.empty((4, len(draws)))
    mean_NK = np.empty((len(draws) if with_mean else 0, draws.shape[2]))

    def work(rows: slice) -> None:
        columns[:, rows] = _decompose_piece(draws[rows], rows.start)
        if with_mean:
            piece = np.asarray(draws[rows], dtype=np.float64)
            mean_NK[rows] = special.logsumexp(piece, axis=1) - np.log(piece.shape[1])

    chunks.each(work, len(draws), draws.shape[1] * draws.shape[2])
    total_N, aleatoric_N, margin_N, confidence_N = columns
    epistemic_N = np.maximum(total_N - aleatoric_N, 0.0)
    return Uncertainty(total_N, aleatoric_N, epistemic_N, margin_N, confidence_N, mean_NK)


def probs(log_probs: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """exp in single precision, or double where it is given. Half precision has 65,536 values: a table tells them."""
    if log_probs.dtype == np.float16:
        return np.take(_half_tables()[0], log_probs.view(np.uint16))
    with np.errstate(over="ignore"):
        return np.exp(log_probs if log_probs.dtype == np.float64 else log_probs.astype(np.float32, copy=False))


def margin(log_probs_NK: npt.ArrayLike) -> Floats:
    """Difference of the two largest probabilities of each row: 0 undecided, 1 certain (1 with a single class)."""
    top_N, second_N = _two_largest(np.exp(np.asarray(log_probs_NK, dtype=np.float64)))
    return np.asarray(top_N - second_N)


def entropy(log_probs: npt.ArrayLike) -> Floats:
    """Entropy in nats over the last axis; probability zero adds nothing."""
    return np.asarray(special.entr(np.exp(np.asarray(log_probs, dtype=np.float64))).sum(axis=-1))


@cache
def _half_tables() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """For each half-precision number l, by its bits: exp(l), and -l exp(l)."""
    with np.errstate(all="ignore"):
        logs = np.arange(65_536, dtype=np.uint16).view(np.float16).astype(np.float64)
        found = np.exp(logs)
        return found.astype(np.float32), np.where(found == 0, 0.0, -logs * found).astype(np.float32)


def _mean_entropy(draws_BSK: npt.NDArray[np.floating], probs_BSK: npt.NDArray[np.floating]) -> Floats:
    """Entropy of each draw, averaged over the draws -> (B,)."""
    if draws_BSK.dtype == np.float16:
        return np.take(_half_tables()[1], draws_BSK.view(np.uint16)).sum(axis=2).mean(axis=1)
    logs = draws_BSK if np.isfinite(draws_BSK.min()) else np.where(probs_BSK == 0, 0.0, draws_BSK)
    return np.asarray(-np.einsum("bsk,bsk->bs", probs_BSK, logs.astype(probs_BSK.dtype, copy=False)).mean(axis=1))


def _two_largest(probs_NK: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
    """The two largest of each row (the second is zero with a single class); the largest are overwritten."""
    rows, at = np.arange(len(probs_NK)), probs_NK.argmax(axis=1)
    top_N = probs_NK[rows, at]
    probs_NK[rows, at] = 0.0
    return top_N, probs_NK.max(axis=1)


def _decompose_piece(draws_BSK: npt.NDArray[np.floating], offset: int) -> tuple[npt.ArrayLike, ...]:
    """Total, aleatoric, margin and confidence; names the first row that is no distribution, counted from `offset`."""
    probs_BSK = probs(draws_BSK)
    fine = np.abs(probs_BSK.sum(axis=2) - 1.0).max(axis=1) < NORMALISED  # NaN fails the comparison
    if not fine.all():
        at = offset + int(fine.argmin())
        raise errors.NotFinite(f"log_probs_NSK is not a finite, normalised distribution at image {at}")
    aleatoric_B = _mean_entropy(draws_BSK, probs_BSK)
    mean_BK = probs_BSK.mean(axis=1)
    total_B = aleatoric_B if draws_BSK.shape[1] == 1 else special.entr(mean_BK).sum(axis=1)
    top_B, second_B = _two_largest(mean_BK)
    return np.maximum(total_B, 0.0), np.maximum(aleatoric_B, 0.0), top_B - second_B, top_B
