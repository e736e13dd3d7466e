"""Answers of several people as flat arrays: checked, ordered by image, with the (image, class) pairs worth a thought."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model import errors

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ALL_CLASSES = 16  # up to as many classes, every class of every image is a pair
MODEL_TOP = 3  # otherwise: the classes that anyone said and the model's likeliest, up to so many
NEGLIGIBLE = 1e-3  # of the likeliest's probability
ROWS = 8192  # images whose log-probabilities are read at once


@dataclass(frozen=True)
class Answers:
    """A answers ordered by image (and, within one, as they came); `starts_I1[i]` is where those of image i begin."""

    item_A: Ints
    annotator_A: Ints
    label_A: Ints
    starts_I1: Ints
    num_annotators: int
    num_classes: int

    @property
    def num_items(self) -> int:
        return len(self.starts_I1) - 1

    @property
    def count_I(self) -> Ints:
        """Answers of each image."""
        return np.diff(self.starts_I1)


@dataclass(frozen=True)
class Pairs:
    """P pairs (image, class), ordered by both. Every other class of image i belongs to its rest, `rest_count_I[i]` many.

    `log_model_P` is the model's log-probability of the pair's class; `log_model_rest_I` that of all other classes
    together (None both without a model). Entry e says: answer `entry_answer_E[e]` speaks about pair `entry_pair_E[e]`.
    """

    item_P: Ints
    class_P: Ints
    starts_I1: Ints
    said_A: Ints  # the pair that each answer names
    entry_answer_E: Ints
    entry_pair_E: Ints
    rest_count_I: Ints
    log_model_P: Doubles | None
    log_model_rest_I: Doubles | None

    def softmax(self, log_P: Doubles, log_rest_I: Doubles) -> tuple[Doubles, Doubles, Doubles]:
        """Shares of an image's pairs and of its rest, which sum to one, and the log of what they were divided by."""
        top_I = np.maximum(segment_max(log_P, self.starts_I1), log_rest_I)
        p_P, rest_I = np.exp(log_P - top_I[self.item_P]), np.exp(log_rest_I - top_I)
        total_I = np.bincount(self.item_P, p_P, minlength=len(top_I)) + rest_I
        return p_P / total_I[self.item_P], rest_I / total_I, np.log(total_I) + top_I


def distinct(keys: Ints) -> Ints:
    """Ascending, each once; sorted, because numpy's own hashing was measured ten times slower on millions."""
    ordered = np.sort(keys)
    return ordered[np.concatenate([[True], np.diff(ordered) > 0])] if len(ordered) else ordered


def numbered(keys: Ints, size: int) -> tuple[Ints, Ints]:
    """The distinct keys below `size`, ascending, and the place of every key among them."""
    if size > 8 * len(keys) + 1_000_000:
        found = distinct(keys)
        return found, np.searchsorted(found, keys)
    touched = np.zeros(size, dtype=bool)
    touched[keys] = True
    return np.flatnonzero(touched), (np.cumsum(touched) - 1)[keys]


def segment_max(values_P: Doubles, starts_I1: Ints) -> Doubles:
    """The largest value of each segment, -inf where it is empty."""
    out_I = np.full(len(starts_I1) - 1, -np.inf)
    filled = np.flatnonzero(np.diff(starts_I1))
    if len(filled):
        out_I[filled] = np.maximum.reduceat(values_P, starts_I1[filled])
    return out_I


def segment_argmax(values_P: Doubles, starts_I1: Ints) -> Ints:
    """Position of the largest value of each segment, the first of equal ones; -1 where it is empty."""
    item_P = np.repeat(np.arange(len(starts_I1) - 1), np.diff(starts_I1))
    at = np.flatnonzero(values_P == segment_max(values_P, starts_I1)[item_P])
    out_I = np.full(len(starts_I1) - 1, -1)
    out_I[item_P[at[::-1]]] = at[::-1]
    return out_I


