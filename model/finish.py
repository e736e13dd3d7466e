"""Certified finish: how many open images the model may label so that, with high probability, few of the labels are wrong.

What is proved. An image has a score, and at threshold t the model labels every open image whose score is above t. Let
r(t) be how many of those labels are wrong and N the number of all images, answered or not. Each blind answer is a draw
(a holdout image from all images, an audit from all that were open when it was asked, more of them than now) whose
chance of being a wrong label above t is at least q(t) = r(t) / N. With m draws, k(t) of them wrong above t, the bounds
u_0 < u_1 < ... satisfy

    P( q(t) <= u_k(t) for every t at once ) >= 0.95,    so    r(t) <= N u_k(t)    for every t at once.

The threshold may therefore be chosen after looking at the answers, for one error rate after the other: the promise is
about the whole curve, not about one point of it. Plain conformal risk control (Angelopoulos et al. 2022, arXiv
2208.02814) bounds the expectation of the share only; this is the high-probability form (risk-controlling sets, Bates
et al. 2021, arXiv 2101.02703; Learn then Test, Angelopoulos et al. 2021, arXiv 2110.01052) with one exact binomial
band in place of a test per threshold.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from model import errors

Doubles = npt.NDArray[np.float64]

CONFIDENCE = 0.95
MOST_MISTAKES = 150  # bounds beyond are of no use to anybody
LARGEST_BOUND = 0.25  # share of all images
HALVINGS = 14
TYPICAL_LEVEL = 0.028  # what `bounds` finds for the level of no mistake at 95 %, almost whatever m is
MOST_NEEDED = 5000


@dataclass(frozen=True)
class Frontier:
    """The useful thresholds, loosest last: with score above thresholds_J the model labels model_J open images, and at
    most wrong_J of these labels are wrong. `answers`: draws behind it, after the discount for groups."""

    thresholds_J: Doubles
    model_J: npt.NDArray[np.int64]
    wrong_J: Doubles
    mistakes_J: npt.NDArray[np.int64]
    answers: int


@functools.lru_cache(maxsize=64)
def bounds(answers: int, *, confidence: float = CONFIDENCE) -> tuple[float, ...]:
    """u_0, u_1, ...: simultaneous upper bounds on a share after 0, 1, ... mistakes among `answers` draws.

    u_k is the Clopper-Pearson bound at level c / (k + 1), so that few mistakes keep tight bounds; c is the largest with
    P(some order statistic U_(k+1) > u_k) <= 1 - confidence. That probability is exact, by the first crossing: at the
    first k with N(u_k) <= k no draw fell between u_(k-1) and u_k, hence N(u_k) = k, and with p_k its probability

        P(N(u_j) = j) = sum over i <= j of p_i P(j - i of the other m - i draws fall between u_i and u_j)

    (the recursion of Durbin 1973 and Noe 1972 for one-sided bands; the shape is Berk and Jones 1979 with weights).
    """
    if answers < 1:
        return ()
    low, high = 0.1 * (1 - confidence), 1 - confidence
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if _crosses(_levels(answers, middle), answers) > 1 - confidence else (middle, high)
    return tuple(_levels(answers, low).tolist())


def frontier(
    scores_T: npt.ArrayLike,
    wrong_T: npt.ArrayLike,
    *,
    open_scores_N: npt.ArrayLike,
    population: int,
    groups_T: npt.ArrayLike | None = None,
    confidence: float = CONFIDENCE,
) -> Frontier:
    """The frontier from blind answers: out-of-sample score of each, and whether the model's top class was wrong.

    `open_scores_N` of all open images, `population` the number of all images. Draws of one group (near-duplicates) say
    less than as many strangers: their number and that of the mistakes are divided by Kish's design effect
    sum s^2 / sum s over the groups' sizes s (as Korn and Graubard 1998 do), rounded to the safe side.
    """
    scores, wrong = np.asarray(scores_T, dtype=np.float64), np.asarray(wrong_T, dtype=bool)
    open_N = np.sort(np.asarray(open_scores_N, dtype=np.float64))
    if scores.shape != wrong.shape or scores.ndim != 1:
        raise errors.BadInput(f"{scores.shape} scores do not fit {wrong.shape} answers")
    if not (np.isfinite(scores).all() and np.isfinite(open_N).all()):
        raise errors.NotFinite("scores hold NaN or infinity")
    effect = _design_effect(np.arange(len(scores)) if groups_T is None else np.asarray(groups_T))
    answers = int(len(scores) / effect)
    u_K = np.array(bounds(answers, confidence=confidence))
    cuts = np.append(np.sort(scores[wrong])[::-1], -np.inf)  # above the k-th of them lie at most k mistakes
    counted = np.ceil(np.arange(len(cuts)) / effect - 1e-9).astype(np.int64)
    keep = counted < len(u_K)
    cuts, counted = cuts[keep], counted[keep]
    model = len(open_N) - np.searchsorted(open_N, cuts, side="right")
    return Frontier(cuts, model.astype(np.int64), population * u_K[counted], counted, answers)


def needed(found: Frontier, *, population: int, people: int, still_open: int, share: float) -> int | None:
    """About how many more blind answers let the model label half of the open images at error rate `share`.

    It supposes that mistakes come at the rate seen so far; 0 when it may already, None when thousands would not do.
    """
    half = still_open / 2
    best: int | None = None
    for model, wrong, mistakes in zip(found.model_J, found.wrong_J, found.mistakes_J, strict=True):
        if model < half:
            continue
        if wrong <= share * (people + model):
            return 0
        best = _fewest(int(mistakes), found.answers, share * (people + int(model)) / population, best)
    if not len(found.model_J):
        best = _fewest(0, 0, share * (people + still_open / 2) / population, best)
    return best


def _fewest(mistakes: int, answers: int, wanted: float, best: int | None) -> int | None:
    more = 5
    while more <= MOST_NEEDED and (best is None or more < best):
        m = answers + more
        k = int(np.ceil(mistakes * m / max(answers, 1)))
        if k < m and special.betaincinv(k + 1, m - k, 1 - TYPICAL_LEVEL / (k + 1)) <= wanted:
            return more
        more = int(more * 1.1) + 5
    return best


def _levels(answers: int, level: float) -> Doubles:
    k = np.arange(min(answers, MOST_MISTAKES, int(LARGEST_BOUND * answers) + 3))
    return np.asarray(special.betaincinv(k + 1, answers - k, 1 - level / (k + 1)), dtype=np.float64)


def _crosses(u_K: Doubles, m: int) -> float:
    """P(some U_(k+1) > u_k) for the order statistics of m uniform draws."""
    first_K = np.zeros(len(u_K))
    for j, u in enumerate(u_K):
        i = np.arange(j)
        between = _binomial(j - i, m - i, (u - u_K[:j]) / (1 - u_K[:j]))
        first_K[j] = _binomial(np.array([j]), np.array([m]), np.array([u]))[0] - first_K[:j] @ between
    return float(first_K.sum())


def _binomial(k: npt.NDArray[np.int64], n: npt.NDArray[np.int64], p: Doubles) -> Doubles:
    ways = special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)
    return np.asarray(np.exp(ways + special.xlogy(k, p) + special.xlog1py(n - k, -p)))


def _design_effect(groups_T: npt.NDArray[np.generic]) -> float:
    sizes = np.unique(groups_T, return_counts=True)[1] if len(groups_T) else np.ones(1)
    return float((sizes.astype(np.float64) ** 2).sum() / sizes.sum())
