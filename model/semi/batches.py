"""Which images come next: endless shuffled passes, rare classes a little oftener or every class as often."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model import errors


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


class Cycles(Order):
    """The same over `shown` random positions of `count`, others after every `cycle` takes."""

    def __init__(self, count: int, shown: int, cycle: int, rng: np.random.Generator) -> None:
        super().__init__(np.arange(0), rng)
        self.count, self.shown, self.cycle, self.takes = count, shown, cycle, 0

    def take(self, count: int) -> NDArray[np.int64]:
        """The next `count` positions."""
        if self.takes % self.cycle == 0:
            self.positions = self.rng.choice(self.count, self.shown, replace=False)
            self.waiting = self.positions[:0]
        self.takes += 1
        return super().take(count)


class Even:
    """Positions drawn with replacement, every class as often as any other."""

    def __init__(self, labels_N: NDArray[np.int64], rng: np.random.Generator) -> None:
        shares_N = 1 / np.bincount(labels_N)[labels_N]
        self.shares_N, self.rng = shares_N / shares_N.sum(), rng

    def take(self, count: int) -> NDArray[np.int64]:
        """The next `count` positions."""
        return self.rng.choice(len(self.shares_N), count, p=self.shares_N)


def labelled(oversample: str, labels_N: NDArray[np.int64], rng: np.random.Generator) -> Order | Even:
    """The order of the labelled images: "mild" passes over `balanced` positions, or "even" draws."""
    if oversample not in ("mild", "even"):
        raise errors.UnknownName("oversampling", oversample, ("mild", "even"))
    return Even(labels_N, rng) if oversample == "even" else Order(balanced(labels_N), rng)


def unlabelled(count: int, shown: int | None, cycle: int | None, rng: np.random.Generator) -> Order:
    """The order of the unlabelled images: all of them, or, where `shown` is fewer, so many in each cycle."""
    if shown and cycle and shown < count:
        return Cycles(count, shown, cycle, rng)
    return Order(np.arange(count), rng)


def balanced(labels_N: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions for one pass in which a rare class comes up to three times as often as its share."""
    counts_K = np.bincount(labels_N)
    repeats_K = np.ones(len(counts_K), dtype=np.int64)
    seen = counts_K > 0
    repeats_K[seen] = np.clip(np.round(np.sqrt(counts_K.max() / counts_K[seen])), 1, 3)
    return np.repeat(np.arange(len(labels_N)), repeats_K[labels_N])