def check(
    item_A: npt.ArrayLike,
    annotator_A: npt.ArrayLike,
    label_A: npt.ArrayLike,
    *,
    num_items: int,
    num_annotators: int,
    num_classes: int,
) -> Answers:
    """Ordered answers; BadInput by name for what does not fit, or for two answers of one annotator to one image."""
    for name, size, least in (("num_items", num_items, 0), ("num_annotators", num_annotators, 0)):
        if size < least:
            raise errors.BadInput(f"{name} is {size}; it must be {least} or more")
    if num_classes < 2:
        raise errors.BadInput(f"num_classes is {num_classes}; a choice needs two classes or more")
    item = indices("item_A", item_A, num_items)
    annotator = indices("annotator_A", annotator_A, num_annotators)
    label = indices("label_A", label_A, num_classes)
    if not len(item) == len(annotator) == len(label):
        raise errors.BadInput(f"{len(item)} items, {len(annotator)} annotators and {len(label)} labels are no answers")
    order = np.argsort(item * max(num_annotators, 1) + annotator, kind="stable")
    item, annotator, label = item[order], annotator[order], label[order]
    twice = np.flatnonzero((np.diff(item) == 0) & (np.diff(annotator) == 0))
    if len(twice):
        a = twice[0]
        raise errors.BadInput(f"annotator {annotator[a]} answered item {item[a]} twice; pass the latest answer alone")
    starts = np.concatenate([[0], np.cumsum(np.bincount(item, minlength=num_items))])
    return Answers(item, annotator, label, starts, num_annotators, num_classes)


def check_model(log_probs_IK: npt.ArrayLike, num_items: int, num_classes: int) -> npt.NDArray[np.floating]:
    """The model's log-probabilities, not copied; -inf is a probability of zero, NaN and +inf are refused."""
    log_probs = np.asarray(log_probs_IK)
    if log_probs.shape != (num_items, num_classes):
        raise errors.BadInput(
            f"model_log_probs_IK has shape {log_probs.shape}, the answers need ({num_items}, {num_classes})"
        )
    for at in range(0, num_items, ROWS):
        largest = log_probs[at : at + ROWS].max(axis=1)  # of NaN and others: NaN
        bad = np.isnan(largest) | ~np.isfinite(largest)
        if bad.any():
            raise errors.NotFinite(f"model_log_probs_IK is not finite in row {at + int(np.argmax(bad))}")
    return log_probs


def pair_up(answers: Answers, log_probs_IK: npt.NDArray[np.floating] | None) -> Pairs:
    """The pairs of these answers and of the model's likeliest classes; all pairs where there are few classes."""
    items, classes = answers.num_items, answers.num_classes
    said_A = answers.item_A * classes + answers.label_A
    if classes <= ALL_CLASSES:
        key_P = np.arange(items * classes)
    elif log_probs_IK is None:
        key_P = distinct(said_A)
    else:
        key_P = distinct(np.concatenate([said_A, _likeliest(log_probs_IK)]))
    item_P, class_P = np.divmod(key_P, classes)
    count_I = np.bincount(item_P, minlength=items)
    starts = np.concatenate([[0], np.cumsum(count_I)])
    each_A = count_I[answers.item_A]
    entry_answer = np.repeat(np.arange(len(each_A)), each_A)
    within = np.arange(len(entry_answer)) - np.repeat(np.cumsum(each_A) - each_A, each_A)
    entry_pair = np.repeat(starts[answers.item_A], each_A) + within
    log_model_P = log_rest_I = None
    if log_probs_IK is not None:
        log_model_P, log_rest_I = _model_of_pairs(log_probs_IK, item_P, class_P, starts)
    return Pairs(
        item_P, class_P, starts, np.searchsorted(key_P, said_A), entry_answer, entry_pair,
        classes - count_I, log_model_P, log_rest_I,
    )  # fmt: skip


def without_model(pairs: Pairs) -> Pairs:
    """The same pairs, the model's word left out."""
    return dataclasses.replace(pairs, log_model_P=None, log_model_rest_I=None)


