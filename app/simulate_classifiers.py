"""The classifiers of a simulation, one table by name: the refresh's own last layer, and plain logistic regression."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from app import errors, ranking
from model import last_layer

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

LOGISTIC_C = 10.0
LOGISTIC_STEPS = 2000


class Fitted(Protocol):
    """What an arm asks of a classifier; `x_MR` are rows of the space in which it was fitted."""

    def log_probs(self, embeddings_MD: Any) -> Floats:
        """Mean prediction of any embeddings -> (images, classes)."""

    def log_probs_at(self, x_MR: Any) -> Floats:
        """The same for rows of the prepared pool."""

    def draws_at(self, x_MR: Any, count: int, rng: np.random.Generator) -> Floats:
        """Posterior draws -> log_probs_MSK; S is one where the classifier has no posterior."""


@dataclasses.dataclass(frozen=True)
class Classifier:
    """prepare: embeddings of the pool -> what every fit on it shares, with coordinates `x_NR`, in which images are also
    compared. fit: (prepared, labelled rows, labels, rejected rows, number of classes, rng)."""

    prepare: Callable[[Floats, np.random.Generator], Any]
    fit: Callable[[Any, Ints, Ints, Ints, int, np.random.Generator], Fitted]
    has_posterior: bool


def _last_layer(
    prepared: last_layer.Prepared, labelled: Ints, labels: Ints, rejected: Ints, classes: int, rng: np.random.Generator
) -> Fitted:
    config = last_layer.Config(max_pool=ranking.MOST_SELF_TRAINED)
    return last_layer.fit(
        None, labelled, labels, classes, config=config, rng=rng, rejected_positions=rejected, prepared=prepared
    )


@dataclasses.dataclass(frozen=True)
class _Raw:
    x_NR: Floats


@dataclasses.dataclass(frozen=True)
class _Logistic:
    """A logistic regression of the seen classes; each unseen one keeps 1 / (labels + classes), as in the last layer."""

    weights_DK: Floats
    shift_K: Floats
    seen_K: Ints
    num_classes: int
    labels: int

    def log_probs(self, embeddings_MD: Any) -> Floats:
        each = 1.0 / (self.labels + self.num_classes)
        out = np.full((len(embeddings_MD), self.num_classes), np.log(each))
        if len(self.seen_K):
            logits_MK = np.asarray(embeddings_MD, dtype=np.float64) @ self.weights_DK + self.shift_K
            logits_MK -= logits_MK.max(axis=1, keepdims=True)
            logits_MK -= np.log(np.exp(logits_MK).sum(axis=1, keepdims=True))
            out[:, self.seen_K] = logits_MK + np.log1p(-(self.num_classes - len(self.seen_K)) * each)
        return out

    log_probs_at = log_probs

    def draws_at(self, x_MR: Any, count: int, rng: np.random.Generator) -> Floats:
        return self.log_probs(x_MR)[:, None]


def _logistic(
    prepared: _Raw, labelled: Ints, labels: Ints, rejected: Ints, classes: int, rng: np.random.Generator
) -> Fitted:
    """Multinomial logistic regression, C = 10, on the embeddings as they are and the labels alone."""
    seen_K, width = np.unique(labels), prepared.x_NR.shape[1]
    if len(seen_K) < 2:
        return _Logistic(np.zeros((width, len(seen_K))), np.zeros(len(seen_K)), seen_K, classes, len(labels))
    try:
        from sklearn import exceptions, linear_model
    except ImportError as missing:
        raise errors.BadRequest(
            "the classifier 'logistic' comes with scikit-learn, which is not installed: pip install scikit-learn"
        ) from missing
    found = linear_model.LogisticRegression(C=LOGISTIC_C, max_iter=LOGISTIC_STEPS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", exceptions.ConvergenceWarning)  # a few images that can be told apart for sure
        found.fit(np.asarray(prepared.x_NR[labelled], dtype=np.float64), labels)
    weights_KD, shift_K = found.coef_, found.intercept_
    if len(seen_K) == 2:  # scikit-learn keeps one row for two classes
        weights_KD, shift_K = np.concatenate([0 * weights_KD, weights_KD]), np.array([0.0, shift_K[0]])
    return _Logistic(weights_KD.T, shift_K, seen_K, classes, len(labels))


CLASSIFIERS = {
    "last_layer": Classifier(lambda pool_ND, rng: last_layer.prepare(pool_ND, rng=rng), _last_layer, True),
    "logistic": Classifier(lambda pool_ND, rng: _Raw(np.asarray(pool_ND, dtype=np.float32)), _logistic, False),
}
