"""Annotators: quality by hand, intervals that hold the truth, the team's alpha against its definition."""

import itertools

import numpy as np
import pytest

from app import consensus_crowd
from model import annotators, consensus, errors, shares


def test_intervals_hold_the_truth_and_uncertain_others_make_them_wide() -> None:
    held, width = [], {1: 0.0, 5: 0.0}
    for each in width:
        for seed in range(12):
            crowd = consensus_crowd.make(seed, items=500, each=each)
            found = consensus.consensus(**crowd.given).annotators
            held += list((found.low_J <= crowd.quality_J) & (crowd.quality_J <= found.high_J))
            width[each] += float((found.high_J - found.low_J).mean())
            assert (found.evidence_J <= found.answers_J).all()
            assert ((found.low_J < found.quality_J) & (found.quality_J < found.high_J)).all()
    assert 0.88 < np.mean(held) <= 1.0
    assert width[1] > width[5]


def test_accuracy_by_class_only_where_there_are_answers_enough() -> None:
    item, who = np.repeat(np.arange(60), 3), np.tile([0, 1, 2], 60)
    truth = np.where(np.arange(60) < 40, 0, np.where(np.arange(60) < 57, 1, 2))
    said = truth[item]
    said[(who == 0) & (truth[item] == 1)] = 2
    found = consensus.consensus(item, who, said, num_items=60, num_annotators=3, num_classes=3).annotators
    assert found.by_class_JK[0, 1] < 0.1
    assert found.by_class_high_JK[0, 1] < 0.3
    assert found.by_class_JK[1, 1] > 0.9
    assert np.isnan(found.by_class_JK[:, 2]).all()


def plain_alpha(item: list[int], said: list[int]) -> float:
    images = [[s for i, s in zip(item, said, strict=True) if i == image] for image in set(item)]
    images = [row for row in images if len(row) > 1]
    seen = sum(sum(a != b for a, b in itertools.permutations(row, 2)) / (len(row) - 1) for row in images)
    everyone = [s for row in images for s in row]
    chance = sum(a != b for a, b in itertools.permutations(everyone, 2)) / (len(everyone) - 1)
    return 1 - seen / chance


def test_alpha_is_its_definition_and_its_interval_holds_it() -> None:
    rng = np.random.default_rng(0)
    item, who = np.repeat(np.arange(40), 3)[:-5], np.tile([0, 1, 2], 40)[:-5]
    said = np.where(rng.random(len(item)) < 0.7, item % 4, rng.integers(4, size=len(item)))
    sizes = {"num_items": 41, "num_annotators": 3, "num_classes": 4}
    found = annotators.agreement(item, who, said, **sizes)
    assert found.alpha == pytest.approx(plain_alpha(item.tolist(), said.tolist()))
    assert found.low < found.alpha < found.high
    assert found.items == 38  # of 39 with answers one has a single one
    lucky = annotators.agreement(item, who, rng.integers(4, size=len(item)), **sizes)
    assert lucky.low < 0.05
    assert annotators.agreement(item, who, item % 4, **sizes).alpha == 1.0
    assert np.isnan(annotators.agreement([0, 1], [0, 1], [1, 1], **sizes).alpha)


def test_alpha_left_out_by_formula_is_alpha_of_the_others() -> None:
    item, who, said = [0, 0, 1, 1, 2, 2, 2], [0, 1, 0, 1, 0, 1, 2], [0, 1, 1, 1, 0, 0, 1]
    without = [
        plain_alpha([i for i in item if i != out], [s for i, s in zip(item, said, strict=True) if i != out])
        for out in range(3)
    ]
    found = annotators.agreement(item, who, said, num_items=3, num_annotators=3, num_classes=2)
    half = annotators.Z * np.sqrt(2 / 3 * ((np.array(without) - np.mean(without)) ** 2).sum())
    assert found.low == pytest.approx(max(-1.0, found.alpha - half))


def test_wilson_is_calibrations() -> None:
    low, high = annotators.wilson(np.array([0.7, 0.0]), np.array([10.0, 0.0]))
    assert (low[0], high[0]) == pytest.approx(shares.wilson(7, 10), abs=1e-6)
    assert (low[1], high[1]) == (0.0, 1.0)


def test_bad_answers_are_refused() -> None:
    with pytest.raises(errors.BadInput, match="twice"):
        annotators.agreement([0, 0], [1, 1], [0, 1], num_items=1, num_annotators=2, num_classes=2)
