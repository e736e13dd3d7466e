"""Areas under the ROC curve on numbers worked out by hand, and a comparison that is seldom fooled by chance."""

import numpy as np
import pytest

from model import errors, roc


def test_the_area_is_the_share_of_pairs_in_the_right_order() -> None:
    scores, wrong = np.array([0.9, 0.8, 0.7, 0.1]), np.array([True, False, True, False])
    assert roc.area(scores, wrong) == pytest.approx(3 / 4)
    assert roc.area(np.zeros(4), wrong) == pytest.approx(1 / 2)
    assert roc.area(scores, np.zeros(4, bool)) is None
    assert roc.area(scores, np.ones(4, bool)) is None
    assert roc.area([], []) is None


def test_two_scores_differ_by_the_standard_error_of_delong() -> None:
    wrong = np.array([True] * 5 + [False] * 5)
    first = np.array([1.0, 3, 5, 7, 9, 2, 4, 6, 8, 10])  # a positive is above 0, 1, 2, 3, 4 of the five negatives
    second = np.array([11.0, 12, 13, 14, 0, 2, 4, 6, 8, 10])  # above all of them, but one above none
    found = roc.compare(first, second, wrong)
    assert found is not None
    assert (found.first, found.second) == pytest.approx((0.4, 0.8))
    of_positives = np.var([1.0, 0.8, 0.6, 0.4, -0.8], ddof=1) / 5
    of_negatives = (
        np.var([0.0, 0.2, 0.4, 0.6, 0.8], ddof=1) / 5
    )  # .8 of the positives above each, before it were .8 to 0
    assert found.error == pytest.approx(np.sqrt(of_positives + of_negatives))
    assert not found.second_is_better()
    assert found.second_is_better(errors_beyond=0.5)


def test_the_same_score_is_not_better_than_itself_and_few_mistakes_are_not_compared() -> None:
    rng = np.random.default_rng(0)
    scores, wrong = rng.random(40), np.arange(40) < 5
    assert not roc.compare(scores, scores, wrong).second_is_better()
    assert roc.compare(scores, scores, np.arange(40) < 4) is None
    assert roc.compare(scores, scores, np.arange(40) >= 4) is None


@pytest.mark.parametrize("positives", [5, 20])
def test_equally_good_scores_seldom_differ_and_a_better_one_is_seen(positives: int) -> None:
    rng, wrong = np.random.default_rng(0), np.arange(60) < positives
    by_chance = seen = 0
    for _ in range(200):
        truth = rng.normal(size=60) + wrong
        first, second = (truth + 0.7 * rng.normal(size=60) for _ in range(2))
        by_chance += roc.compare(first, second, wrong).second_is_better()
        seen += roc.compare(rng.normal(size=60), truth + 2.0 * wrong, wrong).second_is_better()
    assert by_chance <= 14  # 2.3 % of 200 is 5
    assert seen >= 160


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(errors.BadInput, match="3"):
        roc.area(np.zeros(3), np.zeros(4, bool))
    with pytest.raises(errors.NotFinite, match="image 1"):
        roc.area([0.0, np.nan], [True, False])
