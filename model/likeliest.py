"""The two likeliest classes of each image of a pool: all that ranking it by the margin needs to know."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Likeliest:
    """Of each image the likeliest class, its probability and that of the second (0 with a single class)."""

    class_M: npt.NDArray[np.int64]
    top_M: Floats
    second_M: Floats

    @classmethod
    def empty(cls, images: int) -> Likeliest:
        """Room for so many images, filled by `put`."""
        return cls(np.empty(images, np.int64), np.empty(images, np.float32), np.zeros(images, np.float32))

    def put(self, rows: slice, log_probs_BK: Floats) -> None:
        """Note those of log-probabilities, which are overwritten."""
        at_B, first_B = np.arange(len(log_probs_BK)), log_probs_BK.argmax(axis=1)
        self.class_M[rows], self.top_M[rows] = first_B, np.exp(log_probs_BK[at_B, first_B])
        if log_probs_BK.shape[1] > 1:
            log_probs_BK[at_B, first_B] = -np.inf
            self.second_M[rows] = np.exp(log_probs_BK.max(axis=1))

    def with_rows(self, rows: npt.NDArray[np.int64], new: Likeliest) -> Likeliest:
        """The same with those of some rows replaced."""
        class_M, top_M, second_M = self.class_M.copy(), self.top_M.copy(), self.second_M.copy()
        class_M[rows], top_M[rows], second_M[rows] = new.class_M, new.top_M, new.second_M
        return Likeliest(class_M, top_M, second_M)

    @property
    def margin_M(self) -> Floats:
        """Difference of the two: 0 undecided, 1 certain."""
        return self.top_M - self.second_M
