"""Which images come next: endless shuffled passes, rare classes a little oftener."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class Order:
    """Endless passes over positions, each pass in a new order."""

    def __init__(self, positions: NDArray[np.int64], rng: np.random.Generator) -> None:
        self.positions, self.rng = positions, rng
        self.waiting: NDArray[np.int64] = positions[:0]

    def take(self, count: int) -> NDArray[np.int64]:
        """The next `count` positions."""
        while len(self.waiting) < count:
            self.waiting = np.concatenate([self.waiting, self.rng.permutation(self.positions)])
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        return taken


def balanced(labels_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions for one pass in which a rare class comes up to three times as often as its share."""
    counts_K = np.bincount(labels_N)
    repeats_K = np.ones(len(counts_K), dtype=np.int64)
    seen = counts_K > 0
    repeats_K[seen] = np.clip(np.round(np.sqrt(counts_K.max() / counts_K[seen])), 1, 3)
    return np.repeat(np.arange(len(labels_N)), repeats_K[labels_N])
