"""The marks that tell the demo pool's classes apart, as closed outlines."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def circle(turn: Points, radius: float) -> Points:
    """Points of a circle round the origin at the angles `turn` (radians)."""
    points: Points = np.stack([np.cos(turn), np.sin(turn)], 1) * radius
    return points


def moved(points: Points, x: float, y: float) -> Points:
    """The same outline, shifted."""
    shifted: Points = points + np.array([x, y])
    return shifted


def _bar() -> list[Points]:
    return [_rounded(1.0, 0.34)]


def _ring() -> list[Points]:
    turn = np.linspace(0, 2 * math.pi, 33)
    outer, inner = circle(turn, 0.92), circle(turn[::-1], 0.48)
    return [np.concatenate([outer, inner])]


def _cross() -> list[Points]:
    a, b = 0.27, 0.95
    return [
        np.array(
            [[-a, -b], [a, -b], [a, -a], [b, -a], [b, a], [a, a], [a, b], [-a, b], [-a, a], [-b, a], [-b, -a], [-a, -a]]
        )
    ]


def _chevron() -> list[Points]:
    return [np.array([[-1.0, -0.75], [0.0, 0.15], [1.0, -0.75], [1.0, -0.05], [0.0, 0.85], [-1.0, -0.05]])]


def _twin() -> list[Points]:
    turn = np.linspace(0, 2 * math.pi, 25)[:-1]
    return [moved(circle(turn, 0.42), -0.58, 0.0), moved(circle(turn, 0.42), 0.58, 0.0)]


def _diamond() -> list[Points]:
    return [np.array([[0.0, -1.0], [0.78, 0.0], [0.0, 1.0], [-0.78, 0.0]])]


def _crescent() -> list[Points]:
    outer = moved(circle(np.linspace(math.pi * 1.08, -math.pi * 0.08, 25), 0.98), 0.0, -0.35)
    inner = moved(circle(np.linspace(-math.pi * 0.02, math.pi * 1.02, 25), 0.72), 0.0, -0.62)
    return [np.concatenate([outer, inner])]


def _arrow() -> list[Points]:
    return [
        np.array([[0.0, -1.0], [0.85, -0.05], [0.27, -0.05], [0.27, 1.0], [-0.27, 1.0], [-0.27, -0.05], [-0.85, -0.05]])
    ]


def _rounded(half_width: float, half_height: float) -> Points:
    """A superellipse: a bar with soft ends."""
    turn = np.linspace(0, 2 * math.pi, 29)[:-1]
    unit = circle(turn, 1.0)
    return np.sign(unit) * np.abs(unit) ** 0.35 * (half_width, half_height)


# In the mark's own square, -1..1 each way, y towards the tail.
FIGURES: dict[str, list[Points]] = {
    "bar": _bar(),
    "ring": _ring(),
    "cross": _cross(),
    "chevron": _chevron(),
    "twin": _twin(),
    "diamond": _diamond(),
    "crescent": _crescent(),
    "arrow": _arrow(),
}
