"""BADGE: gradients of the last layer, never written out, chosen by k-means++ with rejection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model import chunks
from model.acquisition import spread
from model.acquisition.request import Request

Reals = npt.NDArray[np.floating]
Ints = npt.NDArray[np.int64]

PROPOSALS = 64  # images proposed together
LOOKED_AT = 256  # images together, in search of the longest gradient
SLACK = 1.01  # rows in half precision sum to one within half a percent
PATIENCE = 1024  # proposals refused in a row, after which the bound is made exact
SAME = 1e-5  # of the squared lengths: below it a squared distance is rounding


@dataclass(frozen=True)
class _Gradients:
    """Rows a x h of B images: a = p - e_y for the likeliest class y, h the embedding."""

    a_BK: Reals
    h_BD: Reals

    def squared_distances(self, others: _Gradients) -> Reals:
        """||a x h - c x d||^2 = |a|^2 |h|^2 + |c|^2 |d|^2 - 2 (a.c)(h.d) -> (B, C); zero within rounding."""
        own_B1, their_C = self.squares[:, None], others.squares
        squared_BC = own_B1 + their_C - 2.0 * (self.a_BK @ others.a_BK.T) * (self.h_BD @ others.h_BD.T)
        return np.where(squared_BC > SAME * (own_B1 + their_C), squared_BC, 0.0)

    @property
    def squares(self) -> Reals:
        """|a|^2 |h|^2 of each row."""
        return np.einsum("bk,bk->b", self.a_BK, self.a_BK) * np.einsum("bd,bd->b", self.h_BD, self.h_BD)


def badge(request: Request) -> Ints:
    """k-means++ (D^2 sampling) over the gradients g = (p - e_y) x h, from the longest (Ash et al. 2020,
    arXiv 1906.03671), with distances through the factors (as in appendix D of arXiv 2306.09910).

    An image is proposed with probability proportional to a bound on its squared distance to the nearest chosen,
    (|g| + shortest chosen |g|)^2, and taken with probability distance / bound: that is D^2 sampling, exactly, and
    looks at a few hundred images instead of at all for every one chosen. Of one mean posterior |g| is itself only
    bounded, by the two likeliest classes, until an image is looked at. When too many proposals are refused, one pass
    over the pool makes the bound exact. The bias of the last layer is left out, as in the authors' code.
    """
    lengths_N = _lengths(request)
    chosen = _longest(request, lengths_N) if request.count else spread.NONE
    measured, bound_N = 0, np.full(request.size, np.inf, dtype=np.float32)
    while 0 < len(chosen) < request.count:
        loose_N = (lengths_N + lengths_N[chosen].min()) ** 2
        found = _sampled(request, np.minimum(bound_N, loose_N), chosen)
        if len(found):
            chosen = np.concatenate([chosen, found])
        elif measured == len(chosen):
            break  # the bound is exact and nothing is proposed: what is left duplicates what is chosen
        else:
            _tighten(bound_N, request, chosen[measured:])
            measured = len(chosen)
    return spread.first_different(-lengths_N, request, front=chosen)


def _gradients(request: Request, rows: slice | Ints) -> _Gradients:
    a_BK = request.mean_probs(rows)
    a_BK[np.arange(len(a_BK)), a_BK.argmax(axis=1)] -= 1.0
    return _Gradients(a_BK, request.embeddings_ND[rows])


def _lengths(request: Request) -> Reals:
    """|g| of each image, or a bound on it: |a|^2 = (1 - p_1)^2 + sum of p_k^2, and no p_k is above the second."""
    if request.uncertainty.two_likeliest is not None:
        top_N, second_N = request.uncertainty.two_likeliest
        others_N = np.maximum(1.0 - top_N, 0.0)
        bound_N = (others_N**2 + np.minimum(second_N, others_N) * others_N) * request.squares_N
        return np.asarray(np.sqrt(SLACK * bound_N), dtype=np.float32)
    return _lengths_of(request, np.arange(request.size))


def _lengths_of(request: Request, positions: Ints) -> Reals:
    lengths_M = np.empty(len(positions), dtype=np.float32)

    def work(rows: slice) -> None:
        lengths_M[rows] = np.sqrt(_gradients(request, positions[rows]).squares)

    chunks.each(work, len(positions), request.width + request.embeddings_ND.shape[1])
    return lengths_M


def _longest(request: Request, bound_N: Reals) -> Ints:
    """The image of the longest gradient: none is longer than its bound, so those of large bounds are enough."""
    most = LOOKED_AT
    while True:
        near = spread.order(-bound_N, request.embeddings_ND, most)
        lengths_M = _lengths_of(request, near)
        if len(near) == request.size or lengths_M.max() >= bound_N[near[-1]]:
            return near[spread.order(-lengths_M, request.embeddings_ND[near], 1)[:1]]
        most *= 4


def _sampled(request: Request, bound_N: Reals, chosen: Ints) -> Ints:
    """What is accepted of the proposals until enough is, or until PATIENCE of them in a row are refused."""
    cumulative_N, found, refused = np.cumsum(bound_N, dtype=np.float64), np.empty(0, dtype=np.int64), 0
    centres, room = _gradients(request, chosen), request.count - len(chosen)
    while len(found) < room and refused < PATIENCE and cumulative_N[-1] > 0:
        thrown_B = request.rng.random(PROPOSALS) * cumulative_N[-1]
        proposed_B = np.searchsorted(cumulative_N, thrown_B, side="right").clip(max=request.size - 1)
        here = _gradients(request, proposed_B)
        nearest_B, within_BB = here.squared_distances(centres).min(axis=1), here.squared_distances(here)
        taken = []
        for b, luck in enumerate(request.rng.random(PROPOSALS) * bound_N[proposed_B]):
            refused += 1
            if luck < nearest_B[b] and len(found) + len(taken) < room:
                taken.append(b)
                nearest_B, refused = np.minimum(nearest_B, within_BB[b]), 0
        found = np.concatenate([found, proposed_B[taken]])
        centres = _Gradients(
            np.concatenate([centres.a_BK, here.a_BK[taken]]), np.concatenate([centres.h_BD, here.h_BD[taken]])
        )
    return found


def _tighten(bound_N: Reals, request: Request, fresh: Ints) -> None:
    """Lowers `bound_N` to the squared distances to the `fresh` choices, one pass over the pool."""
    centres = _gradients(request, fresh)

    def work(rows: slice) -> None:
        bound_N[rows] = np.minimum(bound_N[rows], _gradients(request, rows).squared_distances(centres).min(axis=1))

    chunks.each(work, request.size, request.width)
