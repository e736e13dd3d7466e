"""Strategies that cluster: typical images of every cluster, and the most uncertain ones spread over clusters."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from model import last_layer_space, neighbours
from model.acquisition import spread
from model.acquisition.request import Request

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

CLUSTER_DIRECTIONS = 64  # of the normalised embeddings; in all 1,280 k-means finds fewer of the classes
RESTARTS = 10
FIRST_STAGE = 20  # images, where the number of classes is not known
STAGE_BOUNDS = (10, 100)
RESTART_WORK = 1e6  # rows x clusters of all restarts together
MOST_CLUSTERED = 20_000  # candidates
MOST_CLUSTERS = 500  # TypiClust's own bound
CANDIDATES_PER_ASKED = 10  # cluster margin: uncertain candidates for each image asked (Citovsky et al. 2021)


def typical(request: Request) -> Ints:
    """The most typical image of each cluster without labels, large clusters first (Hacohen et al. 2022, TypiClust).

    As many clusters as labels and asked images together, at most 500. Departs from the paper in the space (64 main
    directions), in restarting k-means (on 600 birds 20 such images reach 18 of 20 classes instead of 16, worth 10
    points of accuracy), and in growing a long answer by stages, each twice as long: its head is then as good as a short
    answer, where 500 clusters at once would begin with the densest corners. Beyond 20,000 candidates a random part of
    them answers.
    """
    if request.size > MOST_CLUSTERED and request.count < MOST_CLUSTERED:
        part = spread.some(request, MOST_CLUSTERED)
        smaller = dataclasses.replace(request, draws_NSK=None, embeddings_ND=request.embeddings_ND[part])
        return np.asarray(part[typical(smaller)])
    x_ND, is_taken_N = _shared_space(request)
    ranked, most = np.empty(0, dtype=np.int64), min(request.count, request.size)
    stage = int(np.clip(request.context.get("num_classes", FIRST_STAGE), *STAGE_BOUNDS))
    while len(ranked) < most:
        wanted = min(stage, most - len(ranked))
        found = spread.distinct(_one_of_each(x_ND, is_taken_N, wanted, request.seed), request, wanted, ranked)
        is_taken_N[found] = True
        ranked, stage = np.concatenate([ranked, found]), 2 * stage
    return ranked


def _one_of_each(x_ND: Floats, is_taken_N: npt.NDArray[np.bool_], wanted: int, seed: int) -> Ints:
    """All rows not taken: the most typical of each cluster first, clusters without taken rows and large ones ahead."""
    clusters = min(int(is_taken_N.sum()) + wanted, MOST_CLUSTERS, len(x_ND))
    cluster_N = _cluster(x_ND, clusters, seed)
    taken_K = np.bincount(cluster_N[is_taken_N], minlength=clusters)
    sizes_K = np.bincount(cluster_N[~is_taken_N], minlength=clusters)
    first_K = np.lexsort((-sizes_K, taken_K))[:wanted]  # the only ones whose most typical image is needed
    queues = [np.flatnonzero((cluster_N == k) & ~is_taken_N) for k in range(clusters)]
    for k in first_K:
        queues[k] = by_typicality(x_ND, queues[k])
    return round_robin(queues, taken_K)


def cluster_margin(request: Request) -> Ints:
    """The smallest margins, ten for each image asked, k-means among them, the smallest of each cluster first.

    After Citovsky et al. 2021 (cluster margin), with k-means in place of their agglomerative clusters.
    """
    return by_cluster(request.uncertainty.margin_N, request)


def by_cluster(cost_N: npt.ArrayLike, request: Request) -> Ints:
    """The cheapest candidates, one of each of `count` clusters, cheapest first; then the rest by cost."""
    cost = np.asarray(cost_N, dtype=np.float64)
    most = request.count * CANDIDATES_PER_ASKED
    candidates = spread.order(cost, request.embeddings_ND, most)[:most]
    if len(candidates) <= request.count or not request.count:
        return spread.first_different(cost, request)
    _, cluster_M = neighbours.kmeans(request.embeddings_ND[candidates], request.count, request.seed)
    _, first = np.unique(cluster_M, return_index=True)  # candidates are sorted: the first of a cluster is its cheapest
    heads = np.sort(first)
    rest = np.setdiff1d(np.arange(len(candidates)), heads)
    return spread.first_different(cost, request, front=np.concatenate([candidates[heads], candidates[rest]]))


def _shared_space(request: Request) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Candidates, then labelled images, on the main directions -> (x_ND, which rows are labelled)."""
    both_ND = np.concatenate([request.embeddings_ND, request.labelled_LD])
    # sums and k-means' starts depend on the order of rows: in an order of their own values images may be permuted
    arranged = spread.order(np.zeros(len(both_ND)), both_ND)
    rng = np.random.default_rng(request.seed)
    space = last_layer_space.find(both_ND[arranged], rank=CLUSTER_DIRECTIONS, rng=rng, standardise=False)
    x_ND = np.empty((len(both_ND), space.basis_DR.shape[1]), dtype=np.float32)
    x_ND[arranged] = space.project(both_ND[arranged])
    return x_ND, np.arange(len(both_ND)) >= request.size


def restarts(rows: int, clusters: int) -> int:
    """How often k-means begins anew: up to ten times, as long as that is cheap."""
    return int(np.clip(RESTART_WORK / (rows * clusters), 1, RESTARTS))


def _cluster(x_ND: Floats, clusters: int, seed: int) -> Ints:
    arranged = spread.order(np.zeros(len(x_ND)), x_ND)
    cluster_N = np.empty(len(x_ND), dtype=np.int64)
    _, cluster_N[arranged] = neighbours.kmeans(x_ND[arranged], clusters, seed, restarts=restarts(len(x_ND), clusters))
    return cluster_N


def by_typicality(x_ND: Floats, members: Ints) -> Ints:
    """`members` of one cluster, the most typical first."""
    if not len(members):
        return members
    typicality_M = neighbours.typicality(x_ND[members])
    # two nearest to each other are equally typical but for the last bit: rounded, their own values decide
    return members[spread.order(-np.round(typicality_M / typicality_M.max(), 5), x_ND[members])]


def round_robin(queues: list[Ints], taken_K: npt.NDArray[np.integer]) -> Ints:
    """Clusters with fewest taken first, then the largest; one image of each, then the second of each, and so on."""
    sizes_K = np.array([len(queue) for queue in queues])
    depth = np.concatenate([np.arange(len(queue)) + taken_K[k] for k, queue in enumerate(queues)])
    size = np.concatenate([np.full(len(queue), -sizes_K[k]) for k, queue in enumerate(queues)])
    return np.concatenate(queues)[np.lexsort((size, depth))].astype(np.int64)
