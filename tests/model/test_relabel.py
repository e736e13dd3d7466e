"""New image or old one: ActiveLab's formula by hand, disputes before agreement, nobody asked twice."""

from typing import Any

import numpy as np
import pytest

from app import consensus_crowd
from model import consensus, consensus_answers, consensus_votes, errors, relabel


def scored(crowd: consensus_crowd.Crowd, **options: Any) -> tuple[consensus.Consensus, relabel.Priorities]:
    given = crowd.given
    found = consensus.consensus(**given)
    answers = (given["item_A"], given["annotator_A"], given["label_A"])
    return found, relabel.priorities(found, *answers, model_log_probs_IK=given["model_log_probs_IK"], **options)


def partly() -> consensus_crowd.Crowd:
    """200 images, the first 100 with two answers each."""
    crowd = consensus_crowd.make(0, items=200, each=2)
    keep = crowd.given["item_A"] < 100
    given = {name: value[keep] if name.endswith("_A") else value for name, value in crowd.given.items()}
    return consensus_crowd.Crowd(given, crowd.trust, crowd.truth_I, crowd.quality_J)


def test_the_score_is_the_formula() -> None:
    crowd = partly()
    found, made = scored(crowd)
    given = crowd.given
    answers = consensus_answers.check(
        given["item_A"], given["annotator_A"], given["label_A"], num_items=200, num_annotators=5, num_classes=10
    )
    weight = consensus_votes.weights(answers, consensus_answers.pair_up(answers, given["model_log_probs_IK"]))
    mean = weight.annotator_J.mean()
    people = weight.annotator_J[answers.annotator_A[answers.item_A == 7]].sum()
    total = weight.model + people
    assert made.score_I[7] == pytest.approx((total * found.quality_I[7] + mean / 10) / (total + mean))
    likeliest = found.probs([150]).max()
    assert made.score_I[150] == pytest.approx((weight.model * likeliest + mean / 10) / (weight.model + mean))
    assert made.again_I[7]
    assert not made.again_I[150]


def test_the_least_sure_of_both_kinds_come_first() -> None:
    found, made = scored(partly())
    chosen = made.choose(40)
    assert len(set(chosen.tolist())) == 40
    assert made.score_I[chosen].max() <= np.delete(made.score_I, chosen).min()
    assert 0 < made.re_asks(200) == 100
    assert made.re_asks(20) == int((chosen[:20] < 100).sum())
    disputed = np.flatnonzero(found.agreement_I == 0.5)
    agreed = np.flatnonzero(found.agreement_I == 1.0)
    assert made.score_I[disputed].mean() < made.score_I[agreed].mean()


def test_nobody_is_asked_twice_and_the_bound_and_exclusions_hold() -> None:
    crowd = partly()
    _, made = scored(crowd, annotator=2, excluded=[150, 151])
    own = crowd.given["item_A"][crowd.given["annotator_A"] == 2]
    assert not set(made.choose(200).tolist()) & {*own.tolist(), 150, 151}
    _, bound = scored(crowd, most_answers=2)
    assert (bound.choose(500) >= 100).all()
    assert bound.re_asks(50) == 0


def test_without_a_model_disputed_images_come_before_agreed_ones_and_new_ones_first() -> None:
    item, who, said = [0, 0, 1, 1, 2], [0, 1, 0, 1, 0], [1, 1, 0, 2, 0]
    found = consensus.consensus(item, who, said, num_items=4, num_annotators=2, num_classes=3)
    made = relabel.priorities(found, item, who, said)
    order = made.choose(4).tolist()
    assert order[0] == 3
    assert order.index(1) < order.index(0)


def test_answers_of_another_consensus_are_refused() -> None:
    found = consensus.consensus([0], [0], [1], num_items=2, num_annotators=1, num_classes=2)
    with pytest.raises(errors.BadInput, match="not those"):
        relabel.priorities(found, [1], [0], [1])
    with pytest.raises(errors.BadInput, match="most_answers is 0"):
        relabel.priorities(found, [0], [0], [1], most_answers=0)
