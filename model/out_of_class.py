"""How likely an image belongs to no class, taught by the images that people rejected."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model import errors, probe

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

STRENGTH = 10.0  # C of the regression: weight of the answers beside |w|^2 / 2
MOST_TAUGHT = 4000  # labelled images that stand for the classes


def probability(x_NR: Floats, *, labelled: npt.ArrayLike, rejected: npt.ArrayLike, rng: np.random.Generator) -> Floats:
    """Probability of being rejected, 0..1, for every row of `x_NR` (coordinates of the last layer's space).

    Logistic regression of rejected against labelled rows, both given as positions; zeros where nothing is rejected.
    With rejects alone their share is told by Laplace's rule of one more answer each way. BadInput when positions lie
    outside or a row is both.
    """
    kept, out = _checked("labelled", labelled, len(x_NR)), _checked("rejected", rejected, len(x_NR))
    if np.intersect1d(kept, out).size:
        raise errors.BadInput(f"row {np.intersect1d(kept, out)[0]} is labelled and rejected; settle it first")
    if not len(out):
        return np.zeros(len(x_NR), dtype=np.float32)
    if not len(kept):
        return np.full(len(x_NR), (len(out) + 1) / (len(out) + 2), dtype=np.float32)
    if len(kept) > MOST_TAUGHT:
        kept = rng.choice(kept, MOST_TAUGHT, replace=False)
    taught = np.concatenate([kept, out])
    weights_2D = probe.fit(x_NR[taught], np.repeat([0, 1], [len(kept), len(out)]), C=STRENGTH)
    slope_D = weights_2D[1] - weights_2D[0]
    logits_N = x_NR @ slope_D[:-1].astype(np.float32) + np.float32(slope_D[-1])
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits_N, -30.0, 30.0))), dtype=np.float32)


def _checked(name: str, positions: npt.ArrayLike, rows: int) -> Ints:
    at = np.asarray(positions, dtype=np.int64)
    if at.ndim != 1 or ((at < 0) | (at >= rows)).any():
        raise errors.BadInput(f"{name} positions must lie between 0 and {rows - 1}, one axis; they are {at}")
    return at
