"""The out-of-class score: learns from rejects, says nothing without them, names what does not fit."""

import numpy as np
import pytest

from model import acquisition, errors, out_of_class


def _pool(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """200 rows of which the last 80 lie in two clusters of their own, and which those are."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(6, 16)).repeat([30, 30, 30, 30, 40, 40], axis=0)
    points = (centres + 0.5 * rng.normal(size=(200, 16))).astype(np.float32)
    return points / np.linalg.norm(points, axis=1, keepdims=True), np.arange(200) >= 120


def test_rejects_teach_which_images_belong_to_no_class() -> None:
    points, is_out = _pool()
    labelled, rejected = np.arange(0, 120, 6), np.arange(120, 200, 8)
    told = out_of_class.probability(
        points, labelled=labelled, labels=np.zeros(len(labelled)), rejected=rejected, rng=np.random.default_rng(0)
    )
    assert told.shape == (200,)
    assert (told >= 0).all()
    assert (told <= 1).all()
    assert np.median(told[is_out]) > 0.7 > 0.3 > np.median(told[~is_out])


def test_nothing_rejected_is_zero_and_nothing_labelled_is_the_share_of_rejects() -> None:
    points, _ = _pool()
    rng = np.random.default_rng(0)
    assert not out_of_class.probability(points, labelled=np.arange(9), labels=np.zeros(9), rejected=[], rng=rng).any()
    np.testing.assert_allclose(out_of_class.probability(points, labelled=[], labels=[], rejected=[3, 4], rng=rng), 0.75)


@pytest.mark.parametrize(("labelled", "rejected", "match"), [([200], [1], "200|199"), ([5], [5], "row 5")])
def test_what_does_not_fit_is_named(labelled: list[int], rejected: list[int], match: str) -> None:
    points, _ = _pool()
    with pytest.raises(errors.BadInput, match=match):
        out_of_class.probability(
            points, labelled=labelled, labels=np.zeros(len(labelled)), rejected=rejected, rng=np.random.default_rng(0)
        )


def test_a_situation_tells_of_the_candidates_alone() -> None:
    points, _ = _pool()
    labelled, rejected = np.arange(0, 120, 6), np.arange(120, 200, 8)
    told = acquisition.situation(
        points, labelled=labelled, labels=labelled // 30, rejected=rejected, candidates=np.array([199, 1]),
        num_classes=5, rng=np.random.default_rng(0),
    )  # fmt: skip
    assert told["num_classes"] == 5
    assert told["class_counts_K"].tolist() == [5, 5, 5, 5, 0]
    np.testing.assert_array_equal(told["rejected_RD"], points[rejected])
    assert told["out_N"].shape == (2,)
    assert told["out_N"][0] > told["out_N"][1]
