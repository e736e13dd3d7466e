"""How unsure the posterior is of each candidate, every part computed when a strategy first asks for it."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt

from model import streamed, uncertainty

Floats = npt.NDArray[np.float64]


class Measured:
    """The columns of `uncertainty.Uncertainty`. Of one mean posterior, margin and confidence read two values a row."""

    def __init__(self, draws_NSK: streamed.Draws) -> None:
        self.draws = draws_NSK

    @property
    def total_N(self) -> Floats:
        """Entropy of the mean, in nats."""
        return self._all.total_N

    @property
    def aleatoric_N(self) -> Floats:
        """Mean entropy of the draws, in nats."""
        return self._all.aleatoric_N

    @property
    def epistemic_N(self) -> Floats:
        """Mutual information of label and weights, in nats."""
        return self._all.epistemic_N

    @cached_property
    def margin_N(self) -> Floats:
        """Difference of the two largest mean probabilities."""
        top_N, second_N = self.two_likeliest or (self._all.margin_N, 0.0)
        return np.asarray(top_N - second_N)

    @property
    def confidence_N(self) -> Floats:
        """Largest mean probability."""
        return self._all.confidence_N if self.two_likeliest is None else self.two_likeliest[0]

    @cached_property
    def two_likeliest(self) -> tuple[Floats, Floats] | None:
        """The two largest probabilities of one mean posterior; None where there are several draws, or streamed ones."""
        if isinstance(self.draws, streamed.Streamed) or self.draws.shape[1] != 1:
            return None
        return uncertainty.two_likeliest(self.draws[:, 0])

    @cached_property
    def _all(self) -> uncertainty.Uncertainty:
        return uncertainty.decompose(self.draws, with_mean=False)
