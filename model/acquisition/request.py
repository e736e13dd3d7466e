"""What every strategy gets, checked once: the candidates' posterior draws and embeddings, and what is labelled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from model import chunks, errors, neighbours, streamed, uncertainty
from model.acquisition import measured

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Request:
    """`count` positions are wanted of N candidates; `draws_NSK` is None at cold start.

    The draws may be a memory map, in half precision or streamed: strategies read them a piece at a time and never
    copy all.
    """

    draws_NSK: streamed.Draws | None
    embeddings_ND: Floats
    labelled_LD: Floats
    count: int
    rng: np.random.Generator
    context: Mapping[str, Any] = field(default_factory=dict)

    @property
    def draws(self) -> streamed.Draws:
        """The posterior draws; BadInput at cold start."""
        if self.draws_NSK is None:
            raise errors.BadInput("posterior draws (log_probs_NSK) are needed and there are none")
        return self.draws_NSK

    @property
    def width(self) -> int:
        """Values of one image's draws."""
        return self.draws.shape[1] * self.draws.shape[2]

    @cached_property
    def uncertainty(self) -> measured.Measured:
        """The draws' decomposition, each part when it is asked for; BadInput at cold start."""
        return measured.Measured(self.draws)

    def mean_probs(self, rows: slice | Ints) -> npt.NDArray[np.floating]:
        """Probabilities of the candidates at `rows`, averaged over the draws -> (B, K)."""
        return uncertainty.mean_probs(self.draws[rows])

    @cached_property
    def seed(self) -> int:
        """One seed for k-means, drawn once, so that a strategy's answer depends on the generator alone."""
        return int(self.rng.integers(2**31))

    @cached_property
    def squares_N(self) -> Floats:
        """Squared lengths of the embeddings."""
        x_ND, squares_N = self.embeddings_ND, np.empty(self.size, dtype=np.float32)

        def work(rows: slice) -> None:
            squares_N[rows] = np.einsum("nd,nd->n", x_ND[rows], x_ND[rows])

        chunks.each(work, *x_ND.shape)
        return squares_N

    @cached_property
    def mean_length(self) -> float:
        """Root of the embeddings' mean squared length, the unit in which two are near each other."""
        return float(np.sqrt(neighbours.sum_of_squares(self.embeddings_ND) / max(1, self.size)))

    @property
    def size(self) -> int:
        return len(self.embeddings_ND)


def checked(
    draws_NSK: npt.ArrayLike | streamed.Streamed | None,
    embeddings_ND: npt.ArrayLike,
    labelled_LD: npt.ArrayLike | None,
    count: int,
    rng: np.random.Generator,
    context: Mapping[str, Any] | None,
) -> Request:
    """A request of finite arrays that fit each other; BadInput or NotFinite by name otherwise. `count` is cut to N."""
    embeddings = neighbours.matrix("embeddings_ND", embeddings_ND)
    empty = np.empty((0, embeddings.shape[1]), dtype=np.float32)
    labelled = empty if labelled_LD is None or not len(np.asarray(labelled_LD)) else labelled_LD
    labelled = neighbours.matrix("labelled_ND", labelled)
    if labelled.shape[1] != embeddings.shape[1]:
        raise errors.BadInput(
            f"labelled_ND has {labelled.shape[1]} dimensions, embeddings_ND has {embeddings.shape[1]}"
        )
    if count < 0:
        raise errors.BadInput(f"count must not be negative, it is {count}")
    draws = None if draws_NSK is None else _checked_draws(streamed.as_draws(draws_NSK), len(embeddings))
    return Request(draws, embeddings, labelled, min(int(count), len(embeddings)), rng, context or {})


def _checked_draws(draws: streamed.Draws, images: int) -> streamed.Draws:
    """Streamed ones are looked at where they are read."""
    if draws.ndim != 3 or len(draws) != images:
        raise errors.BadInput(f"log_probs_NSK has shape {draws.shape}, embeddings_ND has {images} rows")
    if not isinstance(draws, streamed.Streamed) and not neighbours.is_finite(draws):
        for rows in chunks.slices(images, draws[:1].size):
            finite_B = np.isfinite(draws[rows]).all(axis=(1, 2))
            if not finite_B.all():
                raise errors.NotFinite(f"log_probs_NSK is not finite at image {rows.start + int(finite_B.argmin())}")
    return draws