def part(answers: Answers, pairs: Pairs, items: Ints) -> tuple[Answers, Pairs]:
    """The answers and pairs of some images (ascending) alone, images numbered anew."""
    place_I = np.full(answers.num_items, -1)
    place_I[items] = np.arange(len(items))
    on_A, on_P = place_I[answers.item_A] >= 0, place_I[pairs.item_P] >= 0
    on_E = on_P[pairs.entry_pair_E]
    new_A, new_P = np.cumsum(on_A) - 1, np.cumsum(on_P) - 1
    few = Answers(
        place_I[answers.item_A[on_A]], answers.annotator_A[on_A], answers.label_A[on_A],
        np.concatenate([[0], np.cumsum(answers.count_I[items])]), answers.num_annotators, answers.num_classes,
    )  # fmt: skip
    return few, Pairs(
        place_I[pairs.item_P[on_P]], pairs.class_P[on_P],
        np.concatenate([[0], np.cumsum(np.diff(pairs.starts_I1)[items])]), new_P[pairs.said_A[on_A]],
        new_A[pairs.entry_answer_E[on_E]], new_P[pairs.entry_pair_E[on_E]], pairs.rest_count_I[items],
        None if pairs.log_model_P is None else pairs.log_model_P[on_P],
        None if pairs.log_model_rest_I is None else pairs.log_model_rest_I[items],
    )  # fmt: skip


def spread(count_I: Ints, most: int) -> Ints:
    """Images with answers, evenly spread, no more than `most`."""
    answered = np.flatnonzero(count_I)
    return answered[:: max(1, -(-len(answered) // most))]


def _likeliest(log_probs_IK: npt.NDArray[np.floating]) -> Ints:
    """Keys item * classes + class of the likeliest class of every image, and of the next ones that are not negligible."""
    items, classes = log_probs_IK.shape
    found = []
    for at in range(0, items, ROWS):
        block = np.array(log_probs_IK[at : at + ROWS])
        rows = np.arange(len(block))
        first = top = block.argmax(axis=1)
        least = block[rows, first] + np.log(NEGLIGIBLE)
        for _ in range(MODEL_TOP):
            kept = block[rows, top] >= least
            found.append((at + rows[kept]) * classes + top[kept])
            block[rows, top] = -np.inf
            top = block.argmax(axis=1)
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)


def _model_of_pairs(
    log_probs_IK: npt.NDArray[np.floating], item_P: Ints, class_P: Ints, starts_I1: Ints
) -> tuple[Doubles, Doubles]:
    """Normalised log-probabilities of the pairs, and of each image's other classes together."""
    log_sum_I = np.empty(len(log_probs_IK))
    for at in range(0, len(log_probs_IK), ROWS):
        block = log_probs_IK[at : at + ROWS]
        top = block.max(axis=1, keepdims=True)
        log_sum_I[at : at + ROWS] = np.log(np.exp(block - top).sum(axis=1)) + top[:, 0]
    log_P = log_probs_IK[item_P, class_P].astype(np.float64) - log_sum_I[item_P]
    rest_I = 1.0 - np.bincount(item_P, np.exp(log_P), minlength=len(log_sum_I))
    with np.errstate(divide="ignore"):
        rest = np.where(np.diff(starts_I1) < log_probs_IK.shape[1], np.log(np.maximum(rest_I, 1e-12)), -np.inf)
    return log_P, rest


def indices(name: str, values: npt.ArrayLike, size: int) -> Ints:
    """Whole numbers from 0 to size - 1 as int64; BadInput or NotFinite by name."""
    array = np.asarray(values)
    if array.ndim != 1:
        raise errors.BadInput(f"{name} must be a flat array, it has shape {array.shape}")
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise errors.NotFinite(f"{name} is not finite at position {int(np.argmin(np.isfinite(array)))}")
        if (array != np.floor(array)).any():
            raise errors.BadInput(f"{name} must be whole numbers")
    elif array.dtype.kind not in "iu":
        raise errors.BadInput(f"{name} must be whole numbers, not {array.dtype}")
    if len(array) and not (array.min() >= 0 and array.max() < size):
        raise errors.BadInput(f"{name} runs from {array.min()} to {array.max()}, allowed are 0 to {size - 1}")
    return array.astype(np.int64)
