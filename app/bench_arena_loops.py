"""The labelling loops that `bench arena` compares: other libraries' own and ours, all behind teach, ask and predict."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from model import acquisition, last_layer

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

STRENGTH = 10.0  # C of the logistic regression
DRAWS = 20
UNSEEN = 1e-6  # probability of a class that the regression has no label of


@dataclass(frozen=True)
class Pool:
    """What every loop gets: features of the pool (of one scale), its labels, asked one by one, and a seed."""

    x_ND: Floats
    labels_N: Ints
    classes: int
    seed: int


class Loop(Protocol):
    """Positions are into the pool. `teach` gives more labels and fits anew; the first call starts the loop."""

    def teach(self, positions: Ints) -> None: ...
    def ask(self, count: int) -> Ints: ...
    def predict(self, x_MD: Floats) -> Ints: ...


def regression() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=STRENGTH, max_iter=1000)


@dataclass
class Ours:
    """Our strategies, on our last layer or (`regressed`) on the regression that the others use."""

    pool: Pool
    strategy: str
    regressed: bool = False
    known: list[int] = field(default_factory=list)
    model: Any = None

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng([self.pool.seed, 7])
        self.prepared = last_layer.prepare(self.pool.x_ND, rng=self.rng)

    def teach(self, positions: Ints) -> None:
        self.known.extend(positions.tolist())
        labels = self.pool.labels_N[self.known]
        if self.regressed:
            self.model = regression().fit(self.pool.x_ND[self.known], labels)
        else:
            config = (None, np.array(self.known), labels, self.pool.classes)
            self.model = last_layer.fit(*config, rng=self.rng, prepared=self.prepared)

    def ask(self, count: int) -> Ints:
        open_N = np.setdiff1d(np.arange(len(self.pool.x_ND)), self.known)
        space_ND = self.pool.x_ND if self.regressed else self.prepared.x_NR
        chosen = acquisition.select(
            self.strategy,
            log_probs_NSK=self._log_probs(open_N),
            embeddings_ND=space_ND[open_N],
            labelled_ND=space_ND[self.known],
            count=count,
            rng=self.rng,
            context=acquisition.situation(
                space_ND,
                labelled=np.array(self.known),
                labels=self.pool.labels_N[self.known],
                rejected=np.empty(0, dtype=np.int64),
                candidates=open_N,
                num_classes=self.pool.classes,
                rng=self.rng,
            ),
        )
        return np.asarray(open_N[chosen])

    def predict(self, x_MD: Floats) -> Ints:
        if self.regressed:
            return np.asarray(self.model.predict(x_MD))
        return np.asarray(self.model.log_probs(x_MD).argmax(axis=1))

    def _log_probs(self, open_N: Ints) -> Floats:
        if not self.regressed:
            return np.asarray(self.model.draws_at(self.prepared.x_NR[open_N], DRAWS, self.rng))
        probs_NK = np.full((len(open_N), self.pool.classes), UNSEEN)
        probs_NK[:, self.model.classes_] = np.maximum(self.model.predict_proba(self.pool.x_ND[open_N]), UNSEEN)
        return np.asarray(np.log(probs_NK / probs_NK.sum(axis=1, keepdims=True))[:, None], dtype=np.float32)


@dataclass
class ActiveMl:
    """scikit-activeml's own loop: a wrapped regression, missing labels, a query strategy."""

    pool: Pool
    name: str
    takes: str = ""  # the argument by which the strategy takes the classifier
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from skactiveml import classifier
        from skactiveml import pool as strategies

        self.y_N = np.full(len(self.pool.x_ND), np.nan)
        self.model = classifier.SklearnClassifier(
            regression(), classes=np.arange(self.pool.classes), random_state=self.pool.seed
        )
        self.strategy = getattr(strategies, self.name)(random_state=self.pool.seed, **self.options)

    def teach(self, positions: Ints) -> None:
        self.y_N[positions] = self.pool.labels_N[positions]
        self.model.fit(self.pool.x_ND, self.y_N)

    def ask(self, count: int) -> Ints:
        more = {self.takes: self.model, f"fit_{self.takes}": False} if self.takes else {}
        return np.asarray(self.strategy.query(self.pool.x_ND, self.y_N, batch_size=count, **more), dtype=np.int64)

    def predict(self, x_MD: Floats) -> Ints:
        return np.asarray(self.model.predict(x_MD), dtype=np.int64)


@dataclass
class ModAl:
    """modAL's ActiveLearner, which is taught the answers only."""

    pool: Pool
    name: str
    known: list[int] = field(default_factory=list)
    learner: Any = None

    def teach(self, positions: Ints) -> None:
        from modAL import models, uncertainty
        from modAL.models import learners

        learners.check_X_y = _checked
        x_BD, y_B = self.pool.x_ND[positions], self.pool.labels_N[positions]
        if self.known:
            self.learner.teach(x_BD, y_B)
        else:
            how = getattr(uncertainty, self.name)
            self.learner = models.ActiveLearner(regression(), query_strategy=how, X_training=x_BD, y_training=y_B)
        self.known.extend(positions.tolist())

    def ask(self, count: int) -> Ints:
        open_N = np.setdiff1d(np.arange(len(self.pool.x_ND)), self.known)
        return np.asarray(open_N[self.learner.query(self.pool.x_ND[open_N], n_instances=count)[0]])

    def predict(self, x_MD: Floats) -> Ints:
        return np.asarray(self.learner.predict(x_MD))


