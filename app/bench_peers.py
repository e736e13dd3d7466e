"""Other libraries' own implementations of the same strategies, for `bench select --peers`: one small adapter each.

Needs them beside the project: pip install scikit-activeml small-text baal modAL-python (no pins fight with ours).
Probabilities are arrays in memory before the clock starts, as these libraries take them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import bench_arrays

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass
class Known:
    """What a peer is given: the pool, the labels, probabilities of the mean and, for `bald`, of each draw."""

    embeddings_ND: Floats
    labelled_LD: Floats
    labels_L: Ints
    probs_NK: Floats
    draws_SNK: Floats

    @property
    def bytes(self) -> int:
        return sum(each.nbytes for each in vars(self).values())


Ask = Callable[[Known, int], Any]
PACKAGES = {
    "scikit-activeml": "scikit-activeml",
    "modAL": "modAL-python",
    "baal": "baal",
    "small-text": "small-text",
}


def installed() -> dict[str, str]:
    """Version of each peer that is installed."""
    found = {}
    for name, package in PACKAGES.items():
        try:
            found[name] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def known(arrays: bench_arrays.Arrays, strategy: str, draws: int) -> Known:
    """The arrays as peers take them; draws only for the strategies that compare them."""
    embeddings_ND, probs_NK = arrays.embeddings_ND, np.exp(arrays.log_probs_NSK[:, 0].astype(np.float32))
    draws_SNK = np.empty((0, 0, 0), dtype=np.float32)
    if strategy == "bald":
        draws_SNK = np.empty((draws, *probs_NK.shape), dtype=np.float32)
        read = bench_arrays.drawn(arrays.layer(), embeddings_ND, draws, np.random.default_rng(0))
        for at in range(0, len(embeddings_ND), 1000):
            draws_SNK[:, at : at + 1000] = np.exp(read(slice(at, at + 1000))).swapaxes(0, 1)
    return Known(embeddings_ND, arrays.labelled_LD, arrays.labels_L, probs_NK, draws_SNK)


def warm(peer: str, strategy: str) -> None:
    """Imports of the peer and whatever it prepares once, on a few made-up rows: no part of what is measured."""
    rng = np.random.default_rng(0)
    x_ND = rng.standard_normal((40, 4), dtype=np.float32)
    draws_SNK = rng.dirichlet(np.ones(2), size=(3, 40)).astype(np.float32)
    ask(peer, strategy, Known(x_ND, x_ND[:4], np.array([0, 0, 1, 1]), draws_SNK[0], draws_SNK), 2)


def ask(peer: str, strategy: str, given: Known, count: int) -> Ints:
    """Positions that the peer chooses; whatever it raises comes through."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(TABLE[peer][strategy](given, count), dtype=np.int64).ravel()


def _activeml(name: str, *, with_model: str = "", **options: Any) -> Ask:
    """A query strategy of scikit-activeml on labelled rows before the pool; `with_model` names its argument."""

    def run(given: Known, count: int) -> Any:
        from skactiveml import pool

        x_ND = np.concatenate([given.labelled_LD, given.embeddings_ND])
        y_N = np.full(len(x_ND), np.nan)
        y_N[: len(given.labels_L)] = given.labels_L
        more: dict[str, Any] = {}
        if with_model:
            more = {with_model: _frozen(given, x_ND, y_N), f"fit_{with_model}": False}
        strategy = getattr(pool, name)(random_state=0, **options)
        return np.asarray(strategy.query(x_ND, y_N, batch_size=count, **more)) - len(given.labels_L)

    return run


def _frozen(given: Known, x_ND: Floats, y_N: Floats) -> Any:
    """A classifier of scikit-activeml with the probabilities at hand; classes of changed rows by their class means."""
    from skactiveml.base import SkactivemlClassifier

    class Frozen(SkactivemlClassifier):  # type: ignore[misc, unused-ignore]
        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
            self._validate_data(X, y, sample_weight)
            return self

        def predict_proba(self, X: Any) -> Any:
            return given.probs_NK

        def predict(self, X: Any) -> Any:
            return (X @ means_KD.T - 0.5 * (means_KD**2).sum(axis=1)).argmax(axis=1)

    few = slice(0, len(given.labels_L))
    means_KD = np.stack([given.labelled_LD[given.labels_L == k].mean(axis=0) for k in np.unique(given.labels_L)])
    return Frozen(classes=np.arange(given.probs_NK.shape[1])).fit(x_ND[few], y_N[few])


def _activeml_bald(given: Known, count: int) -> Any:
    from skactiveml.pool import batch_bald

    return np.argsort(-batch_bald(given.draws_SNK, batch_size=1)[0])[:count]


def _modal(name: str) -> Ask:
    def run(given: Known, count: int) -> Any:
        from modAL import uncertainty

        return getattr(uncertainty, name)(_Model(given), given.embeddings_ND, n_instances=count)[0]

    return run


def _baal(name: str) -> Ask:
    def run(given: Known, count: int) -> Any:
        from baal.active import heuristics

        probs = given.draws_SNK.transpose(1, 2, 0) if name == "BALD" else given.probs_NK
        return getattr(heuristics, name)()(probs)[:count]

    return run


def _small_text(name: str, **options: Any) -> Ask:
    def run(given: Known, count: int) -> Any:
        from small_text import query_strategies

        pool_N = np.arange(len(given.embeddings_ND))
        strategy = getattr(query_strategies, name)(**options)
        return strategy.query(_Model(given), given.embeddings_ND, pool_N, pool_N[:0], given.labels_L[:0], n=count)

    return run


def _small_text_coreset(given: Known, count: int) -> Any:
    from small_text.query_strategies.coresets import greedy_coreset

    x_ND, taught = np.concatenate([given.labelled_LD, given.embeddings_ND]), len(given.labels_L)
    pool_N = np.arange(taught, len(x_ND))
    return greedy_coreset(x_ND, pool_N, np.arange(taught), count, distance_metric="euclidean")


class _Model:
    """Answers with the probabilities at hand; draws when dropout is asked for."""

    def __init__(self, given: Known) -> None:
        self.given = given

    def predict_proba(self, x: Any, dropout_sampling: int = 1, **_: Any) -> Any:
        return self.given.draws_SNK.swapaxes(0, 1) if dropout_sampling > 1 else self.given.probs_NK


TABLE: dict[str, dict[str, Ask]] = {
    "scikit-activeml": {
        "margin": _activeml("UncertaintySampling", with_model="clf", method="margin_sampling"),
        "entropy": _activeml("UncertaintySampling", with_model="clf", method="entropy"),
        "bald": _activeml_bald,
        "badge": _activeml("Badge", with_model="clf"),
        "clue": _activeml("Clue", with_model="estimator"),
        "drop_query": _activeml("DropQuery", with_model="clf"),
        "coreset": _activeml("CoreSet"),
        "typiclust": _activeml("TypiClust"),
        "probcover": _activeml("ProbCover"),
    },
    "modAL": {"margin": _modal("margin_sampling"), "entropy": _modal("entropy_sampling")},
    "baal": {"margin": _baal("Margin"), "entropy": _baal("Entropy"), "bald": _baal("BALD")},
    "small-text": {
        "margin": _small_text("BreakingTies"),
        "entropy": _small_text("PredictionEntropy"),
        "bald": _small_text("BALD", dropout_samples=2),
        "coreset": _small_text_coreset,
    },
}
