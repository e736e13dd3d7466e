"""How likely an image belongs to no class, taught by the images that people rejected."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from model import errors, last_layer_training, neighbours

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

EACH = 3  # rejects of a group, about: what belongs to no class is of many kinds
MOST_GROUPS = 64
SHARPNESS = 3.0  # of the scores, in units of their own spread, as the last layer's usual one
PLAIN = last_layer_training.Recipe(pseudo_weight=0.0)


def probability(
    x_NR: Floats, *, labelled: npt.ArrayLike, labels: npt.ArrayLike, rejected: npt.ArrayLike, rng: np.random.Generator
) -> Floats:
    """Probability of being rejected, 0..1, for every row of `x_NR` (coordinates of the last layer's space).

    Rejects are grouped by k-means, about three to a group, and each group is one more class of a ridge regression on
    the answers alone (labelled rows with their `labels`, and rejected rows, all positions); the probability is that of
    all groups together. Zeros where nothing is rejected. With rejects alone their share is told by Laplace's rule of
    one more answer each way. BadInput when positions lie outside or a row is both.
    """
    kept, out = _checked("labelled", labelled, len(x_NR)), _checked("rejected", rejected, len(x_NR))
    if np.intersect1d(kept, out).size:
        raise errors.BadInput(f"row {np.intersect1d(kept, out)[0]} is labelled and rejected; settle it first")
    if not len(out):
        return np.zeros(len(x_NR), dtype=np.float32)
    if not len(kept):
        return np.full(len(x_NR), (len(out) + 1) / (len(out) + 2), dtype=np.float32)
    names, columns_L = np.unique(np.asarray(labels, dtype=np.int64), return_inverse=True)
    groups = min(max(1, len(out) // EACH), MOST_GROUPS)
    group_M = (
        neighbours.kmeans(x_NR[out], groups, int(rng.integers(2**31)))[1] if groups > 1 else np.zeros(len(out), int)
    )
    taught, columns = np.concatenate([kept, out]), np.concatenate([columns_L, len(names) + group_M])
    columns = np.unique(columns, return_inverse=True)[1]  # k-means may leave a group empty
    solution = last_layer_training.solve(
        x_NR, taught, np.eye(columns.max() + 1)[columns], recipe=PLAIN, usable_N=np.ones(len(x_NR), dtype=bool)
    )
    scores_NG = x_NR @ solution.weights_RK.astype(np.float32)
    probs_NG = special.softmax(SHARPNESS / max(float(scores_NG.std()), 1e-9) * scores_NG, axis=1)
    return np.asarray(probs_NG[:, len(names) :].sum(axis=1), dtype=np.float32)


def _checked(name: str, positions: npt.ArrayLike, rows: int) -> Ints:
    at = np.asarray(positions, dtype=np.int64)
    if at.ndim != 1 or ((at < 0) | (at >= rows)).any():
        raise errors.BadInput(f"{name} positions must lie between 0 and {rows - 1}, one axis; they are {at}")
    return at
