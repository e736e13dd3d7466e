"""The default strategy: typical images first, then uncertain ones, spread out and kept from what is not worth asking."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from model import neighbours, streamed
from model.acquisition import clustered, spread
from model.acquisition.request import Request

Floats = npt.NDArray[np.floating]
Ints = npt.NDArray[np.int64]

COLD_LABELS_PER_CLASS = 2.0
MOST_DRAWN = 10_000  # smallest margins of the mean that get draws of their own, where the context can draw
LOT = 4 * clustered.CANDIDATES_PER_ASKED  # most useful images for each one asked that take part in the lot
POWER = 24.0  # of usefulness in the lot: the larger, the nearer to taking the best
KNOWN = 30  # rejects from which twice the pool's expected share of rejects waits until nothing else is left
FEWEST_OPEN = 0.25  # share of the pool that never waits
NEAR = 0.3  # of the usual distance to what was asked; nearer images are worth less
LEAST = 1e-9


def auto(request: Request) -> Ints:
    """Typical images until there are about two labels for each class; then a lot among the most useful, spread out.

    Usefulness is u = (1 - m)(1 - o) min(1, d / 0.3 d*)^2: m the margin of the mean posterior (Scheffer et al. 2001), or
    with `rank_by` "epistemic" the mutual information in place of 1 - m; o the probability of being rejected; d the
    distance to the nearest image asked before, d* its median. The lot takes the largest 24 log u + G, G Gumbel noise
    (power sampling, Kirsch et al. 2021, arXiv 2106.12059), ten for each image asked (Citovsky et al. 2021, arXiv
    2107.14263); k-means weighted by u spreads them, and of each centre the smallest squared distance / u is asked
    (after Prabhu et al. 2021, arXiv 2010.08666). Images likely to be rejected come last: the share of
    the pool with the largest o that is the mean of o (from 30 rejects twice that, three quarters at most), for what is
    uncertain between classes often belongs to none. While classes have no label, nothing waits in the cold phase, later
    their share of the batch (half at most) stays typical and no predicted class gets more than twice its even share of
    the rest.

    `context`, each optional (see `situation`): num_classes (else the draws' last axis), class_counts_K, out_N,
    rejected_RD, rank_by, and draw: candidates' positions -> log_probs_MSK, asked a piece at a time and the same for
    an image whenever it is asked. With it `log_probs_NSK` is the mean posterior as one draw, which a million images
    need; only the 10,000 smallest margins of it are drawn.
    """
    if not request.count:
        return spread.NONE
    if is_cold(request):
        return _typical(request, request.count)
    head = _uncertain(request)
    missing = int(min(request.count // 2, np.ceil(request.count * _missing_share(request))))
    explored = _typical(request, missing)
    ranked = _within_quota(head, request, request.count - len(explored))
    front, _ = spread.separate(np.concatenate([ranked, explored]), request, request.count)
    if len(front) == request.count:
        return front
    return spread.first_different(_waits(request), request, front=_unique(np.concatenate([front, head])))


def is_cold(request: Request) -> bool:
    """Whether the posterior has too few labels behind it to say where it is unsure."""
    if request.draws_NSK is None:
        return True
    classes = int(request.context.get("num_classes", request.draws_NSK.shape[2]))
    return len(request.labelled_LD) < COLD_LABELS_PER_CLASS * classes


def _out_N(request: Request) -> Floats:
    return np.asarray(request.context.get("out_N", np.zeros(request.size)), dtype=np.float64)


def _waits(request: Request) -> Floats:
    return waits(_out_N(request), len(request.context.get("rejected_RD", ())))


def waits(out_N: Floats, rejects: int) -> Floats:
    """1 for the images likeliest to be rejected, the expected share of the pool (twice it once 30 `rejects` are known)."""
    if not out_N.any():
        return np.zeros(len(out_N))
    doubt = 1.0 + min(1.0, rejects / KNOWN)
    most = np.quantile(out_N, max(FEWEST_OPEN, 1.0 - doubt * float(out_N.mean())))
    return np.asarray(out_N > most, dtype=np.float64)


def _asked(request: Request) -> npt.NDArray[np.float32]:
    """What was asked before: labelled and rejected rows."""
    rejected_RD = request.context.get("rejected_RD", request.labelled_LD[:0])
    return np.asarray(np.concatenate([request.labelled_LD, rejected_RD]), dtype=np.float32)


def _typical(request: Request, count: int) -> Ints:
    """The most typical images of clusters without answers; once all classes have labels, among those that do not wait.

    Until then a class not seen yet looks like none.
    """
    if not count:
        return spread.NONE
    fine = np.flatnonzero(_waits(request) == 0)
    fine = np.arange(request.size) if len(fine) < count or _missing_share(request) else fine
    smaller = dataclasses.replace(
        request, draws_NSK=None, embeddings_ND=request.embeddings_ND[fine], labelled_LD=_asked(request), count=count
    )
    return np.asarray(fine[clustered.typical(smaller)])


def _uncertain(request: Request) -> Ints:
    """Candidates of the lot, the first of each cluster ahead."""
    near, unsure_M = _unsure(request)
    useful_M = unsure_M * (1.0 - _out_N(request)[near]) - 2.0 * _waits(request)[near]
    x_MD = request.embeddings_ND if len(near) == request.size else request.embeddings_ND[near]
    lot = spread.order(-useful_M, x_MD, LOT * request.count)[: LOT * request.count]
    usefulness_W = np.maximum(useful_M[lot], LEAST) * _novelty(x_MD[lot], _asked(request))
    # noise goes by rank, not by position, so that permuted images permute the answer
    lot_W = POWER * np.log(np.maximum(usefulness_W, LEAST)) + request.rng.gumbel(size=len(lot))
    lot_W -= 1e6 * _waits(request)[near[lot]]
    ranked = near[lot[np.argsort(-lot_W, kind="stable")]]
    open_ones = ranked[_waits(request)[ranked] == 0]
    most = clustered.CANDIDATES_PER_ASKED * request.count
    candidates = (open_ones if len(open_ones) >= request.count else ranked)[:most]
    if len(candidates) <= request.count:
        return np.asarray(ranked)
    useful_of = dict(zip(near[lot].tolist(), usefulness_W.tolist(), strict=True))
    heads = _central(candidates, np.array([useful_of[at] for at in candidates.tolist()]), request)
    return _unique(np.concatenate([heads, ranked]))


def _central(candidates: Ints, useful_M: Floats, request: Request) -> Ints:
    """The candidate nearest each centre of weighted k-means, far ones as if nearer by their usefulness; in their order."""
    # k-means starts depend on the order of rows: in an order of their own values images may be permuted
    arranged = spread.order(np.zeros(len(candidates)), request.embeddings_ND[candidates])
    x_MD, useful_M = request.embeddings_ND[candidates[arranged]], np.maximum(useful_M[arranged], LEAST)
    centroids_KD, _ = neighbours.kmeans(x_MD, request.count, request.seed, weights_N=useful_M)
    squares_M = np.einsum("md,md->m", x_MD, x_MD)
    squared_KM = np.maximum(
        squares_M - 2.0 * centroids_KD @ x_MD.T + np.einsum("kd,kd->k", centroids_KD, centroids_KD)[:, None], 0.0
    )
    usual = max(float(squared_KM.min(axis=0).mean()), LEAST)
    heads = ((squared_KM + usual) / useful_M).argmin(axis=1)
    return np.asarray(candidates[np.sort(arranged[np.unique(heads)])])


def _unsure(request: Request) -> tuple[Ints, Floats]:
    """Positions that may be asked, how unsure the posterior is of each, 0..1."""
    draw, near = request.context.get("draw"), np.arange(request.size)
    told = request
    if draw is not None:
        cost_N = request.uncertainty.margin_N + _waits(request)
        near = spread.order(cost_N, request.embeddings_ND, MOST_DRAWN)[: max(MOST_DRAWN, request.count)]
        shape = (len(near), *draw(near[:1]).shape[1:])
        drawn = streamed.Streamed(lambda rows: draw(near[rows]), shape)
        told = dataclasses.replace(request, draws_NSK=drawn, embeddings_ND=request.embeddings_ND[near])
    if request.context.get("rank_by") == "epistemic" and told.draws.shape[1] > 1:
        unsure_M = told.uncertainty.epistemic_N / max(float(told.uncertainty.epistemic_N.max(initial=0.0)), LEAST)
    else:
        unsure_M = 1.0 - told.uncertainty.margin_N
    return near, unsure_M


def _novelty(x_WD: npt.NDArray[np.float32], asked_LD: npt.NDArray[np.float32]) -> Floats:
    """1, and less for what lies nearer to an image asked before than `NEAR` of the usual distance."""
    if not len(asked_LD):
        return np.ones(len(x_WD))
    distance_W = np.sqrt(neighbours.nearest(x_WD, asked_LD, 1)[0][:, 0].astype(np.float64))
    return np.asarray(np.minimum(1.0, distance_W / max(NEAR * float(np.median(distance_W)), LEAST)) ** 2)


def _missing_share(request: Request) -> float:
    """The share of classes without labels."""
    return float((np.asarray(request.context.get("class_counts_K", np.ones(1))) == 0).mean())


def _within_quota(ranked: Ints, request: Request, count: int) -> Ints:
    """The first `count`; while classes are missing, at most twice its even share of each predicted class."""
    if count == request.count or not len(ranked):
        return ranked[:count]
    seen = int((np.asarray(request.context["class_counts_K"]) > 0).sum())
    class_R = request.mean_probs(ranked).argmax(axis=1)
    before_R = np.array([int((class_R[:at] == k).sum()) for at, k in enumerate(class_R)])
    return np.asarray(ranked[before_R < np.ceil(2 * count / max(1, seen))][:count])


def _unique(positions: Ints) -> Ints:
    _, first = np.unique(positions, return_index=True)
    return np.asarray(positions[np.sort(first)])
