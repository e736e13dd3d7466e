"""How good annotators are, with intervals: each against what the others think, and the team's agreement as a whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model import consensus_answers, consensus_em

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

Z = 1.959964  # 95 %
EM_STEPS = 40  # of one accuracy for each annotator
NOBODY_SAYS = (2.0, 1.0)  # right and wrong answers counted beforehand: the accuracy of someone never compared
LEAST_FOR_A_CLASS = 10.0  # expected answers to a class that make its accuracy worth telling


@dataclass(frozen=True)
class Quality:
    """Of J annotators: accuracy with a 95 % interval, the same beyond chance, answers and how many could be compared.

    `quality_J` is the accuracy that is likeliest given what the others (and the model, where it is heard) think of the
    images that j answered; `evidence_J` how many checked answers it is worth. `kappa_J` is (quality - chance) /
    (1 - chance), chance being two people who say classes as often as j and as the consensus do. `by_class_JK` is the
    share of right answers among those to images of class k, NaN where fewer than ten are expected.
    """

    quality_J: Doubles
    low_J: Doubles
    high_J: Doubles
    kappa_J: Doubles
    answers_J: Ints
    evidence_J: Doubles
    by_class_JK: Doubles
    by_class_low_JK: Doubles
    by_class_high_JK: Doubles


@dataclass(frozen=True)
class Agreement:
    """Krippendorff's alpha for classes (1: all alike, 0: as by chance), 95 % interval, images that it rests on."""

    alpha: float
    low: float
    high: float
    items: int


def quality(
    answers: consensus_answers.Answers,
    pairs: consensus_answers.Pairs,
    probs_P: Doubles,
    rest_I: Doubles,
    fit: consensus_em.Fit | None,
) -> Quality:
    """Each annotator's accuracy against the others' consensus.

    The others' opinion of image i is its posterior with j's own answer divided out. With r the probability it gives to
    j's label, and w the probability it gives to other classes times the chance that j then errs to just this label, j's
    accuracy a maximises sum log(a r + (1 - a) w): an uncertain opinion of the others counts for little, and the
    interval (Wilson's with the observed information's worth of answers) is as wide as that makes it.
    """
    annotators = answers.num_annotators
    right_A, wrong_A = _others(answers, pairs, probs_P, rest_I, fit)
    accuracy_J = np.full(annotators, NOBODY_SAYS[0] / sum(NOBODY_SAYS))
    answers_J = np.bincount(answers.annotator_A, minlength=annotators)
    for _ in range(EM_STEPS):
        a_A = accuracy_J[answers.annotator_A]
        was_right_A = a_A * right_A / np.maximum(a_A * right_A + (1.0 - a_A) * wrong_A, 1e-300)
        right_J = np.bincount(answers.annotator_A, was_right_A, minlength=annotators)
        before, accuracy_J = accuracy_J, (right_J + NOBODY_SAYS[0] / 3) / (answers_J + sum(NOBODY_SAYS) / 3)
        if np.abs(accuracy_J - before).max(initial=0.0) < 1e-6:
            break
    a_A = accuracy_J[answers.annotator_A]
    slope_A = (right_A - wrong_A) / np.maximum(a_A * right_A + (1.0 - a_A) * wrong_A, 1e-300)
    information_J = np.bincount(answers.annotator_A, slope_A**2, minlength=annotators)
    evidence_J = np.minimum(information_J * accuracy_J * (1.0 - accuracy_J), answers_J)
    low_J, high_J = wilson(accuracy_J, evidence_J)
    chance_J = _chance(answers, pairs, probs_P)
    by_class = _by_class(answers, pairs, probs_P)
    return Quality(
        accuracy_J, low_J, high_J, (accuracy_J - chance_J) / np.maximum(1.0 - chance_J, 1e-9), answers_J, evidence_J,
        *by_class,
    )  # fmt: skip


def agreement(
    item_A: npt.ArrayLike, annotator_A: npt.ArrayLike, label_A: npt.ArrayLike,
    *, num_items: int, num_annotators: int, num_classes: int,
) -> Agreement:  # fmt: skip
    """Krippendorff's alpha of the team over images with two answers or more, interval by leaving each image out once.

    alpha = 1 - D_o / D_e; D_o: the mean disagreement of two answers to one image, D_e: of any two answers (Krippendorff
    2011, "Computing Krippendorff's alpha-reliability", nominal data). NaN where nothing can be compared.
    """
    answers = consensus_answers.check(
        item_A, annotator_A, label_A,
        num_items=num_items, num_annotators=num_annotators, num_classes=num_classes,
    )  # fmt: skip
    shared_A = answers.count_I[answers.item_A] > 1
    key, n_P = np.unique(answers.item_A[shared_A] * num_classes + answers.label_A[shared_A], return_counts=True)
    item_P, class_P = np.divmod(key, num_classes)
    items, at_P = np.unique(item_P, return_inverse=True)
    if not len(items):
        return Agreement(float("nan"), float("nan"), float("nan"), 0)
    n_I, n_K = np.bincount(at_P, n_P), np.bincount(class_P, n_P, minlength=num_classes)
    differ_I = np.bincount(at_P, n_P * (n_I[at_P] - n_P)) / (n_I - 1.0)
    alike_lost_I = np.bincount(at_P, n_P * (2.0 * n_K[class_P] - n_P))
    n, squares = n_K.sum(), (n_K**2).sum()
    alpha = _alpha(differ_I.sum(), n, squares)
    if len(items) == 1:
        return Agreement(float(alpha), -1.0, 1.0, 1)
    without_I = _alpha(differ_I.sum() - differ_I, n - n_I, squares - alike_lost_I)
    half = Z * np.sqrt((len(items) - 1) / len(items) * ((without_I - without_I.mean()) ** 2).sum())
    return Agreement(float(alpha), float(max(-1.0, alpha - half)), float(min(1.0, alpha + half)), len(items))


