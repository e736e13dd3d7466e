"""EPIG: ask the images whose labels would tell most about the labels of others in the pool."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model import uncertainty
from model.acquisition import joint, spread
from model.acquisition.request import Request

Reals = npt.NDArray[np.floating]
Ints = npt.NDArray[np.int64]

MOST_EVENTS = 1024  # labels of targets whose table is summed whole
MOST_TARGETS = 256  # beyond: that many targets, one label drawn for each
MOST_CANDIDATES = 10_000  # with the largest mutual information
PIECE = 512  # candidates looked at together


def epig(request: Request) -> Ints:
    """Largest expected predictive information gain first: E_x* [ H(y) + H(y*) - H(y, y*) ] (Smith et al. 2023,
    arXiv 2304.08151), as H(y) - E_{x*, y*} H(y | y*), the label y* leaving draw s with weight p_s(y*).

    Targets x* are images of the pool: all of them while their labels make at most 1,024 events, else 256 at random with
    one label each drawn from their mean prediction, which estimates the same expectation. What a label tells of
    another it tells of the weights first, so EPIG is at most the mutual information (bald): candidates come in its
    order, until none left can reach the `count` best; at most 10,000, where the paper looks at every image.
    """
    weights_TS, shares_T = _events(request)
    bound_N, total_N = request.uncertainty.epistemic_N, request.uncertainty.total_N
    ranked = spread.order(-bound_N, request.embeddings_ND, MOST_CANDIDATES)[: max(MOST_CANDIDATES, request.count)]
    gain_N = bound_N - (bound_N.max(initial=0.0) + 1.0)  # who is not looked at comes after all who are
    seen = np.empty(0)
    for at in range(0, min(len(ranked), MOST_CANDIDATES), PIECE):
        piece = ranked[at : at + PIECE]
        wanted = 2 * request.count  # twice, so that duplicates can be passed over
        if len(seen) >= wanted > 0 and np.partition(seen, -wanted)[-wanted] >= bound_N[piece[0]]:
            break
        given_B = joint.conditional_entropy(weights_TS, shares_T, uncertainty.probs(request.draws[piece]))
        gain_N[piece] = np.maximum(total_N[piece] - given_B, 0.0)
        seen = np.concatenate([seen, gain_N[piece]])
    return spread.first_different(-gain_N, request)


def _events(request: Request) -> tuple[Reals, Reals]:
    """What targets' labels would leave of the draws, weights_TS, and how likely each is, shares_T."""
    classes = request.draws.shape[2]
    targets = spread.some(request, MOST_TARGETS)
    probs_MSK = uncertainty.probs(request.draws[targets])
    if request.size * classes <= MOST_EVENTS:
        likelihoods_TS = np.swapaxes(probs_MSK, 1, 2).reshape(-1, probs_MSK.shape[1])
        shares_T = likelihoods_TS.mean(axis=1) / max(1, len(targets))
        return joint.posterior_weights(likelihoods_TS), shares_T
    cumulative_MK = np.cumsum(probs_MSK.mean(axis=1), axis=1)
    thrown_M1 = request.rng.random((len(targets), 1)) * cumulative_MK[:, -1:]
    labels_M = (cumulative_MK <= thrown_M1).sum(axis=1).clip(max=classes - 1)
    likelihoods_TS = probs_MSK[np.arange(len(targets)), :, labels_M]
    return joint.posterior_weights(likelihoods_TS), np.full(len(targets), 1.0 / len(targets))
