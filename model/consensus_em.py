"""Dawid and Skene (1979) by expectation and maximisation over pairs (image, class), with or without a model's word."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model import consensus_answers, consensus_skill, consensus_trust

Doubles = npt.NDArray[np.float64]

MOST_STEPS = 60
FIRST_ITEMS = 30_000  # images that settle first where there are more than twice as many
STILL = 1e-3  # mean change of an answered image's probabilities under which it has settled
FIRST_STRENGTH = 8192.0  # the rows lean on what the team shares until counts are worth something
STRENGTH_AT = (2, 5)  # steps at which the strength of the rows' prior is looked for anew


@dataclass(frozen=True)
class Fit:
    """Posterior of pairs and rests, annotators' skill, how far the model was believed (None: no model), steps taken."""

    probs_P: Doubles
    rest_I: Doubles
    skill: consensus_skill.Skill
    table: consensus_skill.Cells
    belief: consensus_trust.Belief | None
    steps: int


def fit(
    answers: consensus_answers.Answers,
    pairs: consensus_answers.Pairs,
    *,
    trust: consensus_trust.ModelTrust | None = None,
    fixed: consensus_trust.Belief | None = None,
) -> Fit:
    """Alternate between annotators' skill and images' classes from the shares of votes, until they settle.

    With a model in `pairs` its word is the prior of each image, believed as far as the answers make likely
    (consensus_trust.Search) or as `fixed` says; without one the prior is the classes' own shares. Of very many images
    some, evenly spread, first say how far the model is believed.
    """
    if np.count_nonzero(answers.count_I) > 2 * FIRST_ITEMS:
        some = consensus_answers.spread(answers.count_I, FIRST_ITEMS)
        few = _settle(*consensus_answers.part(answers, pairs, some), trust, fixed, None)
        return _settle(answers, pairs, trust, few.belief, few.skill)
    return _settle(answers, pairs, trust, fixed, None)


def _settle(
    answers: consensus_answers.Answers,
    pairs: consensus_answers.Pairs,
    trust: consensus_trust.ModelTrust | None,
    fixed: consensus_trust.Belief | None,
    known: consensus_skill.Skill | None,
) -> Fit:
    """The steps; with `known` skill they begin with its shares of errors and may end earlier."""
    table, given = consensus_skill.cells(answers, pairs), pairs.log_model_P is not None
    search = consensus_trust.Search(answers, pairs, trust) if given and not fixed else None
    belief = fixed if given else None
    probs_P, rest_I = _votes(answers, pairs)
    share_J = known.team_share_J if known else np.full(answers.num_annotators, 0.5)
    strength, looked_at = FIRST_STRENGTH, STRENGTH_AT[:1] if known else STRENGTH_AT
    for step in range(1, MOST_STEPS + 1):
        n_C = np.bincount(table.entry_E, probs_P[pairs.entry_pair_E], minlength=len(table.row_C))
        rest_A = rest_I[answers.item_A]
        skill = consensus_skill.learn(
            answers,
            table,
            n_C,
            rest_A,
            team_share_J=share_J,
            strength=None if step in looked_at else strength,
        )
        share_J, strength = skill.team_share_J, skill.strength
        said_P, said_rest_I = likelihood(answers, pairs, table, skill)
        heard = belief
        if search:
            search.climb(said_P, said_rest_I)
            belief = search.belief
        if belief:
            if step == 1 or belief != heard:
                log_P, log_rest_I = consensus_trust.prior(pairs, belief, answers.num_classes)
        else:
            log_P, log_rest_I = _class_shares(answers, pairs, probs_P, rest_I)
        before_P = probs_P
        probs_P, rest_I, _ = pairs.softmax(log_P + said_P, log_rest_I + said_rest_I)
        moved = np.abs(probs_P - before_P)[answers.count_I[pairs.item_P] > 0].sum()
        still = moved < STILL * max(1, np.count_nonzero(answers.count_I)) and (not search or search.settled)
        if step > max(looked_at) and still:
            break
    return Fit(probs_P, rest_I, skill, table, belief, step)


def likelihood(
    answers: consensus_answers.Answers,
    pairs: consensus_answers.Pairs,
    table: consensus_skill.Cells,
    skill: consensus_skill.Skill,
) -> tuple[Doubles, Doubles]:
    """Log-likelihood of each image's answers if its class is that of the pair, and if it is one of its rest."""
    said_P = np.bincount(pairs.entry_pair_E, skill.log_C[table.entry_E], minlength=len(pairs.item_P))
    return said_P, np.bincount(answers.item_A, skill.log_rest_A, minlength=answers.num_items)


def _votes(answers: consensus_answers.Answers, pairs: consensus_answers.Pairs) -> tuple[Doubles, Doubles]:
    """Every class by its share of the image's votes.

    Beside a model one more vote is spread over all classes: a single answer then proves nobody right, and the model may
    contradict it. Without one nothing could, and the answers stand as they are.
    """
    count_I, classes = answers.count_I, answers.num_classes
    doubt_I = np.where(count_I > 0, 0.0 if pairs.log_model_P is None else 1.0, 1.0)
    votes_P = np.bincount(pairs.said_A, minlength=len(pairs.item_P)) + doubt_I[pairs.item_P] / classes
    total_I = count_I + doubt_I
    return votes_P / total_I[pairs.item_P], doubt_I * pairs.rest_count_I / classes / total_I


def _class_shares(
    answers: consensus_answers.Answers, pairs: consensus_answers.Pairs, probs_P: Doubles, rest_I: Doubles
) -> tuple[Doubles, Doubles]:
    """Log-prior from the classes' shares among the answered images, one made-up image of each class added."""
    classes, has_I = answers.num_classes, answers.count_I > 0
    n_K = np.bincount(pairs.class_P, probs_P * has_I[pairs.item_P], minlength=classes)
    n_K = n_K + rest_I[has_I].sum() / classes + 1.0
    share_K = n_K / n_K.sum()
    named_I = np.bincount(pairs.item_P, share_K[pairs.class_P], minlength=answers.num_items)
    with np.errstate(divide="ignore"):
        rest = np.where(pairs.rest_count_I > 0, np.log(np.maximum(1.0 - named_I, 1e-12)), -np.inf)
    return np.log(share_K)[pairs.class_P], rest
