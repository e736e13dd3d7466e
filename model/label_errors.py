"""Which given labels look wrong: confident learning on out-of-sample probabilities, the nearest images as second opinion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model import consensus_answers, errors, neighbours

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

NEIGHBOURS = 10
SECOND_OPINION = 0.5  # weight of the neighbours' margin beside the model's


@dataclass(frozen=True)
class Suspects:
    """Labels that look wrong, the likeliest error first.

    `positions_E` into the N labels, `suggested_E` the class that the model is confident of, `score_E` from 0 (surely
    wrong) to 1, `reasons_E` a sentence each. `score_N` ranks all labels (low: suspect); `threshold_K` is how sure the
    model is of a class on average where it was given (NaN: never given); `joint_KK` the estimated share of labels given
    as the row that are truly the column; `expected` how many are wrong by it.
    """

    positions_E: Ints
    suggested_E: Ints
    score_E: Doubles
    reasons_E: list[str]
    score_N: Doubles
    threshold_K: Doubles
    joint_KK: Doubles
    expected: int


def find(
    log_probs_NK: npt.ArrayLike, labels_N: npt.ArrayLike, *, embeddings_ND: npt.ArrayLike | None = None
) -> Suspects:
    """Northcutt, Jiang, Chuang 2021 (arXiv 1911.00068): `log_probs_NK` must be out of sample for the labels.

    Class k is confident of image x when p_k(x) is at least t_k, the mean p_k over the images given as k. An image whose
    likeliest confident class is not its label lies off the diagonal of the confident joint and is a suspect; suspects
    are ranked by the normalised margin p_label - max of the others. With embeddings the margin of the votes of the ten
    nearest other images joins with half the weight, and an image that most of them call otherwise is a suspect too when
    the model does not think its label likeliest. No suspects among no labels.
    """
    labels = consensus_answers.indices("labels_N", labels_N, np.shape(log_probs_NK)[-1])
    log_probs = consensus_answers.check_model(log_probs_NK, len(labels), np.shape(log_probs_NK)[-1])
    probs_NK = np.exp(np.asarray(log_probs, dtype=np.float64))
    probs_NK /= probs_NK.sum(axis=1, keepdims=True)
    classes = probs_NK.shape[1]
    threshold_K = _thresholds(probs_NK, labels)
    confident_N = _confident(probs_NK, threshold_K)
    joint_KK = _joint(confident_N, labels, classes)
    own_N, other_N, rival_N = _margin(probs_NK, labels)
    margin_N = own_N - other_N
    suspect_N = (confident_N >= 0) & (confident_N != labels)
    suggested_N = np.where(suspect_N, confident_N, rival_N)
    near_N = np.full(len(labels), np.nan)
    if embeddings_ND is not None and len(labels) > 2:
        votes_NK = _votes(embeddings_ND, labels, classes)
        near, near_other, near_rival = _margin(votes_NK, labels)
        near_N = near_other
        margin_N = (margin_N + SECOND_OPINION * (near - near_other)) / (1.0 + SECOND_OPINION)
        alone_N = (near_other > 0.5) & (own_N < other_N) & (near_rival == rival_N)
        suspect_N |= alone_N
    score_N = (margin_N + 1.0) / 2.0
    at = np.flatnonzero(suspect_N)
    at = at[np.argsort(score_N[at], kind="stable")]
    reasons = [_reason(own_N[i], probs_NK[i, suggested_N[i]], near_N[i]) for i in at]
    expected = round(len(labels) * (1.0 - float(np.trace(joint_KK)))) if len(labels) else 0
    return Suspects(at, suggested_N[at], score_N[at], reasons, score_N, threshold_K, joint_KK, expected)


def _thresholds(probs_NK: Doubles, labels: Ints) -> Doubles:
    """Mean probability of each class over the images given as it; NaN where none is."""
    count_K = np.bincount(labels, minlength=probs_NK.shape[1])
    sum_K = np.bincount(labels, probs_NK[np.arange(len(labels)), labels], minlength=probs_NK.shape[1])
    return np.where(count_K > 0, sum_K / np.maximum(count_K, 1), np.nan)


def _confident(probs_NK: Doubles, threshold_K: Doubles) -> Ints:
    """The likeliest of the classes that reach their threshold, -1 where none does."""
    reached_NK = probs_NK >= np.where(np.isnan(threshold_K), np.inf, threshold_K) - 1e-12
    best_N = np.where(reached_NK, probs_NK, -1.0).argmax(axis=1)
    return np.where(reached_NK.any(axis=1), best_N, -1)


def _joint(confident_N: Ints, labels: Ints, classes: int) -> Doubles:
    """The confident joint, its rows scaled to the labels given, summing to one."""
    on = confident_N >= 0
    joint = np.bincount(labels[on] * classes + confident_N[on], minlength=classes * classes).reshape(classes, classes)
    given_K, rows_K = np.bincount(labels, minlength=classes), joint.sum(axis=1)
    scaled = joint * (given_K / np.maximum(rows_K, 1))[:, None]
    scaled[np.diag_indices(classes)] += np.where(rows_K == 0, given_K, 0)
    return np.asarray(scaled / max(1, len(labels)))


def _margin(probs_NK: Doubles, labels: Ints) -> tuple[Doubles, Doubles, Ints]:
    """Probability of the label, that of the likeliest other class, and which one that is."""
    rows, others_NK = np.arange(len(labels)), probs_NK.copy()
    own_N = probs_NK[rows, labels]
    others_NK[rows, labels] = -1.0
    rival_N = others_NK.argmax(axis=1) if len(labels) else np.empty(0, dtype=np.int64)
    return own_N, others_NK[rows, rival_N], rival_N


def _votes(embeddings_ND: npt.ArrayLike, labels: Ints, classes: int) -> Doubles:
    """Share of the nearest other images (cosine) that are given as each class."""
    unit_ND = neighbours.normalise(embeddings_ND)
    if len(unit_ND) != len(labels):
        raise errors.BadInput(f"{len(unit_ND)} embeddings do not fit {len(labels)} labels")
    _, at_NC = neighbours.nearest(unit_ND, unit_ND, NEIGHBOURS + 1)
    rows = np.arange(len(labels))[:, None]
    other_NC = at_NC != rows
    other_NC &= np.cumsum(other_NC, axis=1) <= NEIGHBOURS  # duplicates may stand before the image itself
    key = np.broadcast_to(rows, at_NC.shape)[other_NC] * classes + labels[at_NC[other_NC]]
    votes_NK = np.bincount(key, minlength=len(labels) * classes).reshape(len(labels), classes)
    return votes_NK / np.maximum(votes_NK.sum(axis=1, keepdims=True), 1)


def _reason(own: float, suggested: float, near: float) -> str:
    told = f"the network gives the label {own:.0%}, the suggested class {suggested:.0%}"
    return told if np.isnan(near) else f"{told}; {near:.0%} of the nearest labelled images have another label"
