"""Core set: k-center greedy, each image the farthest from all that are labelled or chosen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model import chunks, neighbours
from model.acquisition import spread
from model.acquisition.request import Request

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

WORKING = 20_000  # farthest images that are followed pick by pick between two passes over the pool
SAME = 1e-6  # of the mean squared length: below it a squared distance is rounding


def coreset(request: Request) -> Ints:
    """argmax_u min_{j labelled or chosen} |h_u - h_j|, again and again (Sener and Savarese 2018, arXiv 1708.00489).

    Without labels the image nearest the pool's mean begins. The greedy answer of the paper, exactly: distances to the
    nearest chosen only shrink, so a working set of the farthest images is followed until its farthest is nearer than
    the farthest outside once was; then one pass over the pool adds all new centres at once and the set is drawn anew.
    """
    near_N, chosen = _start(request)
    fresh = np.asarray(chosen, dtype=np.int64)
    while len(chosen) < request.count:
        _approach(near_N, request, fresh)
        if near_N.max() <= SAME * request.mean_length**2:
            break  # what is left duplicates what is chosen
        fresh = _follow(near_N, request, request.count - len(chosen))
        chosen.extend(fresh.tolist())
    return spread.first_different(-near_N, request, front=np.asarray(chosen, dtype=np.int64))


def _start(request: Request) -> tuple[Floats, list[int]]:
    """Squared distances to the nearest label, and who begins where there is none."""
    if len(request.labelled_LD):
        squared_N1, _ = neighbours.nearest(request.embeddings_ND, request.labelled_LD, 1)
        return squared_N1[:, 0], []
    near_N = np.full(request.size, np.inf, dtype=np.float32)
    if not request.count:
        return near_N, []
    middle_D = request.embeddings_ND.mean(axis=0, dtype=np.float64).astype(np.float32)
    from_middle_N = request.squares_N - 2.0 * (request.embeddings_ND @ middle_D)
    return near_N, [int(spread.order(from_middle_N, request.embeddings_ND, 1)[0])]


def _approach(near_N: Floats, request: Request, fresh: Ints) -> None:
    """Lowers `near_N` to the squared distances to the `fresh` centres."""
    x_ND, centres_CD = request.embeddings_ND, request.embeddings_ND[fresh]
    if not len(fresh):
        return

    def work(rows: slice) -> None:
        squared_BC = request.squares_N[fresh] - 2.0 * (x_ND[rows] @ centres_CD.T)
        near_N[rows] = np.minimum(near_N[rows], np.maximum(squared_BC.min(axis=1) + request.squares_N[rows], 0.0))

    chunks.each(work, *x_ND.shape)
    near_N[fresh] = 0.0


def _follow(near_N: Floats, request: Request, wanted: int) -> Ints:
    """The next farthest images, as long as the working set is sure to hold them; `near_N` is left as it was."""
    followed, outside = np.arange(request.size), -np.inf
    if request.size > WORKING:
        split = np.argpartition(near_N, request.size - WORKING - 1)
        followed, outside = np.sort(split[-WORKING:]), float(near_N[split[-WORKING - 1]])
    near_M, x_MD, squares_M = near_N[followed], request.embeddings_ND[followed], request.squares_N[followed]
    found: list[int] = []
    while len(found) < wanted and near_M.max() > SAME * request.mean_length**2 and near_M.max() >= outside:
        at = int(near_M.argmax())
        near_M = np.minimum(near_M, np.maximum(squares_M - 2.0 * (x_MD @ x_MD[at]) + squares_M[at], 0.0))
        near_M[at] = 0.0
        found.append(int(followed[at]))
    return np.asarray(found, dtype=np.int64)
