"""TypiClust as in the paper: the most typical image of each cluster that has no label, large clusters first."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model import neighbours
from model.acquisition import clustered, spread
from model.acquisition.request import Request

Ints = npt.NDArray[np.int64]

ROWS_PER_CLUSTER = 256  # that k-means looks at; FAISS takes no more either
MOST_COMPARED = 2000  # members of a cluster whose typicality is measured, against each other
SMALL = 5  # clusters of so few images come last


def typiclust(request: Request) -> Ints:
    """argmax of typicality = 1 / mean distance to the min(20, half) nearest of the same cluster (Hacohen et al. 2022,
    arXiv 2202.02794, equation 1), in min(labels + count, 500) clusters: fewest labels first, then largest.

    The literature's form, on the embeddings as they are; `typical` is ours. Departs from it for size alone: k-means
    sees 256 images for each cluster, and a random 2,000 stand for a larger cluster, so that a million images take
    seconds. Clusters of five images or fewer come last.
    """
    clusters = min(len(request.labelled_LD) + request.count, clustered.MOST_CLUSTERS, request.size)
    if not request.count:
        return spread.NONE
    part = spread.some(request, ROWS_PER_CLUSTER * clusters)
    teaching = np.concatenate([request.embeddings_ND[part], _in_own_order(request.labelled_LD)])
    restarts = clustered.restarts(len(teaching), clusters)
    centroids_KD, _ = neighbours.kmeans(teaching, clusters, request.seed, restarts=restarts)
    cluster_N = neighbours.nearest(request.embeddings_ND, centroids_KD, 1)[1][:, 0]
    labels_K = np.bincount(neighbours.nearest(request.labelled_LD, centroids_KD, 1)[1].ravel(), minlength=clusters)
    sizes_K = np.bincount(cluster_N, minlength=clusters)
    labels_K[sizes_K <= SMALL] += request.size  # as if full
    wanted = np.lexsort((-sizes_K, labels_K))[: request.count]
    queues = [_most_typical(request, np.flatnonzero(cluster_N == k)) for k in wanted]
    front = clustered.round_robin(queues, labels_K[wanted])
    return spread.first_different(np.zeros(request.size), request, front=front)


def _in_own_order(x_LD: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return x_LD[spread.order(np.zeros(len(x_LD)), x_LD)] if len(x_LD) else x_LD


def _most_typical(request: Request, members: Ints) -> Ints:
    """Members of one cluster by typicality, or a random part of them where they are many."""
    if len(members) > MOST_COMPARED:
        members = members[spread.order(np.zeros(len(members)), request.embeddings_ND[members])]
        members = np.random.default_rng(request.seed).permutation(members)[:MOST_COMPARED]
    return clustered.by_typicality(request.embeddings_ND, members)
