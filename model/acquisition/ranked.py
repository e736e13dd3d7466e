"""Strategies that rank every candidate by one score of its posterior draws, or sample by it; and random."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model.acquisition import spread
from model.acquisition.request import Request

Ints = npt.NDArray[np.int64]
POWER = 1.0  # beta of power sampling, the paper's default


def random(request: Request) -> Ints:
    """Uniform without replacement: the arm every other one is compared with."""
    return np.asarray(request.rng.permutation(request.size)[: request.count], dtype=np.int64)


def entropy(request: Request) -> Ints:
    """Largest total uncertainty first: H of the mean of the draws (Shannon 1948; Settles 2009, section 3.1)."""
    return spread.first_different(-request.uncertainty.total_N, request)


def least_confidence(request: Request) -> Ints:
    """Smallest largest mean probability first: 1 - max_k p_k (Lewis and Gale 1994; Settles 2009, section 3.1)."""
    return spread.first_different(request.uncertainty.confidence_N, request)


def margin(request: Request) -> Ints:
    """Smallest difference of the two largest mean probabilities first (Scheffer et al. 2001)."""
    return spread.first_different(request.uncertainty.margin_N, request)


def bald(request: Request) -> Ints:
    """Largest mutual information of label and weights first: H(mean) - mean H (Houlsby et al. 2011)."""
    return spread.first_different(-request.uncertainty.epistemic_N, request)


def power_bald(request: Request) -> Ints:
    """Sampled without replacement with probability proportional to (mutual information)^beta, beta = 1.

    Kirsch et al. 2021, arXiv 2106.12059: the largest of beta log s + G, G standard Gumbel noise for each image.
    """
    with np.errstate(divide="ignore"):
        log_scores_N = POWER * np.log(request.uncertainty.epistemic_N)
    return spread.first_different(-(log_scores_N + request.rng.gumbel(size=request.size)), request)
