"""One label from several people: hand-made numbers, the plain judge, models that deserve trust and models that do not."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import consensus_crowd
from model import consensus, consensus_answers, consensus_em, consensus_skill, consensus_trust, consensus_votes, errors
from tests.model import consensus_judge

SIZES = {"num_items": 3, "num_annotators": 3, "num_classes": 4}
ITEM, WHO, SAID = [0, 0, 0, 1, 1], [0, 1, 2, 0, 1], [2, 2, 3, 1, 0]


def right(crowd: consensus_crowd.Crowd, method: str, trust: consensus_trust.ModelTrust | None = None) -> float:
    found = consensus.consensus(**crowd.given, method=method, model_trust=trust)
    return float((found.labels_I == crowd.truth_I).mean())


def test_majority_by_hand_ties_go_to_the_model_and_unanswered_images_too() -> None:
    log_probs = np.log([[0.1, 0.1, 0.1, 0.7], [0.6, 0.2, 0.1, 0.1], [0.1, 0.1, 0.1, 0.7]])
    found = consensus.consensus(ITEM, WHO, SAID, **SIZES, model_log_probs_IK=log_probs, method="majority")
    assert found.labels_I.tolist() == [2, 0, 3]
    np.testing.assert_allclose(found.agreement_I[:2], [2 / 3, 1 / 2])
    assert np.isnan(found.agreement_I[2])
    np.testing.assert_allclose(found.probs_IK, [[0, 0, 2 / 3, 1 / 3], [0.5, 0.5, 0, 0], [0.1, 0.1, 0.1, 0.7]])


def test_without_a_model_ties_go_to_who_agrees_with_others() -> None:
    found = consensus.consensus(ITEM, WHO, SAID, **SIZES, method="majority")
    assert found.labels_I.tolist() == [2, 0, -1]  # both agree with others equally often: the lower class
    found = consensus.consensus([*ITEM, 2, 2], [*WHO, 0, 2], [*SAID, 1, 1], **SIZES, method="majority")
    assert found.labels_I[1] == 1


def test_crowdlab_is_cleanlabs() -> None:
    """Figures by cleanlab 2.9.0's get_label_quality_multiannotator on the same answers."""
    item, who, said = [0, 0, 1, 1, 1, 2, 3, 3, 4, 4], [0, 1, 0, 1, 2, 2, 1, 2, 0, 2], [0, 0, 1, 1, 2, 2, 2, 2, 0, 1]
    probs = np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7], [0.3, 0.3, 0.4], [0.2, 0.6, 0.2]])
    sizes = {"num_items": 5, "num_annotators": 3, "num_classes": 3}
    found = consensus.consensus(item, who, said, **sizes, model_log_probs_IK=np.log(probs), method="crowdlab")
    np.testing.assert_allclose(found.probs_IK, CLEANLAB, atol=2e-4)


CLEANLAB = [
    [0.7239, 0.175, 0.1011],
    [0.175, 0.5762, 0.2488],
    [0.1, 0.2, 0.7],
    [0.2488, 0.2488, 0.5023],
    [0.2, 0.6, 0.2],
]


