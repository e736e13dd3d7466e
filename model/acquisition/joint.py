"""Entropies of a label given other labels, through the posterior draws that those labels would leave likely."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model import chunks

Reals = npt.NDArray[np.floating]
TINY = 1e-30


def conditional_entropy(weights_TS: Reals, shares_T: Reals, probs_MSK: Reals) -> Reals:
    """H(y | c) of M images' labels, c one of T events that happen with `shares_T` -> (M,), in nats.

    sum_t share_t H(sum_s weights_ts p_s(y)): an event leaves the draws with the weights of its row, which sum to one.
    """
    found_M = np.empty(len(probs_MSK))

    def work(rows: slice) -> None:
        mixed_BTK = weights_TS @ probs_MSK[rows]
        logs_BTK = np.log(np.maximum(mixed_BTK, TINY))
        found_M[rows] = -np.einsum("btk,btk->bt", mixed_BTK, logs_BTK) @ shares_T

    chunks.each(work, len(probs_MSK), len(weights_TS) * probs_MSK.shape[2])
    return found_M


def posterior_weights(likelihoods_TS: Reals) -> Reals:
    """Rows scaled to sum one: what T events leave of S draws that were equally likely before."""
    return likelihoods_TS / np.maximum(likelihoods_TS.sum(axis=1, keepdims=True), TINY)