def _checked(*given: Any, force_all_finite: bool = True, **options: Any) -> Any:
    """scikit-learn's check under the name its option had before 1.8, by which modAL 0.4.2.1 calls it (its issue 196)."""
    from sklearn.utils import check_X_y

    return check_X_y(*given, ensure_all_finite=force_all_finite, **options)


@dataclass
class SmallText:
    """small-text's PoolBasedActiveLearner over a dense matrix."""

    pool: Pool
    name: str
    started: bool = False

    def __post_init__(self) -> None:
        from small_text import PoolBasedActiveLearner, query_strategies
        from small_text.classifiers.factories import SklearnClassifierFactory

        factory = SklearnClassifierFactory(regression(), self.pool.classes)
        self.learner = PoolBasedActiveLearner(
            factory, getattr(query_strategies, self.name)(), self._wrapped(self.pool.x_ND)
        )

    def teach(self, positions: Ints) -> None:
        labels = self.pool.labels_N[positions]
        if self.started:
            self.learner.update(labels)  # of those it asked last
        else:
            self.learner.initialize_data(positions, labels)
        self.started = True

    def ask(self, count: int) -> Ints:
        return np.asarray(self.learner.query(num_samples=count), dtype=np.int64)

    def predict(self, x_MD: Floats) -> Ints:
        return np.asarray(self.learner.classifier.predict(self._wrapped(x_MD)), dtype=np.int64)

    def _wrapped(self, x_MD: Floats) -> Any:
        from small_text import SklearnDataset

        return SklearnDataset(x_MD, np.zeros(len(x_MD), dtype=int), target_labels=np.arange(self.pool.classes))


@dataclass
class Baal:
    """baal's ActiveLearningDataset and heuristic over plain vectors; its networks are left out, the regression fits."""

    pool: Pool
    name: str

    def __post_init__(self) -> None:
        from baal.active import ActiveLearningDataset, heuristics

        self.data = ActiveLearningDataset(list(zip(self.pool.x_ND, self.pool.labels_N, strict=True)))
        self.heuristic = getattr(heuristics, self.name)()

    def teach(self, positions: Ints) -> None:
        self.data.label([self.data._oracle_to_pool_index(int(at)) for at in positions])
        known = np.flatnonzero(self.data.labelled)
        self.model = regression().fit(self.pool.x_ND[known], self.pool.labels_N[known])

    def ask(self, count: int) -> Ints:
        open_N = np.flatnonzero(~np.asarray(self.data.labelled, dtype=bool))
        ranked = self.heuristic(self.model.predict_proba(self.pool.x_ND[open_N]))
        return np.asarray(open_N[np.asarray(ranked)[:count]])

    def predict(self, x_MD: Floats) -> Ints:
        return np.asarray(self.model.predict(x_MD))


Make = Callable[[Pool], Loop]


def _quiet(make: Make) -> Make:
    def run(pool: Pool) -> Loop:
        warnings.simplefilter("ignore")  # of a process that runs arms only
        return make(pool)

    return run


ARMS: dict[str, dict[str, Make]] = {
    "RAUM": {
        "auto": lambda pool: Ours(pool, "auto"),
        "random": lambda pool: Ours(pool, "random"),
        "auto, regression": lambda pool: Ours(pool, "auto", regressed=True),
        "cluster_margin, regression": lambda pool: Ours(pool, "cluster_margin", regressed=True),
        "badge, regression": lambda pool: Ours(pool, "badge", regressed=True),
    },
    "scikit-activeml": {
        "random": _quiet(lambda pool: ActiveMl(pool, "RandomSampling")),
        "entropy": _quiet(lambda pool: ActiveMl(pool, "UncertaintySampling", "clf", {"method": "entropy"})),
        "margin": _quiet(lambda pool: ActiveMl(pool, "UncertaintySampling", "clf", {"method": "margin_sampling"})),
        "coreset": _quiet(lambda pool: ActiveMl(pool, "CoreSet")),
        "badge": _quiet(lambda pool: ActiveMl(pool, "Badge", "clf")),
        "falcun": _quiet(lambda pool: ActiveMl(pool, "Falcun", "clf")),
        "typiclust": _quiet(lambda pool: ActiveMl(pool, "TypiClust")),
        "probcover": _quiet(lambda pool: ActiveMl(pool, "ProbCover", "", {"n_classes": pool.classes})),
        "clue": _quiet(lambda pool: ActiveMl(pool, "Clue", "estimator")),
        "drop_query": _quiet(lambda pool: ActiveMl(pool, "DropQuery", "clf")),
    },
    "modAL": {
        "margin": _quiet(lambda pool: ModAl(pool, "margin_sampling")),
        "entropy": _quiet(lambda pool: ModAl(pool, "entropy_sampling")),
    },
    "small-text": {
        "margin": _quiet(lambda pool: SmallText(pool, "BreakingTies")),
        "entropy": _quiet(lambda pool: SmallText(pool, "PredictionEntropy")),
    },
    "baal": {
        "margin": _quiet(lambda pool: Baal(pool, "Margin")),
        "entropy": _quiet(lambda pool: Baal(pool, "Entropy")),
    },
}
