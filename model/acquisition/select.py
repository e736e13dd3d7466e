"""The table of acquisition strategies by name, and the one function that calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from model import errors
from model.acquisition import automatic, clustered, ranked, request

Ints = npt.NDArray[np.int64]

STRATEGIES: dict[str, Callable[[request.Request], Ints]] = {
    "auto": automatic.auto,
    "bald": ranked.bald,
    "cluster_margin": clustered.cluster_margin,
    "entropy": ranked.entropy,
    "margin": ranked.margin,
    "random": ranked.random,
    "typical": clustered.typical,
}


def select(
    strategy: str,
    *,
    log_probs_NSK: npt.ArrayLike | None,
    embeddings_ND: npt.ArrayLike,
    labelled_ND: npt.ArrayLike | None,
    count: int,
    rng: np.random.Generator,
    context: Mapping[str, Any] | None = None,
) -> Ints:
    """Positions into `embeddings_ND` (the candidates), best first, unique, `count` of them or all there are.

    `log_probs_NSK` is None and `labelled_ND` empty at cold start. Distances between embeddings are taken as they are:
    give them in a space where they mean something, such as `last_layer.Prepared.x_NR`. `context` may hold
    "num_classes". Raises UnknownName, BadInput (arrays that do not fit each other) and NotFinite (naming the row).
    """
    if strategy not in STRATEGIES:
        raise errors.UnknownName("strategy", strategy, STRATEGIES)
    asked = request.checked(log_probs_NSK, embeddings_ND, labelled_ND, count, rng, context)
    positions = np.asarray(STRATEGIES[strategy](asked), dtype=np.int64)
    inside = (positions >= 0) & (positions < asked.size)
    if len(np.unique(positions)) != asked.count or len(positions) != asked.count or not inside.all():
        raise RuntimeError(f"strategy {strategy!r} answered {len(positions)} positions where {asked.count} were asked")
    return positions
