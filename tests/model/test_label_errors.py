"""Confident learning: a case by hand, planted errors found, a second opinion by the nearest, bad input refused."""

import numpy as np
import pytest

from app import consensus_crowd
from model import errors, label_errors


def test_a_case_by_hand() -> None:
    probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.1, 0.9], [0.4, 0.6]])
    found = label_errors.find(np.log(probs), [0, 0, 0, 1, 1, 0])
    np.testing.assert_allclose(found.threshold_K, [(0.9 + 0.8 + 0.1 + 0.4) / 4, 0.85])
    assert found.positions_E.tolist() == [2]  # .6 for class 1 does not reach .85: no suspect
    assert found.suggested_E.tolist() == [1]
    assert found.score_E[0] == pytest.approx((0.1 - 0.9 + 1) / 2)
    np.testing.assert_allclose(found.joint_KK, np.array([[2, 1], [0, 1]]) * [[4 / 3], [2]] / 6)
    assert found.expected == 1
    assert found.reasons_E == ["the network gives the label 10%, the suggested class 90%"]


def test_planted_errors_in_digits_are_found_and_the_nearest_help() -> None:
    x_ND, given, wrong, log_probs = consensus_crowd.digits(0, 0.08)
    alone, both = label_errors.find(log_probs, given), label_errors.find(log_probs, given, embeddings_ND=x_ND)
    for found, recall in ((alone, 0.65), (both, 0.85)):
        first = np.argsort(found.score_N, kind="stable")[: int(wrong.sum())]
        assert wrong[first].mean() > 0.85
        assert wrong[found.positions_E].mean() > 0.8
        assert wrong[found.positions_E].sum() > recall * wrong.sum()
        assert (np.diff(found.score_E) >= 0).all()
    assert "of the nearest labelled images have another label" in both.reasons_E[0]


def test_clean_labels_and_none_at_all_give_no_suspects() -> None:
    labels = np.arange(30) % 3
    sure = np.log(np.full((30, 3), 0.05) + 0.85 * np.eye(3)[labels])
    assert not len(label_errors.find(sure, labels).positions_E)
    assert not len(label_errors.find(np.empty((0, 3)), []).positions_E)


def test_the_order_of_images_does_not_matter() -> None:
    x_ND, given, _, log_probs = consensus_crowd.digits(1, 0.1)
    order = np.random.default_rng(0).permutation(len(given))
    one = label_errors.find(log_probs, given, embeddings_ND=x_ND)
    other = label_errors.find(log_probs[order], given[order], embeddings_ND=x_ND[order])
    np.testing.assert_allclose(other.score_N, one.score_N[order], atol=0.06)  # equally near neighbours may change
    assert np.isclose(other.score_N, one.score_N[order], atol=1e-6).mean() > 0.99


def test_bad_input_is_refused_by_name() -> None:
    with pytest.raises(errors.NotFinite, match="row 1"):
        label_errors.find([[0.0, 0.0], [np.nan, 0.0]], [0, 1])
    with pytest.raises(errors.BadInput, match="labels_N runs from 0 to 2"):
        label_errors.find(np.zeros((2, 2)), [0, 2])
    with pytest.raises(errors.BadInput, match="1 embeddings"):
        label_errors.find(np.zeros((3, 2)), [0, 1, 0], embeddings_ND=np.zeros((1, 2)))
