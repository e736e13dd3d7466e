"""Intervals of shares against published figures."""

from model import shares


def test_the_interval_of_a_difference_is_newcombes() -> None:
    # Newcombe 1998, Statistics in Medicine 17, table II: 56/70 against 48/80, method 10
    assert [round(each, 4) for each in shares.difference((56, 70), (48, 80))] == [0.2, 0.0524, 0.3339]
    assert [round(each, 4) for each in shares.difference((9, 10), (3, 10))] == [0.6, 0.1705, 0.8090]
