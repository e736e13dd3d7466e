"""How well a score finds what it should, such as mistakes: the area under the ROC curve, and two scores compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from model import errors

Floats = npt.NDArray[np.float64]

FEWEST = 5  # positives and negatives from which two areas are compared


@dataclass(frozen=True)
class Compared:
    """Areas of two scores on the same images, and the standard error of their difference."""

    first: float
    second: float
    error: float

    def second_is_better(self, *, errors_beyond: float = 2.0) -> bool:
        """Whether the second leads by more than so many standard errors (2: by chance one time in 44)."""
        return self.second - self.first > errors_beyond * self.error


def area(scores_N: npt.ArrayLike, positive_N: npt.ArrayLike) -> float | None:
    """Chance that a positive scores above a negative, ties half; None when there are only the ones or the others."""
    scores, positive = _checked(scores_N, positive_N)
    if positive.all() or not positive.any():
        return None
    return float(_placements(scores, positive)[0].mean())


def compare(first_N: npt.ArrayLike, second_N: npt.ArrayLike, positive_N: npt.ArrayLike) -> Compared | None:
    """Two scores of the same images (DeLong et al. 1988, Biometrics 44:837; by ranks, Sun and Xu 2014).

    The area is the mean over positives of the share of negatives that they score above, and the mean over negatives of
    the share of positives above them; the variance of the difference is that of either's mean difference, summed. None
    with fewer than five positives or negatives, where that variance means little.
    """
    positive_N = np.asarray(positive_N, dtype=bool)
    positives = int(positive_N.sum())
    if min(positives, len(positive_N) - positives) < FEWEST:
        return None
    first, second = (_placements(*_checked(scores_N, positive_N)) for scores_N in (first_N, second_N))
    variance = sum(float(np.var(b - a, ddof=1)) / len(a) for a, b in zip(first, second, strict=True))
    return Compared(float(first[0].mean()), float(second[0].mean()), float(np.sqrt(variance)))


def _placements(scores_N: Floats, positive_N: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Of each positive the share of negatives below it, of each negative the share of positives above it; ties half."""
    ranks_N = stats.rankdata(scores_N)
    above_P, above_Q = (ranks_N[kind_N] - stats.rankdata(scores_N[kind_N]) for kind_N in (positive_N, ~positive_N))
    return above_P / len(above_Q), 1.0 - above_Q / len(above_P)


def _checked(scores_N: npt.ArrayLike, positive_N: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.bool_]]:
    scores, positive = np.asarray(scores_N, dtype=np.float64), np.asarray(positive_N, dtype=bool)
    if scores.ndim != 1 or scores.shape != positive.shape:
        raise errors.BadInput(f"{scores.shape} scores do not fit {positive.shape} positives")
    if np.isnan(scores).any():
        raise errors.NotFinite(f"the score of image {int(np.isnan(scores).argmax())} is not a number")
    return scores, positive
