"""What every strategy gets, checked once: the candidates' posterior draws and embeddings, and what is labelled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from model import errors, neighbours, uncertainty

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Request:
    """`count` positions are wanted of N candidates; `draws_NSK` is None at cold start."""

    draws_NSK: npt.NDArray[np.floating] | None
    embeddings_ND: Floats
    labelled_LD: Floats
    count: int
    rng: np.random.Generator
    context: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def uncertainty(self) -> uncertainty.Uncertainty:
        """The draws' decomposition; BadInput at cold start."""
        if self.draws_NSK is None:
            raise errors.BadInput("this strategy needs posterior draws (log_probs_NSK); ask by 'typical' at cold start")
        return uncertainty.decompose(self.draws_NSK)

    @cached_property
    def seed(self) -> int:
        """One seed for k-means, drawn once, so that a strategy's answer depends on the generator alone."""
        return int(self.rng.integers(2**31))

    @property
    def size(self) -> int:
        return len(self.embeddings_ND)


def checked(
    draws_NSK: npt.ArrayLike | None,
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
    draws = None if draws_NSK is None else np.asarray(draws_NSK)
    if draws is not None and (draws.ndim != 3 or len(draws) != len(embeddings)):
        raise errors.BadInput(f"log_probs_NSK has shape {draws.shape}, embeddings_ND has {len(embeddings)} rows")
    if draws is not None and not np.isfinite(draws).all():
        bad = int((~np.isfinite(draws).all(axis=(1, 2))).argmax())
        raise errors.NotFinite(f"log_probs_NSK is not finite at image {bad}")
    return Request(draws, embeddings, labelled, min(int(count), len(embeddings)), rng, context or {})
