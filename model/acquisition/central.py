"""Strategies that ask the image nearest the centre of each cluster: CLUE and DropQuery."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model import chunks, neighbours, uncertainty
from model.acquisition import spread
from model.acquisition.request import Request

Floats = npt.NDArray[np.float32]
Reals = npt.NDArray[np.floating]
Ints = npt.NDArray[np.int64]

ROWS_PER_CLUSTER = 256  # that k-means looks at
LEAST_WEIGHT = 1e-6  # of a certain image in k-means, which cannot weigh nothing
AT_LEAST_PER_ASKED = 25  # DropQuery: candidates for each image asked


def clue(request: Request) -> Ints:
    """min sum_k sum_{x in k} H(x) |h(x) - mu_k|^2, the image nearest each mu_k, the cluster of largest total H first.

    Uncertainty-weighted clustering (Prabhu et al. 2021, arXiv 2010.08666), H the entropy of the mean prediction at
    temperature one. k-means sees a random 256 images for each one asked; the nearest is found among all.
    """
    total_N = request.uncertainty.total_N
    if not request.count:
        return spread.NONE
    part = spread.some(request, ROWS_PER_CLUSTER * request.count)
    weights_M = np.maximum(total_N[part], LEAST_WEIGHT)
    centroids_KD, _ = neighbours.kmeans(request.embeddings_ND[part], request.count, request.seed, weights_N=weights_M)
    heads = _nearest_to(centroids_KD, request.embeddings_ND, total_N)
    return spread.first_different(-total_N, request, front=heads)


def drop_query(request: Request) -> Ints:
    """Images on which more than half the draws contradict the mean's class, the nearest to each centre of `count`
    clusters of them (Gupte et al. 2024, arXiv 2401.14555).

    Where such are fewer than 25 for each image asked, those of most contradiction fill up, smaller margins first.
    Departs from the paper in that posterior draws stand for its three passes with dropout of the features.
    """
    if not request.count:
        return spread.NONE
    contrary_N, margin_N = _contradiction(request)
    cost_N = margin_N - 2.0 * contrary_N * request.draws.shape[1]  # margins only break ties
    enough = AT_LEAST_PER_ASKED * request.count
    near = spread.order(cost_N, request.embeddings_ND, max(enough, int((contrary_N > 0.5).sum())))
    near = near[: max(enough, int((contrary_N > 0.5).sum()))]
    x_MD = request.embeddings_ND[near]
    x_MD = x_MD / np.maximum(np.linalg.norm(x_MD, axis=1, keepdims=True), 1e-12)
    part = np.random.default_rng(request.seed).permutation(len(near))[: ROWS_PER_CLUSTER * request.count]
    centroids_KD, _ = neighbours.kmeans(x_MD[part], request.count, request.seed)
    heads = near[_nearest_to(centroids_KD, x_MD, np.ones(len(near)))]
    return spread.first_different(cost_N, request, front=heads)


def _nearest_to(centroids_KD: Floats, x_MD: Floats, weights_M: Reals) -> Ints:
    """The row nearest each centroid, among those that have no nearer one; clusters of most weight first."""
    squared_M1, cluster_M1 = neighbours.nearest(x_MD, centroids_KD, 1)
    cluster_M = cluster_M1[:, 0]
    by_cluster = np.lexsort((x_MD[:, 0], squared_M1[:, 0], cluster_M))
    clusters, first = np.unique(cluster_M[by_cluster], return_index=True)
    weights_K = np.bincount(cluster_M, weights_M, minlength=len(centroids_KD))[clusters]
    return np.asarray(by_cluster[first][np.argsort(-weights_K, kind="stable")])


def _contradiction(request: Request) -> tuple[Reals, Reals]:
    """Share of the draws whose likeliest class is not the mean's, and the mean's margin; each draw is read once."""
    contrary_N, margin_N = np.empty(request.size), np.empty(request.size)

    def work(rows: slice) -> None:
        probs_BSK = uncertainty.probs(request.draws[rows])
        mean_BK = probs_BSK.mean(axis=1)
        contrary_N[rows] = (probs_BSK.argmax(axis=2) != mean_BK.argmax(axis=1)[:, None]).mean(axis=1)
        margin_N[rows] = uncertainty.margin_of(mean_BK)

    chunks.each(work, request.size, request.width)
    return contrary_N, margin_N
