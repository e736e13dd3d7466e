"""Uncertainty of predictions from posterior draws: total, aleatoric, epistemic and the margin of the mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from model import chunks, errors, streamed

Floats = npt.NDArray[np.float64]
HALF_MINUS_INFINITY = 0xFC00  # its bits, above those of every finite number
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


def decompose(log_probs_NSK: npt.ArrayLike | streamed.Streamed, *, with_mean: bool = True) -> Uncertainty:
    """Total = entropy of the mean of S draws, aleatoric = mean entropy of the draws, epistemic = their difference.

    The difference is the mutual information between label and weights (BALD, Houlsby et al. 2011). Draws are read a
    piece at a time, each piece once, in single precision unless they are double. BadInput when
    the array has not three axes, NotFinite when a row is not a distribution; minus infinity
    (probability zero) is allowed, NaN is not.
    """
    draws = streamed.as_draws(log_probs_NSK)
    if draws.ndim != 3 or 0 in draws.shape[1:]:
        raise errors.BadInput(f"log_probs_NSK must have the axes (images, draws, classes), it has shape {draws.shape}")
    columns = np.empty((4, len(draws)))
    mean_NK = np.empty((len(draws) if with_mean else 0, draws.shape[2]))

    def work(rows: slice) -> None:
        piece_BSK = draws[rows]
        columns[:, rows] = _decompose_piece(piece_BSK, rows.start)
        if with_mean:
            mean_NK[rows] = special.logsumexp(piece_BSK.astype(np.float64), axis=1) - np.log(piece_BSK.shape[1])

    chunks.each(work, len(draws), draws.shape[1] * draws.shape[2])
    total_N, aleatoric_N, margin_N, confidence_N = columns
    epistemic_N = np.maximum(total_N - aleatoric_N, 0.0)
    return Uncertainty(total_N, aleatoric_N, epistemic_N, margin_N, confidence_N, mean_NK)


def two_likeliest(log_probs_NK: npt.NDArray[np.floating]) -> tuple[Floats, Floats]:
    """The two largest probabilities of each row, the second zero with a single class -> (top_N, second_N).

    Nothing else is turned into a probability, so a million rows of 200 in half precision take a tenth of a second.
    NotFinite names a row whose two largest show that it cannot sum to one.
    """
    log_probs_NK = np.asarray(log_probs_NK)
    logs_2N = np.empty((2, len(log_probs_NK)))

    def work(rows: slice) -> None:
        logs_2N[:, rows] = _two_largest_logs(log_probs_NK[rows])

    chunks.each(work, *log_probs_NK.shape)
    with np.errstate(over="ignore"):
        top_N, second_N = np.exp(logs_2N)
    fine = (top_N + second_N < 1.0 + NORMALISED) & (top_N + (log_probs_NK.shape[1] - 1) * second_N > 1.0 - NORMALISED)
    if not fine.all():
        raise errors.NotFinite(f"log_probs_NSK is not a finite, normalised distribution at image {int(fine.argmin())}")
    return top_N, second_N


def probs(log_probs: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """exp in single precision, or double where that is given."""
    with np.errstate(over="ignore"):
        return np.exp(_at_least_single(log_probs))


def mean_probs(log_probs_BSK: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Probabilities averaged over the draws -> (B, K), the caller's own."""
    return _mean(probs(log_probs_BSK))


def _mean(probs_BSK: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    return probs_BSK[:, 0] if probs_BSK.shape[1] == 1 else probs_BSK.mean(axis=1)


def margin(log_probs_NK: npt.ArrayLike) -> Floats:
    """Difference of the two largest probabilities of each row: 0 undecided, 1 certain (1 with a single class)."""
    return margin_of(np.exp(np.asarray(log_probs_NK, dtype=np.float64)))


def margin_of(probs_NK: npt.NDArray[np.floating]) -> Floats:
    """As `margin`, of probabilities, which are the caller's own and are overwritten."""
    top_N, second_N = _two_largest(probs_NK)
    return np.asarray(top_N - second_N, dtype=np.float64)


def entropy(log_probs: npt.ArrayLike) -> Floats:
    """Entropy in nats over the last axis; probability zero adds nothing."""
    return np.asarray(special.entr(np.exp(np.asarray(log_probs, dtype=np.float64))).sum(axis=-1))


def _at_least_single(values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Half precision by its bits, six times as fast as NumPy; its infinities become 65,536, with their sign."""
    if values.dtype != np.float16:
        return values if values.dtype == np.float64 else values.astype(np.float32, copy=False)
    bits = values.view(np.int16).astype(np.int32)
    bits <<= 13  # sign, exponent and mantissa to their places in single precision ...
    bits &= ~0x70000000  # ... without the copies of the sign, which int32 has spread
    singles = bits.view(np.float32)
    singles *= np.float32(2.0**112)  # the exponents' offsets differ by 127 - 15
    return singles


def _mean_entropy(logs_BSK: npt.NDArray[np.floating], probs_BSK: npt.NDArray[np.floating]) -> Floats:
    """Entropy of each draw, averaged over the draws -> (B,)."""
    if not np.isfinite(logs_BSK.min()):
        logs_BSK = np.where(probs_BSK == 0, 0.0, logs_BSK)
    return np.asarray(-np.einsum("bsk,bsk->bs", probs_BSK, logs_BSK).mean(axis=1))


def _two_largest_logs(logs_BK: npt.NDArray[np.floating]) -> tuple[npt.ArrayLike, npt.ArrayLike]:
    """The two largest of each row. Halves are compared by their bits: of negative numbers the smallest bits win."""
    rows, is_half = np.arange(len(logs_BK)), logs_BK.dtype == np.float16
    values_BK = logs_BK.view(np.uint16).copy() if is_half else -logs_BK
    at = values_BK.argmin(axis=1)
    top_B = values_BK[rows, at]
    values_BK[rows, at] = HALF_MINUS_INFINITY if is_half else np.inf
    second_B = values_BK.min(axis=1)
    return (top_B.view(np.float16), second_B.view(np.float16)) if is_half else (-top_B, -second_B)


def _two_largest(probs_NK: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.floating], npt.NDArray[np.floating]]:
    """The two largest of each row (the second is zero with a single class); the largest are overwritten."""
    rows, at = np.arange(len(probs_NK)), probs_NK.argmax(axis=1)
    top_N = probs_NK[rows, at]
    probs_NK[rows, at] = 0.0
    return top_N, probs_NK.max(axis=1)


def _decompose_piece(draws_BSK: npt.NDArray[np.floating], offset: int) -> tuple[npt.ArrayLike, ...]:
    """Total, aleatoric, margin and confidence; names the first row that is no distribution, counted from `offset`."""
    logs_BSK = _at_least_single(draws_BSK)
    probs_BSK = probs(logs_BSK)
    fine = np.abs(probs_BSK.sum(axis=2) - 1.0).max(axis=1) < NORMALISED  # NaN fails the comparison
    if not fine.all():
        at = offset + int(fine.argmin())
        raise errors.NotFinite(f"log_probs_NSK is not a finite, normalised distribution at image {at}")
    aleatoric_B = _mean_entropy(logs_BSK, probs_BSK)
    mean_BK = _mean(probs_BSK)
    total_B = aleatoric_B if draws_BSK.shape[1] == 1 else special.entr(mean_BK).sum(axis=1)
    top_B, second_B = _two_largest(mean_BK)
    return np.maximum(total_B, 0.0), np.maximum(aleatoric_B, 0.0), top_B - second_B, top_B
