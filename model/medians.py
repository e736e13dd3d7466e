"""Medians with 95 % intervals that no shape of the distribution is needed for. Nothing but the standard library."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from model.shares import Z

FEWEST = 6  # values from which an interval is told; of fewer the range itself holds the median in less than 95 %
MOST_PAIRED = 1000  # differences that are averaged two by two; of more their plain median is taken


def median(values: Sequence[float]) -> tuple[float, float, float] | None:
    """The median and the order statistics between which it lies by the binomial law; None of fewer than FEWEST."""
    n = len(values)
    if n < FEWEST:
        return None
    ordered = sorted(values)
    at = max(0, math.floor(n / 2 - Z * math.sqrt(n) / 2 - 0.5))
    return statistics.median(ordered), ordered[at], ordered[n - 1 - at]


def centre(differences: Sequence[float]) -> tuple[float, float, float] | None:
    """Hodges and Lehmann's (1963) centre of paired differences with the interval of Wilcoxon's signed-rank test.

    The median of all means of two; the interval's ends are those means that the test just does not refuse. It takes the
    differences to be independent and to lie evenly about their centre. None of fewer than FEWEST.
    """
    n = len(differences)
    if not FEWEST <= n <= MOST_PAIRED:
        return median(differences)
    means = sorted((differences[i] + differences[j]) / 2 for i in range(n) for j in range(i, n))
    least = round(n * (n + 1) / 4 - Z * math.sqrt(n * (n + 1) * (2 * n + 1) / 24))
    at = max(0, least - 1)
    return statistics.median(means), means[at], means[len(means) - 1 - at]
