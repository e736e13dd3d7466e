"""Keeping a batch varied: exact duplicates are asked once, and ties are broken without looking at positions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model import chunks, errors
from model.acquisition.request import Request

Ints = npt.NDArray[np.int64]
NONE: Ints = np.empty(0, dtype=np.int64)
SAME = 1e-4  # two images are duplicates when their distance is below this share of the mean length of embeddings
LOOKED_AT = 4  # of the cheapest, for each image asked, before the whole pool is sorted


def order(cost_N: npt.ArrayLike, embeddings_ND: npt.NDArray[np.float32], most: int | None = None) -> Ints:
    """Positions by ascending cost; equal costs by the embedding itself, so that permuted images permute the answer.

    With `most`, that many of the cheapest, and those that cost as much as the last of them.
    """
    cost = np.asarray(cost_N, dtype=np.float64)
    if np.isnan(cost).any():
        raise errors.NotFinite(f"the cost of image {int(np.isnan(cost).argmax())} is not a number")
    if most is not None and 0 < most < len(cost):
        near = np.flatnonzero(cost <= np.partition(cost, most - 1)[most - 1])
    else:
        near = np.arange(len(cost))
    sums_M = np.empty(len(near), dtype=np.float32)
    for rows in chunks.slices(len(near), embeddings_ND.shape[1]):  # equal costs may make them many: no copy of all
        sums_M[rows] = embeddings_ND[near[rows]].sum(axis=1)
    return np.asarray(near[np.lexsort((sums_M, embeddings_ND[near, 0], cost[near]))], dtype=np.int64)


def some(request: Request, most: int) -> Ints:
    """All positions in an order of their own values, or a random `most` of them: where k-means starts, permutably."""
    arranged = order(np.zeros(request.size), request.embeddings_ND)
    if request.size <= most:
        return arranged
    return np.asarray(arranged[np.random.default_rng(request.seed).permutation(request.size)[:most]])


def first_different(cost_N: npt.ArrayLike, request: Request, front: Ints = NONE) -> Ints:
    """`front`, then the cheapest candidates, `count` in all; duplicates of those taken before return only at the end."""
    for most in (LOOKED_AT * request.count, None):
        ranked = order(cost_N, request.embeddings_ND, most)
        ranked = np.concatenate([front, ranked[~np.isin(ranked, front)]])
        taken, passed = separate(ranked, request, request.count)
        if len(taken) == request.count or len(ranked) == request.size:
            break
    return np.asarray(np.concatenate([taken, passed])[: request.count])


def distinct(ranked: Ints, request: Request, count: int | None = None, before: Ints = NONE) -> Ints:
    """The first `count` of `ranked` that duplicate neither each other nor `before`; duplicates only fill up."""
    count = request.count if count is None else count
    return np.concatenate(separate(ranked, request, count, before))[:count]


def separate(ranked: Ints, request: Request, count: int, before: Ints = NONE) -> tuple[Ints, Ints]:
    """The first `count` of `ranked` that differ from each other and from `before`, and the duplicates passed over."""
    x_ND = request.embeddings_ND
    near = SAME * request.mean_length
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
    return np.asarray(taken, dtype=np.int64), np.asarray(passed, dtype=np.int64)
