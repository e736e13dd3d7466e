"""How like the images that people rejected as bad pictures an image is, from one such reject on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from model import errors, neighbours

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

MOST_KINDS = 32  # more rejects are grouped: what is wrong with pictures is of few kinds
ROWS = 4096  # of which the pool's spread is estimated
SHRUNK_X, SHRUNK_LOOKS = 3.0, 1.0  # what is added to the covariance, in units of its mean variance ...
FIRST = 10.0  # ... and so many times that at first, while the pool may be full of what is looked for
HALF = 1.0  # likeness of an even chance: half that of the reject to itself
STEEP = 8.0
ORDINARY = 0.99  # of the labelled images that an image must exceed for an even chance


def probability(
    x_NR: Floats, looks_NF: Floats | None, *, rejected: npt.ArrayLike, ordinary: npt.ArrayLike = ()
) -> Floats:
    """Probability of being such a bad picture, 0..1, for every row; zeros where none was rejected as one.

    `x_NR` are coordinates of the last layer's space, `looks_NF` those of model/looks.py (None, or with a NaN among them:
    the first tell alone), `rejected` and `ordinary` positions of bad pictures and of labelled images. To each reject r a
    direction leads in either space as linear discriminant analysis with one example of a class finds it, the pool being
    the other class: w = (C + l tr(C)/D I)^-1 (r - m), m and C of the pool, shrunk as Friedman (1989) does for few examples.
    What is like a reject at a first look leaves m and C. The likeness w(x - m) / w(r - m) is 1 at r and 0 for the pool's
    mean; those of both spaces are added (that of one is doubled), the largest over the rejects is taken, and
    8 (likeness - h) is the log-odds. h is 1, half of what a reject is like itself, but never
    less than the likeness of 99 % of the labelled images, so that ordinary ones stay what they are. No random number is
    drawn: with a reject taken back everything is as it was before. BadInput when positions lie outside.
    """
    bad, fine = _checked("rejected", rejected, len(x_NR)), _checked("ordinary", ordinary, len(x_NR))
    if not len(bad):
        return np.zeros(len(x_NR), dtype=np.float32)
    spaces = [(x_NR, SHRUNK_X)]
    if looks_NF is not None and np.isfinite(looks_NF).all():
        scale_F = looks_NF.std(axis=0)
        spaces.append((looks_NF / np.where(scale_F > 1e-6, scale_F, np.float32(1)), SHRUNK_LOOKS))
    rows = np.linspace(0, len(x_NR) - 1, min(ROWS, len(x_NR))).astype(np.int64)
    groups_M = _groups(x_NR[bad])
    unlike = rows[_likeness(spaces, bad, groups_M, rows, at=rows, factor=FIRST) < HALF]
    likeness_N = _likeness(spaces, bad, groups_M, unlike if len(unlike) > 1 else rows)
    half = max(HALF, float(np.quantile(likeness_N[fine], ORDINARY, method="higher"))) if len(fine) else HALF
    return np.asarray(special.expit(STEEP * (likeness_N - half)), dtype=np.float32)


def _groups(x_MR: Floats) -> Ints:
    if len(x_MR) <= MOST_KINDS:
        return np.arange(len(x_MR))
    return np.unique(neighbours.kmeans(x_MR, MOST_KINDS, 0)[1], return_inverse=True)[1]


def _likeness(
    spaces: list[tuple[Floats, float]],
    bad: Ints,
    groups_M: Ints,
    pool: Ints,
    at: Ints | slice = slice(None),
    factor: float = 1.0,
) -> Floats:
    """Likeness of the rows `at`, the rows `pool` being the other class; the shrinking is `factor` times each space's."""
    added = sum(_directed(x_NR, bad, groups_M, pool, at, factor * shrunk) for x_NR, shrunk in spaces)
    return np.asarray((added * np.float32(2.0 / len(spaces))).max(axis=1))


def _directed(x_NR: Floats, bad: Ints, groups_M: Ints, pool: Ints, at: Ints | slice, shrunk: float) -> Floats:
    """(rows, groups) of one space, not below 0; a group's reject is the mean of its own."""
    mean_R = x_NR[pool].mean(axis=0)
    centred_MR = x_NR[pool] - mean_R
    covariance_RR = centred_MR.T @ centred_MR / len(pool)
    variance = max(float(np.trace(covariance_RR)) / len(covariance_RR), 1e-9)
    kinds_GR = np.stack([x_NR[bad[groups_M == group]].mean(axis=0) for group in range(groups_M.max() + 1)]) - mean_R
    weights_GR = np.linalg.solve(covariance_RR + shrunk * variance * np.eye(len(covariance_RR)), kinds_GR.T).T
    own_G = np.maximum((kinds_GR * weights_GR).sum(axis=1), 1e-9)
    weights_GR = (weights_GR / own_G[:, None]).astype(np.float32)
    return np.maximum(x_NR[at] @ weights_GR.T - weights_GR @ mean_R, np.float32(0))


def _checked(name: str, positions: npt.ArrayLike, rows: int) -> Ints:
    at = np.asarray(positions, dtype=np.int64)
    if at.ndim != 1 or ((at < 0) | (at >= rows)).any():
        raise errors.BadInput(f"{name} positions must lie between 0 and {rows - 1}, one axis; they are {at}")
    return at
