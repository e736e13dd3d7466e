"""Which mode costs the fewest seconds: the formula by hand, one's own times, and when nothing is proposed."""

import pytest

from app.mode_costs import AFTER_NO, GLANCE, GRID, SINGLE, TAKE_OUT, YES, YESNO, Hand, Times, cost, propose, sort_times

SURE = Hand(GRID, 4, 60, 0.97)
LIKELY = Hand(YESNO, 4, 30, 0.7)
ONE = Hand("single")


def test_until_times_are_known_the_priors_count() -> None:
    nothing = Times()
    assert cost(ONE, nothing) == SINGLE
    assert cost(SURE, nothing) == pytest.approx(GLANCE + 0.03 * TAKE_OUT + 0.03 * SINGLE)
    assert cost(LIKELY, nothing) == pytest.approx(0.7 * YES + 0.3 * (YES + SINGLE))


def test_a_mistaken_model_makes_pages_dear() -> None:
    costs = [cost(Hand(GRID, 4, 60, p), Times()) for p in (0.2, 0.5, 0.8, 1.0)]
    assert costs == sorted(costs, reverse=True)
    assert cost(Hand(GRID, 4, 60, 0.1), Times()) > SINGLE
    assert cost(Hand(YESNO, 4, 60, 0.1), Times()) > SINGLE


def test_own_times_take_over_by_and_by_and_a_walk_outside_counts_little() -> None:
    assert cost(ONE, Times(single=[1.0] * 10)) == pytest.approx((10 * 1.0 + 10 * SINGLE) / 20)
    assert cost(ONE, Times(single=[1.0] * 20)) == pytest.approx(1.0)
    assert cost(ONE, Times(single=[600.0] + [1.0] * 19)) == pytest.approx((5.0 + 19) / 20)
    quick = Times(grid=[0.2] * 24, single=[2.0] * 40)
    assert cost(SURE, quick) == pytest.approx(0.2 + 0.03 * 2.0), "one's own page times hold the taking out already"


def test_input_modes_are_told_apart() -> None:
    told = sort_times([("key", 2000.0), ("grid", 300.0), (YESNO, 800.0), (AFTER_NO, 3000.0), ("search", 5000.0)])
    assert told == Times(single=[2.0, 5.0], grid=[0.3], yes=[0.8], no=[3.0])


def test_the_cheapest_mode_is_proposed_where_it_pays() -> None:
    best, present = propose([ONE, SURE, LIKELY], Times(), mode="single") or pytest.fail("nothing was proposed")
    assert (best.hand, present.hand) == (SURE, ONE)
    assert best.seconds < present.seconds == SINGLE
    assert propose([ONE, SURE, LIKELY], Times(), mode="grid") is None, "it is in use already"
    few = Hand(GRID, 4, 5, 0.99)
    assert propose([ONE, few], Times(), mode="single") is None, "too few to change for"
    alike = Hand(YESNO, 4, 60, 0.7)
    assert propose([ONE, alike], Times(single=[2.1] * 30), mode="single") is None, "saves less than 15 %"
    slow_pages = Times(grid=[4.0] * 24, single=[1.5] * 20)
    best, _ = propose([ONE, SURE], slow_pages, mode="grid") or pytest.fail("nothing was proposed")
    assert best.hand == ONE, "back to one at a time for who is slow on pages"
    assert propose([ONE], Times(), mode="grid") is None
