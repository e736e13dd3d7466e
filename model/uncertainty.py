"""Uncertainty of predictions from posterior draws: total, aleatoric, epistemic and the margin of the mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from model import errors

Floats = npt.NDArray[np.float64]
CHUNK_VALUES = 4_000_000  # draws held in double precision at once


@dataclass(frozen=True)
class Uncertainty:
    """Per image: entropies in nats, margin in 0..1, and the mean of the draws as log-probabilities."""

    total_N: Floats
    aleatoric_N: Floats
    epistemic_N: Floats
    margin_N: Floats
    mean_NK: Floats


def decompose(log_probs_NSK: npt.ArrayLike) -> Uncertainty:
    """Total = entropy of the mean of S draws, aleatoric = mean entropy of the draws, epistemic = their difference.

    The difference is the mutual information between label and weights (BALD, Houlsby et al. 2011). BadInput when
    the array has not three axes, NotFinite when a row is not a distribution; minus infinity
    (probability zero) is allowed, NaN is not.
    """
    draws = np.asarray(log_probs_NSK)
    if draws.ndim != 3 or 0 in draws.shape[1:]:
        raise errors.BadInput(f"log_probs_NSK must have the axes (images, draws, classes), it has shape {draws.shape}")
    step = max(1, CHUNK_VALUES // (draws.shape[1] * draws.shape[2]))
    parts = [_decompose_chunk(draws[at : at + step], at) for at in range(0, len(draws), step)]
    if not parts:
        empty = np.empty(0)
        return Uncertainty(empty, empty, empty, empty, np.empty((0, draws.shape[2])))
    return Uncertainty(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def margin(log_probs_NK: npt.ArrayLike) -> Floats:
    """Difference of the two largest probabilities of each row: 0 undecided, 1 certain (1 with a single class)."""
    probs_NK = np.exp(np.asarray(log_probs_NK, dtype=np.float64))
    if probs_NK.shape[1] < 2:
        return np.ones(len(probs_NK))
    top_N2 = np.partition(probs_NK, -2, axis=1)[:, -2:]
    return np.asarray(top_N2[:, 1] - top_N2[:, 0])


def entropy(log_probs: npt.ArrayLike) -> Floats:
    """Entropy in nats over the last axis; probability zero adds nothing."""
    return np.asarray(special.entr(np.exp(np.asarray(log_probs, dtype=np.float64))).sum(axis=-1))


def _decompose_chunk(draws_NSK: npt.NDArray[np.floating], offset: int) -> tuple[Floats, ...]:
    draws = np.asarray(draws_NSK, dtype=np.float64)
    mass_N = np.abs(np.exp(draws).sum(axis=2) - 1.0).max(axis=1)
    bad = ~(mass_N < 0.02)  # half-precision files are normalised to about 0.5 %; NaN fails the comparison
    if bad.any():
        at = offset + int(bad.argmax())
        raise errors.NotFinite(f"log_probs_NSK is not a finite, normalised distribution at image {at}")
    mean_NK = special.logsumexp(draws, axis=1) - np.log(draws.shape[1])
    total_N, aleatoric_N = entropy(mean_NK), entropy(draws).mean(axis=1)
    return total_N, aleatoric_N, np.maximum(total_N - aleatoric_N, 0.0), margin(mean_NK), mean_NK
