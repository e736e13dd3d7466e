"""What the last layer says of answered images while their answers are hidden from it: out-of-sample predictions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from model import last_layer, out_of_class

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Taught:
    """Rows of the prepared embeddings: labelled ones in the order of their answers, rejected ones, and those of the
    holdout (`outside`), which teach nothing."""

    prepared: last_layer.Prepared
    labelled_L: Ints
    labels_L: Ints
    rejected: Ints
    outside: Ints
    num_classes: int
    temperature: float
    config: last_layer.Config
    picked: Ints = field(default_factory=lambda: np.empty(0, np.int64))  # labelled because the model was sure of them


def in_folds(
    taught: Taught, hidden_T: Ints, *, folds: int, rng: np.random.Generator
) -> Iterator[tuple[Ints, Ints, Floats]]:
    """For each fold of the rows `hidden_T`: (places in hidden_T, their top classes, their scores), by a fit without
    their answers. Hidden rows lie among the unlabelled ones, as the open images do, holdout rows too."""
    order_T = rng.permutation(len(hidden_T))
    for fold in range(min(folds, len(hidden_T))):
        places = order_T[fold::folds]
        yield places, *predict(taught, hidden_T[places], hidden_T[places], rng=rng)


def predict(
    taught: Taught, hidden: Ints, rows_M: Ints, *, first: int | None = None, rng: np.random.Generator
) -> tuple[Ints, Floats]:
    """(top classes, scores) of rows by a fit that never saw the answers of `hidden`, and only the `first` others.

    A score is the calibrated probability of the top class times the probability that any class fits."""
    kept_L = np.flatnonzero(~np.isin(taught.labelled_L, hidden))[:first]
    rejected = np.setdiff1d(taught.rejected, hidden)
    labelled = taught.labelled_L[kept_L]
    layer = last_layer.fit(
        None,
        labelled,
        taught.labels_L[kept_L],
        taught.num_classes,
        config=taught.config,
        rng=rng,
        excluded_positions=np.setdiff1d(taught.outside, hidden),
        rejected_positions=rejected,
        prepared=taught.prepared,
        picked_positions=taught.picked,
    )
    log_probs_MK = layer.tempered(taught.temperature).log_probs_at(taught.prepared.x_NR[rows_M])
    if not len(rejected):
        return log_probs_MK.argmax(axis=1), np.exp(log_probs_MK.max(axis=1))
    both = np.concatenate([labelled, rejected, rows_M])
    out_N = out_of_class.probability(
        taught.prepared.x_NR[both],
        labelled=np.arange(len(labelled)),
        labels=taught.labels_L[kept_L],
        rejected=np.arange(len(labelled), len(labelled) + len(rejected)),
        rng=rng,
    )
    return log_probs_MK.argmax(axis=1), np.exp(log_probs_MK.max(axis=1)) * (1 - out_N[len(both) - len(rows_M) :])
