"""Medians and their intervals: against a published example, and by how often they hold the truth."""

import random

import pytest

from model import medians


def test_the_centre_of_pairs_is_that_of_the_published_example() -> None:
    # Hollander and Wolfe 1973, table 3.1 (depression before and after); R's wilcox.test(paired, conf.int) says the same
    before = (1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30)
    after = (0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29)
    found = medians.centre([a - b for a, b in zip(before, after, strict=True)])
    assert found == pytest.approx((0.46, 0.010, 0.786), abs=0.0005)


@pytest.mark.parametrize("interval", [medians.median, medians.centre])
@pytest.mark.parametrize("n", [6, 15, 60])
def test_the_interval_holds_the_truth_in_95_of_100_cases(interval, n: int) -> None:
    rng = random.Random(n)
    held = 0
    for _ in range(400):
        _, low, high = interval([2.0 + rng.gauss(0.0, 1.0) * rng.choice((1, 5)) for _ in range(n)])
        held += low <= 2.0 <= high
    assert held >= 372  # 93 %: two standard errors under


def test_of_too_few_nothing_is_told_and_of_very_many_the_plain_median() -> None:
    assert medians.median([1.0] * 5) is None
    assert medians.centre([1.0] * 5) is None
    many = [float(each) for each in range(1001)]
    assert medians.centre(many) == medians.median(many) == (500.0, 468.0, 532.0)
