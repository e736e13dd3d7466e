"""Keeping a batch varied: exact duplicates are asked once, and ties are broken without looking at positions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model import errors
from model.acquisition.request import Request

Ints = npt.NDArray[np.int64]
NONE: Ints = np.empty(0, dtype=np.int64)
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


def distinct(ranked: Ints, request: Request, count: int | None = None, before: Ints = NONE) -> Ints:
    """The first `count` of `ranked` that duplicate neither each other nor `before`; duplicates only fill up."""
    x_ND, count = request.embeddings_ND, request.count if count is None else count
    near = SAME * float(np.sqrt(np.einsum("nd,nd->", x_ND, x_ND) / max(1, len(x_ND))))
    kept_CD = np.empty((len(before) + count, x_ND.shape[1]), dtype=np.float32)
    kept_CD[: len(before)] = x_ND[before]
    taken: list[int] = []
    passed: list[int] = []
    for position in ranked:
        if len(taken) == count:
            break
        kept = len(before) + len(taken)
        if kept and np.abs(kept_CD[:kept] - x_ND[position]).max(axis=1).min() <= near:
            passed.append(int(position))
            continue
        kept_CD[kept] = x_ND[position]
        taken.append(int(position))
    return np.asarray((taken + passed)[:count], dtype=np.int64)
