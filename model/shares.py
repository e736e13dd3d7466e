"""Intervals of a share and of the difference of two. Nothing but the standard library: the page uses it too."""

from __future__ import annotations

import math

from model import errors

Z = 1.959964  # 95 %


def wilson(successes: int, n: int, *, z: float = Z) -> tuple[float, float]:
    """Wilson's score interval of a share (95 % by default); (0, 1) when nothing was measured."""
    if not 0 <= successes <= n:
        raise errors.BadInput(f"{successes} successes of {n} trials is no share")
    if n == 0:
        return 0.0, 1.0
    share, square = successes / n, z * z / n
    centre = (share + square / 2) / (1 + square)
    half = z * math.sqrt(share * (1 - share) / n + square / (4 * n)) / (1 + square)
    return max(0.0, centre - half), min(1.0, centre + half)


def difference(first: tuple[int, int], second: tuple[int, int]) -> tuple[float, float, float]:
    """The difference of two shares (successes, trials) with its 95 % interval: Newcombe 1998, method 10, from Wilson's."""
    (p, low_p, high_p), (q, low_q, high_q) = ((k / n, *wilson(k, n)) for k, n in (first, second))
    found = p - q
    return found, found - math.hypot(p - low_p, high_q - q), found + math.hypot(high_p - p, q - low_q)
