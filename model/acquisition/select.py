"""The table of acquisition strategies by name, and the one function that calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from model import errors, streamed
from model.acquisition import (
    automatic,
    badge,
    batch_bald,
    central,
    clustered,
    coreset,
    epig,
    probcover,
    ranked,
    request,
    typiclust,
)

Ints = npt.NDArray[np.int64]

STRATEGIES: dict[str, Callable[[request.Request], Ints]] = {
    "auto": automatic.auto,
    "badge": badge.badge,
    "bald": ranked.bald,
    "batch_bald": batch_bald.batch_bald,
    "clue": central.clue,
    "cluster_margin": clustered.cluster_margin,
    "coreset": coreset.coreset,
    "drop_query": central.drop_query,
    "entropy": ranked.entropy,
    "epig": epig.epig,
    "least_confidence": ranked.least_confidence,
    "margin": ranked.margin,
    "power_bald": ranked.power_bald,
    "probcover": probcover.probcover,
    "random": ranked.random,
    "typical": clustered.typical,
    "typiclust": typiclust.typiclust,
}
NEEDS_NOTHING = frozenset({"auto", "coreset", "probcover", "random", "typical", "typiclust"})  # no posterior draws
COMPARES_DRAWS = frozenset({"bald", "batch_bald", "drop_query", "epig", "power_bald"})  # nothing to rank by with one


def select(
    strategy: str,
    *,
    log_probs_NSK: npt.ArrayLike | streamed.Streamed | None,
    embeddings_ND: npt.ArrayLike,
    labelled_ND: npt.ArrayLike | None,
    count: int,
    rng: np.random.Generator,
    context: Mapping[str, Any] | None = None,
) -> Ints:
    """Positions into `embeddings_ND` (the candidates), best first, unique, `count` of them or all there are.

    `log_probs_NSK` is None and `labelled_ND` empty at cold start; `streamed.Streamed` computes it where it is read.
    Distances between embeddings are taken as they are: give them in a space where they mean something, such as
    `last_layer.Prepared.x_NR`. `context` may hold "num_classes". Raises UnknownName, BadInput (arrays that do not fit
    each other, or lack what the strategy needs) and NotFinite (naming the row).
    """
    if strategy not in STRATEGIES:
        raise errors.UnknownName("strategy", strategy, STRATEGIES)
    asked = request.checked(log_probs_NSK, embeddings_ND, labelled_ND, count, rng, context)
    _check_needs(strategy, asked)
    positions = np.asarray(STRATEGIES[strategy](asked), dtype=np.int64)
    inside = (positions >= 0) & (positions < asked.size)
    if len(np.unique(positions)) != asked.count or len(positions) != asked.count or not inside.all():
        raise RuntimeError(f"strategy {strategy!r} answered {len(positions)} positions where {asked.count} were asked")
    return positions


def _check_needs(strategy: str, asked: request.Request) -> None:
    if strategy in NEEDS_NOTHING:
        return
    if asked.draws_NSK is None:
        raise errors.BadInput(
            f"strategy {strategy!r} needs posterior draws (log_probs_NSK) and there are none; "
            "at cold start ask by 'typical'"
        )
    draws = asked.draws_NSK.shape[1]
    if strategy in COMPARES_DRAWS and draws < 2:
        raise errors.BadInput(
            f"strategy {strategy!r} compares posterior draws and needs two or more, log_probs_NSK has {draws}; "
            "for one mean posterior take 'margin'"
        )
