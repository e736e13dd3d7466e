"""Keeping a batch varied: exact duplicates are asked once, and ties are broken without looking at positions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model import errors
from model.acquisition.request import Request

Ints = npt.NDArray[np.int64]
SAME = 1e-4  # two images are duplicates when their distance is below this share of the mean length of embeddings


def order(cost_N: npt.ArrayLike, embeddings_ND: npt.NDArray[np.float32]) -> Ints:
    """Positions by ascending cost; equal costs by the embedding itself, so that permuted images permute the answer."""
    cost = np.asarray(cost_N, dtype=np.float64)
    if np.isnan(cost).any():
        raise errors.NotFinite(f"the cost of image {int(np.isnan(cost).argmax())} is not a number")
    return np.lexsort((embeddings_ND.sum(axis=1), embeddings_ND[:, 0], cost)).astype(np.int64)


def first_different(cost_N: npt.ArrayLike, request: Request) -> Ints:
    """The `count` cheapest candidates, passing over duplicates of those taken before; they return only at the end."""
    return distinct(order(cost_N, request.embeddings_ND), request)


def distinct(ranked: Ints, request: Request) -> Ints:
    """The first `count` of `ranked` that are no duplicates of each other, filled up with the duplicates if too few."""
    x_ND = request.embeddings_ND
    near = SAME * float(np.sqrt((x_ND**2).sum(axis=1).mean())) if len(x_ND) else 0.0
    taken: list[int] = []
    passed: list[int] = []
    kept_CD = np.empty((request.count, x_ND.shape[1]), dtype=np.float32)
    for position in ranked:
        if len(taken) == request.count:
            break
        if taken and np.abs(kept_CD[: len(taken)] - x_ND[position]).max(axis=1).min() <= near:
            passed.append(int(position))
            continue
        kept_CD[len(taken)] = x_ND[position]
        taken.append(int(position))
    return np.asarray((taken + passed)[: request.count], dtype=np.int64)