@pytest.mark.parametrize("steps", [1, 2, 6])
def test_the_posterior_is_the_plain_judges(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(steps)
    item, who = np.repeat(np.arange(15), 3), np.concatenate([rng.permutation(4)[:3] for _ in range(15)])
    said = np.where(rng.random(45) < 0.7, item % 3, rng.integers(3, size=45))
    answers = consensus_answers.check(item, who, said, num_items=15, num_annotators=4, num_classes=3)
    monkeypatch.setattr(consensus_em, "MOST_STEPS", steps)
    monkeypatch.setattr(consensus_em, "STRENGTH_AT", (99,))
    monkeypatch.setattr(consensus_em, "FIRST_STRENGTH", 4.0)
    monkeypatch.setattr(consensus_skill, "ERROR_STRENGTHS", (20.0,))
    fit = consensus_em.fit(answers, consensus_answers.pair_up(answers, None))
    judged = consensus_judge.classes_of(list(zip(item, who, said, strict=True)), 15, 4, 3, steps, 4.0)
    np.testing.assert_allclose(fit.probs_P.reshape(15, 3), judged, atol=1e-9)


@pytest.mark.parametrize("method", ["majority", "dawid_skene", "dawid_skene_model", "crowdlab", "auto"])
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), classes=st.sampled_from([5, 30]))
def test_the_order_of_images_people_and_answers_does_not_matter(method: str, seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    crowd = consensus_crowd.make(seed, items=40, each=2, classes=classes)
    one = consensus.consensus(**crowd.given, method=method)
    images, people, order = rng.permutation(40), rng.permutation(5), rng.permutation(80)
    log_probs = np.empty_like(crowd.given["model_log_probs_IK"])
    log_probs[images] = crowd.given["model_log_probs_IK"]
    moved = {
        **crowd.given,
        "item_A": images[crowd.given["item_A"]][order],
        "annotator_A": people[crowd.given["annotator_A"]][order],
        "label_A": crowd.given["label_A"][order],
        "model_log_probs_IK": log_probs,
    }
    other = consensus.consensus(**moved, method=method)
    np.testing.assert_allclose(other.probs_IK[images], one.probs_IK, atol=1e-6)
    np.testing.assert_allclose(other.annotators.quality_J[people], one.annotators.quality_J, atol=1e-4)
    np.testing.assert_allclose(one.probs_IK.sum(axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("classes", [4, 40])
@pytest.mark.parametrize("method", sorted(consensus.METHODS.keys() - {"dawid_skene_model"}))
def test_what_all_say_stays(method: str, classes: int) -> None:
    truth = np.arange(60) % classes
    item, who = np.repeat(np.arange(60), 3), np.tile([0, 1, 2], 60)
    found = consensus.consensus(
        item, who, truth[item], num_items=60, num_annotators=3, num_classes=classes, method=method
    )
    assert (found.labels_I == truth).all()
    assert (found.agreement_I == 1.0).all()
    assert (found.annotators.quality_J > 0.9).all()


def test_a_calibrated_model_adds_a_point_at_two_answers_and_an_overconfident_one_takes_nothing() -> None:
    good = consensus_crowd.make(3, items=1000, each=2)
    assert right(good, "auto", good.trust) > right(good, "majority") + 0.01
    assert right(good, "auto") > right(good, "crowdlab") + 0.01
    bad = consensus_crowd.make(3, items=1000, each=2, right=0.5, sharper=5.0)
    for trust in (bad.trust, None):
        assert right(bad, "auto", trust) >= right(bad, "majority")
    told = consensus.consensus(**bad.given, model_trust=bad.trust)
    assert "overconfident and was tempered" in told.why
    assert told.sharpness is not None
    assert 0.1 < told.sharpness < 0.4  # what it was sharpened by is five


def test_a_model_that_tells_nothing_on_the_holdout_is_ignored() -> None:
    crowd, rng = consensus_crowd.make(1, items=300, each=3), np.random.default_rng(0)
    noise = rng.standard_normal((300, 10))
    trust = consensus_trust.measure(noise[:200], np.where(rng.random(200) < 0.6, 0, rng.integers(10, size=200)))
    found = consensus.consensus(**{**crowd.given, "model_log_probs_IK": noise}, model_trust=trust)
    alone = consensus.consensus(**{**crowd.given, "model_log_probs_IK": None})
    assert not trust.tells_something
    assert found.used == "dawid_skene"
    assert "ignored" in found.why
    np.testing.assert_array_equal(found.labels_I, np.where(alone.labels_I < 0, found.labels_I, alone.labels_I))


def test_a_spammer_is_found_and_outvoted() -> None:
    rng = np.random.default_rng(0)
    truth, item, who = rng.integers(6, size=200), np.repeat(np.arange(200), 4), np.tile(np.arange(4), 200)
    said = np.where(rng.random(800) < 0.85, truth[item], rng.integers(6, size=800))
    said[who == 3] = 0
    found = consensus.consensus(item, who, said, num_items=200, num_annotators=4, num_classes=6)
    assert (found.annotators.quality_J[:3] > 0.75).all()
    assert found.annotators.high_J[3] < 0.35
    assert abs(found.annotators.kappa_J[3]) < 0.1
    assert (found.labels_I == truth).mean() > 0.94


def test_one_annotator_keeps_his_word_without_a_model_and_nobody_is_no_error() -> None:
    found = consensus.consensus([0, 1, 2], [0, 0, 0], [3, 1, 2], **SIZES)
    assert found.labels_I.tolist() == [3, 1, 2]
    empty = consensus.consensus([], [], [], **SIZES)
    assert empty.labels_I.tolist() == [-1, -1, -1]
    assert (empty.annotators.low_J[0], empty.annotators.high_J[0]) == (0.0, 1.0)
    log_probs = np.log(np.full((3, 4), 0.1) + 0.6 * np.eye(3, 4))
    for method in consensus.METHODS.keys() - {"dawid_skene"}:
        found = consensus.consensus([], [], [], **SIZES, model_log_probs_IK=log_probs, method=method)
        assert found.labels_I.tolist() == [0, 1, 2]


def test_a_class_that_the_model_does_not_know_can_win() -> None:
    log_probs = np.full((30, 3), -np.inf)
    log_probs[:, 0] = 0.0
    item, who = np.repeat(np.arange(30), 3), np.tile([0, 1, 2], 30)
    found = consensus.consensus(
        item, who, np.full(90, 2), num_items=30, num_annotators=3, num_classes=3, model_log_probs_IK=log_probs
    )
    assert (found.labels_I == 2).all()


@pytest.mark.parametrize(
    ("changed", "error", "told"),
    [
        ({"item_A": [0, 0, 0, 1, 3]}, errors.BadInput, "item_A runs from 0 to 3"),
        ({"annotator_A": [0, 1, 2, 0]}, errors.BadInput, "4 annotators"),
        ({"annotator_A": [0, 1, 1, 0, 1]}, errors.BadInput, "annotator 1 answered item 0 twice"),
        ({"label_A": [0.5] * 5}, errors.BadInput, "label_A must be whole"),
        ({"label_A": [np.nan] * 5}, errors.NotFinite, "label_A is not finite at position 0"),
        ({"num_classes": 1}, errors.BadInput, "num_classes is 1"),
        ({"method": "majorty"}, errors.UnknownName, "did you mean 'majority'"),
        ({"method": "dawid_skene_model"}, errors.BadInput, "needs model_log_probs_IK"),
        ({"model_log_probs_IK": np.zeros((3, 3))}, errors.BadInput, "shape"),
        ({"model_log_probs_IK": np.full((3, 4), np.nan)}, errors.NotFinite, "row 0"),
    ],
)
def test_bad_input_is_refused_by_name(changed: dict[str, Any], error: type[Exception], told: str) -> None:
    asked: dict[str, Any] = {"item_A": ITEM, "annotator_A": WHO, "label_A": SAID, **SIZES, **changed}
    with pytest.raises(error, match=told):
        consensus.consensus(**asked)


def test_weights_fall_to_nothing_for_who_is_no_better_than_the_commonest_class() -> None:
    crowd = consensus_crowd.make(0, items=400, each=3)
    sizes = {name: crowd.given[name] for name in SIZES}
    answers = consensus_answers.check(
        crowd.given["item_A"], crowd.given["annotator_A"], crowd.given["label_A"], **sizes
    )
    weight = consensus_votes.weights(answers, consensus_answers.pair_up(answers, None))
    assert weight.model == 0.0
    assert (np.diff(weight.annotator_J) > 0).mean() >= 0.5
