"""ProbCover: each image covers those within a radius; ask the ones that cover most."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model import chunks, neighbours
from model.acquisition import spread
from model.acquisition.request import Request

Floats = npt.NDArray[np.float32]
Bits = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

MOST_COVERED = 10_000  # images that stand for the pool
MOST_PROBES = 2_000  # of them, from which the radius is found
IMPURE = 0.05  # share of balls that may hold two clusters
CLUSTERS = 20  # where the number of classes is not known


def probcover(request: Request) -> Ints:
    """Greedy maximum cover: the image with most uncovered ones within the radius (Yehuda et al. 2022, arXiv 2205.11320).

    The radius is the largest at which 95 % of the balls hold one cluster of k-means only, as many clusters as classes:
    the 5 % quantile of the distance to the nearest image of another cluster. Labelled images cover too. Departs from
    the paper where the pool is large (a random 10,000 stand for it, their graph kept as bits) and
    where everything is covered before `count` images are: the radius is halved and the cover begins anew.
    """
    part = spread.some(request, MOST_COVERED)
    x_MD, front = request.embeddings_ND[part], np.empty(0, dtype=np.int64)
    if not request.count:
        return front
    radius = _radius(x_MD, int(request.context.get("num_classes", CLUSTERS)), request.seed)
    smallest = spread.SAME * request.mean_length
    while len(front) < min(request.count, len(part)) and radius > smallest:
        known_LD = np.concatenate([request.labelled_LD, x_MD[front]])
        front = np.concatenate([front, _cover(x_MD, known_LD, radius, request.count - len(front))])
        radius /= 2.0
    return spread.first_different(np.zeros(request.size), request, front=part[front])


def _radius(x_MD: Floats, clusters: int, seed: int) -> float:
    """The largest radius at which all but IMPURE of the balls hold members of one cluster only."""
    _, cluster_M = neighbours.kmeans(x_MD, clusters, seed)
    probes = np.random.default_rng(seed).permutation(len(x_MD))[:MOST_PROBES]
    nearest_P = np.empty(len(probes))

    def work(rows: slice) -> None:
        is_other_BM = cluster_M[probes[rows], None] != cluster_M
        squared_BM = np.where(is_other_BM, _squared(x_MD[probes[rows]], x_MD), np.inf)
        nearest_P[rows] = np.sqrt(np.maximum(squared_BM.min(axis=1), 0.0))

    chunks.each(work, len(probes), len(x_MD))
    radius = float(np.quantile(nearest_P, IMPURE, method="lower"))
    return radius if np.isfinite(radius) else float(np.sqrt(2.0) * x_MD.std(axis=0).sum())


def _cover(x_MD: Floats, known_LD: Floats, radius: float, wanted: int) -> Ints:
    """Positions that cover most of what `known_LD` does not, until nothing is left uncovered."""
    near_MB = _near(x_MD, x_MD, radius)
    is_open_M = ~_near(x_MD, known_LD, radius).any(axis=1)
    degree_M = _count(near_MB, np.flatnonzero(is_open_M))
    found: list[int] = []
    while len(found) < wanted and is_open_M.any():
        at = int(degree_M.argmax())
        newly = np.flatnonzero(is_open_M & np.unpackbits(near_MB[at], count=len(x_MD)).astype(bool))
        found.append(at)
        is_open_M[at] = is_open_M[newly] = False
        degree_M -= _count(near_MB, newly)
        degree_M[at] = -1
    return np.asarray(found, dtype=np.int64)


def _near(x_MD: Floats, others_CD: Floats, radius: float) -> Bits:
    """For each row one bit for each of the others: is it within the radius?"""
    near_MB = np.zeros((len(x_MD), (len(others_CD) + 7) // 8), dtype=np.uint8)

    def work(rows: slice) -> None:
        near_MB[rows] = np.packbits(_squared(x_MD[rows], others_CD) <= radius**2, axis=1)

    if len(others_CD):
        chunks.each(work, len(x_MD), x_MD.shape[1] + len(others_CD))
    return near_MB


def _count(near_MB: Bits, members: Ints) -> Ints:
    """How many of the members are near each row; nearness is mutual."""
    count_M = np.zeros(len(near_MB), dtype=np.int64)
    for rows in chunks.slices(len(members), len(near_MB)):
        count_M += np.unpackbits(near_MB[members[rows]], axis=1, count=len(near_MB)).sum(axis=0, dtype=np.int64)
    return count_M


def _squared(x_BD: Floats, others_CD: Floats) -> Floats:
    own_B1 = np.einsum("bd,bd->b", x_BD, x_BD)[:, None]
    return own_B1 - 2.0 * (x_BD @ others_CD.T) + np.einsum("cd,cd->c", others_CD, others_CD)
