"""Consensus by counting: majority vote, and CROWDLAB's weighted average of people and model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model import consensus_answers

Doubles = npt.NDArray[np.float64]

LEAST_WEIGHT = 1e-6  # of an annotator or a model that is no better than naming the commonest class


@dataclass(frozen=True)
class Weights:
    """CROWDLAB's weights of the annotators and the model (0 without one), and how often people say the consensus."""

    annotator_J: Doubles
    model: float
    agreement: float


def votes(answers: consensus_answers.Answers, pairs: consensus_answers.Pairs) -> Doubles:
    """Answers that name each pair."""
    return np.bincount(pairs.said_A, minlength=len(pairs.item_P)).astype(np.float64)


def winners(answers: consensus_answers.Answers, pairs: consensus_answers.Pairs) -> npt.NDArray[np.int64]:
    """Position of each image's winning pair: most votes, then the model, then the annotators' agreement with others.

    Of what is equal even then the lower class wins. Without answers the model's likeliest; -1 without either.
    """
    votes_P = votes(answers, pairs)
    leading_P = votes_P == consensus_answers.segment_max(votes_P, pairs.starts_I1)[pairs.item_P]
    for values_P in (pairs.log_model_P, _credit(answers, pairs, votes_P)):
        if values_P is not None:
            ranked_P = np.where(leading_P, values_P, -np.inf)
            leading_P &= ranked_P >= consensus_answers.segment_max(ranked_P, pairs.starts_I1)[pairs.item_P]
    known_I = (answers.count_I > 0) | (pairs.log_model_P is not None)
    return np.where(known_I, consensus_answers.segment_argmax(leading_P * 1.0, pairs.starts_I1), -1)


def majority(
    answers: consensus_answers.Answers, pairs: consensus_answers.Pairs
) -> tuple[Doubles, Doubles, npt.NDArray[np.int64]]:
    """Shares of the votes, and the winners. An image without answers keeps the model's probabilities, or equal ones."""
    count_I, at_I = answers.count_I, winners(answers, pairs)
    share_P = votes(answers, pairs) / np.maximum(count_I, 1)[pairs.item_P]
    alone_P, alone_rest_I = _unanswered(answers, pairs)
    answered = count_I > 0
    return np.where(answered[pairs.item_P], share_P, alone_P), np.where(answered, 0.0, alone_rest_I), at_I


def crowdlab(
    answers: consensus_answers.Answers, pairs: consensus_answers.Pairs
) -> tuple[Doubles, Doubles, npt.NDArray[np.int64]]:
    """Goh, Tkachenko, Mueller 2022 (arXiv 2210.06812), section 3: the average of model and answers by their weights,

        p(k | x) = (w_M p_M(k | x) + sum_j w_j p_j(k)) / (w_M + sum_j w_j),

    p_j(k) = P for the class that j said and (1 - P) / (K - 1) for the others, P the people's agreement with the
    majority. Without a model w_M is 0. The consensus is the
    likeliest class.
    """
    weight, votes_P = weights(answers, pairs), votes(answers, pairs)
    other = (1.0 - weight.agreement) / (answers.num_classes - 1)
    said_by_A = weight.annotator_J[answers.annotator_A]
    people_I = np.bincount(answers.item_A, said_by_A, minlength=answers.num_items)
    named_P = np.bincount(pairs.said_A, said_by_A, minlength=len(votes_P))
    alone_P, alone_rest_I = _unanswered(answers, pairs)
    total_I = np.maximum(people_I + weight.model, 1e-300)
    probs_P = named_P * weight.agreement + (people_I[pairs.item_P] - named_P) * other + weight.model * alone_P
    rest_I = people_I * other * pairs.rest_count_I + weight.model * alone_rest_I
    answered = answers.count_I > 0
    probs_P = np.where(answered[pairs.item_P], probs_P / total_I[pairs.item_P], alone_P)
    rest_I = np.where(answered, rest_I / total_I, alone_rest_I)
    return probs_P, rest_I, consensus_answers.segment_argmax(probs_P + 1e-12 * (votes_P > 0), pairs.starts_I1)


def weights(answers: consensus_answers.Answers, pairs: consensus_answers.Pairs) -> Weights:
    """CROWDLAB's weights, over images with two answers or more (all images where there are none such):

        w_j = 1 - (1 - agreement_j) / e,  w_M = (1 - error_M / e) sqrt(mean answers of an image),

    e the error of always naming the commonest class, agreement_j over the other answers to the images that j answered;
    tests compare it with cleanlab 2.9.0's figures.
    """
    count_I, at_I, votes_P = answers.count_I, winners(answers, pairs), votes(answers, pairs)
    shared = count_I > 1 if (count_I > 1).any() else count_I > 0
    if not shared.any():
        return Weights(np.ones(answers.num_annotators), 1.0 if pairs.log_model_P is not None else 0.0, 1.0)
    label_I = pairs.class_P[at_I]
    commonest = np.bincount(label_I[shared], minlength=answers.num_classes).argmax()
    base = max(float((label_I[shared] != commonest).mean()), LEAST_WEIGHT)
    agreement = float((votes_P[at_I] / np.maximum(count_I, 1))[shared].mean())
    with_others_J = agreement_with_others(answers, pairs, votes_P)
    annotator_J = np.maximum(1.0 - (1.0 - with_others_J) / base, LEAST_WEIGHT)
    model = 0.0
    if pairs.log_model_P is not None:
        likeliest_I = consensus_answers.segment_argmax(pairs.log_model_P, pairs.starts_I1)
        wrong = float((likeliest_I != at_I)[shared].mean())
        model = max(1.0 - wrong / base, LEAST_WEIGHT) * float(np.sqrt(count_I[count_I > 0].mean()))
    return Weights(annotator_J, model, agreement)


def agreement_with_others(
    answers: consensus_answers.Answers, pairs: consensus_answers.Pairs, votes_P: Doubles
) -> Doubles:
    """Of the other answers to the images that each annotator answered, the share that is the same; else the mean."""
    same_A, others_A = votes_P[pairs.said_A] - 1.0, answers.count_I[answers.item_A] - 1.0
    same_J = np.bincount(answers.annotator_A, same_A, minlength=answers.num_annotators)
    others_J = np.bincount(answers.annotator_A, others_A, minlength=answers.num_annotators)
    mean = same_J.sum() / others_J.sum() if others_J.sum() else 1.0
    return np.where(others_J > 0, same_J / np.maximum(others_J, 1.0), mean)


def _credit(answers: consensus_answers.Answers, pairs: consensus_answers.Pairs, votes_P: Doubles) -> Doubles:
    """Of each pair, the mean agreement with others of those who named it."""
    by_A = agreement_with_others(answers, pairs, votes_P)[answers.annotator_A]
    return np.round(np.bincount(pairs.said_A, by_A, minlength=len(votes_P)) / np.maximum(votes_P, 1.0), 9)


def _unanswered(answers: consensus_answers.Answers, pairs: consensus_answers.Pairs) -> tuple[Doubles, Doubles]:
    """What is known of an image without its answers: the model's probabilities, or equal ones."""
    if pairs.log_model_P is None or pairs.log_model_rest_I is None:
        equal_P = np.full(len(pairs.item_P), 1.0 / answers.num_classes)
        return equal_P, pairs.rest_count_I / answers.num_classes
    probs_P = np.exp(pairs.log_model_P)
    return probs_P, np.exp(pairs.log_model_rest_I)
