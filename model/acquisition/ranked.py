"""Strategies that rank every candidate by one score of its posterior draws: entropy, margin, bald; and random."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model.acquisition import spread
from model.acquisition.request import Request

Ints = npt.NDArray[np.int64]


def random(request: Request) -> Ints:
    """Uniform without replacement: the arm every other one is compared with."""
    return np.asarray(request.rng.permutation(request.size)[: request.count], dtype=np.int64)


def entropy(request: Request) -> Ints:
    """Largest total uncertainty first: H of the mean of the draws (Shannon 1948; Settles 2009, section 3.1)."""
    return spread.first_different(-request.uncertainty.total_N, request)


def margin(request: Request) -> Ints:
    """Smallest difference of the two largest mean probabilities first (Scheffer et al. 2001)."""
    return spread.first_different(request.uncertainty.margin_N, request)


def bald(request: Request) -> Ints:
    """Largest mutual information of label and weights first: H(mean) - mean H (Houlsby et al. 2011)."""
    return spread.first_different(-request.uncertainty.epistemic_N, request)