def wilson(share: Doubles, n: Doubles) -> tuple[Doubles, Doubles]:
    """Wilson's 95 % interval of shares of n trials, element by element; (0, 1) where n is 0 (model.calibration has one)."""
    known = n > 0
    trials = np.where(known, n, 1.0)
    centre = (share + Z * Z / (2 * trials)) / (1 + Z * Z / trials)
    half = Z * np.sqrt(np.maximum(share * (1 - share), 0.0) / trials + Z * Z / (4 * trials**2)) / (1 + Z * Z / trials)
    return np.where(known, np.maximum(centre - half, 0.0), 0.0), np.where(known, np.minimum(centre + half, 1.0), 1.0)


def _alpha(differ: npt.ArrayLike, n: npt.ArrayLike, squares: npt.ArrayLike) -> Doubles:
    """1 - D_o / D_e; 1 where all answers name one class and none differs."""
    n, squares = np.asarray(n, dtype=np.float64), np.asarray(squares, dtype=np.float64)
    expected = (n**2 - squares) / np.maximum(n - 1.0, 1.0)
    return np.where(expected > 1e-12, 1.0 - np.asarray(differ) / np.maximum(expected, 1e-12), 1.0)


def _others(
    answers: consensus_answers.Answers,
    pairs: consensus_answers.Pairs,
    probs_P: Doubles,
    rest_I: Doubles,
    fit: consensus_em.Fit | None,
) -> tuple[Doubles, Doubles]:
    """For every answer: probability of its label by the others, and of other classes times that of this error.

    Without confusion matrices (`fit` None) the others are their plain votes, and all errors are alike.
    """
    if fit is None:
        count_A = answers.count_I[answers.item_A] - 1.0
        votes_P = np.bincount(pairs.said_A, minlength=len(pairs.item_P))
        share_A = np.where(
            count_A > 0, (votes_P[pairs.said_A] - 1.0) / np.maximum(count_A, 1.0), 1 / answers.num_classes
        )
        return share_A, (1.0 - share_A) / (answers.num_classes - 1)
    entry_A, cell_E = pairs.entry_answer_E, fit.table.entry_E
    log_E = np.log(np.maximum(probs_P[pairs.entry_pair_E], 1e-300)) - fit.skill.log_C[cell_E]
    log_rest_A = np.log(np.maximum(rest_I[answers.item_A], 1e-300)) - fit.skill.log_rest_A
    starts_A1 = np.concatenate([[0], np.cumsum(np.bincount(entry_A, minlength=len(answers.item_A)))])
    top_A = np.maximum(consensus_answers.segment_max(log_E, starts_A1), log_rest_A)
    p_E, rest_A = np.exp(log_E - top_A[entry_A]), np.exp(log_rest_A - top_A)
    rest_A = np.where(pairs.rest_count_I[answers.item_A] > 0, rest_A, 0.0)
    total_A = np.bincount(entry_A, p_E, minlength=len(top_A)) + rest_A
    right_E = fit.table.right_C[cell_E]
    right_A = np.bincount(entry_A[right_E], p_E[right_E], minlength=len(top_A))
    accuracy_A = fit.skill.accuracy_J[answers.annotator_A]
    error_E = np.exp(fit.skill.log_C[cell_E]) / np.maximum(1.0 - accuracy_A[entry_A], 1e-9)
    wrong_A = np.bincount(entry_A[~right_E], (p_E * np.minimum(error_E, 1.0))[~right_E], minlength=len(top_A))
    wrong_A = wrong_A + rest_A * np.exp(fit.skill.log_rest_A) / np.maximum(1.0 - accuracy_A, 1e-9)
    return right_A / total_A, wrong_A / total_A


def _chance(answers: consensus_answers.Answers, pairs: consensus_answers.Pairs, probs_P: Doubles) -> Doubles:
    """Chance that two people agree who say classes as often as the annotator and as the consensus of those images."""
    classes, annotators = answers.num_classes, answers.num_annotators
    said_JK = np.bincount(answers.annotator_A * classes + answers.label_A, minlength=annotators * classes)
    said_JK = said_JK.reshape(annotators, classes) + 1.0 / classes
    true_K = np.bincount(pairs.class_P, probs_P * answers.count_I[pairs.item_P], minlength=classes) + 1.0 / classes
    return (said_JK / said_JK.sum(axis=1, keepdims=True)) @ (true_K / true_K.sum())


def _by_class(
    answers: consensus_answers.Answers, pairs: consensus_answers.Pairs, probs_P: Doubles
) -> tuple[Doubles, Doubles, Doubles]:
    """Accuracy of each annotator among images of each class with interval, NaN where too few."""
    classes, annotators = answers.num_classes, answers.num_annotators
    weight_E = probs_P[pairs.entry_pair_E]
    row_E = answers.annotator_A[pairs.entry_answer_E] * classes + pairs.class_P[pairs.entry_pair_E]
    n = np.bincount(row_E, weight_E, minlength=annotators * classes).reshape(annotators, classes)
    row_A, right_A = answers.annotator_A * classes + answers.label_A, probs_P[pairs.said_A]
    right = np.bincount(row_A, right_A, minlength=annotators * classes).reshape(annotators, classes)
    enough = n >= LEAST_FOR_A_CLASS
    share = np.where(enough, np.minimum(right / np.maximum(n, 1.0), 1.0), np.nan)
    low, high = wilson(share, n)
    return share, np.where(enough, low, np.nan), np.where(enough, high, np.nan)
