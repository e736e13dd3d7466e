"""Posterior draws computed where they are read: a million images times twenty draws never stand in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.floating]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Streamed:
    """Stands for log_probs_NSK of `shape`: indexing its first axis calls `read` with those rows -> log_probs_BSK.

    `read` gives the same answer for the same row whenever it is asked, from any thread; a caller reads a piece at a time.
    """

    read: Callable[[slice | Ints], Reals]
    shape: tuple[int, int, int]
    ndim: int = 3

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Ints) -> Reals:
        return self.read(rows)


Draws = npt.NDArray[np.floating] | Streamed


def as_draws(log_probs_NSK: npt.ArrayLike | Streamed) -> Draws:
    """What is streamed as it is, anything else as an array."""
    return log_probs_NSK if isinstance(log_probs_NSK, Streamed) else np.asarray(log_probs_NSK)
