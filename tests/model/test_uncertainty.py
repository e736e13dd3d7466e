"""decompose: what the draws disagree about is epistemic, what they agree to be unsure of is aleatoric."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model import chunks, errors, uncertainty


def test_equal_means_unequal_spread_differ_only_in_the_epistemic_part() -> None:
    agree = np.log([[0.5, 0.5], [0.5, 0.5]])
    differ = np.log([[0.9, 0.1], [0.1, 0.9]])
    found = uncertainty.decompose(np.stack([agree, differ]))
    np.testing.assert_allclose(found.total_N, np.log(2), rtol=1e-6)
    np.testing.assert_allclose(found.mean_NK, np.log(0.5), rtol=1e-6)
    assert found.epistemic_N[0] == pytest.approx(0.0, abs=1e-9)
    assert found.epistemic_N[1] == pytest.approx(np.log(2) - 0.3250830, abs=1e-6)
    assert found.margin_N[1] == pytest.approx(0.0, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 5))
def test_parts_add_up_and_stay_in_their_bounds(seed: int, draws: int, classes: int) -> None:
    probs = np.random.default_rng(seed).dirichlet(np.ones(classes), size=(7, draws))
    found = uncertainty.decompose(np.log(probs))
    np.testing.assert_allclose(found.total_N, found.aleatoric_N + found.epistemic_N, atol=1e-9)
    assert (found.epistemic_N >= 0).all()
    assert (found.total_N <= np.log(classes) + 1e-9).all()
    assert ((found.margin_N >= -1e-12) & (found.margin_N <= 1)).all()
    np.testing.assert_allclose(np.exp(found.mean_NK), probs.mean(axis=1), atol=1e-9)


def test_chunks_give_what_one_piece_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    draws = np.log(np.random.default_rng(0).dirichlet(np.ones(4), size=(50, 3)))
    whole = uncertainty.decompose(draws)
    monkeypatch.setattr(chunks, "VALUES", 7 * 12)
    parts = uncertainty.decompose(draws)
    np.testing.assert_array_equal(whole.epistemic_N, parts.epistemic_N)
    np.testing.assert_array_equal(whole.mean_NK, parts.mean_NK)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.7])
def test_what_is_no_distribution_is_refused_by_its_row(bad: float) -> None:
    draws = np.log(np.full((5, 2, 4), 0.25))
    draws[3, 1, 2] = bad
    with pytest.raises(errors.NotFinite, match="image 3"):
        uncertainty.decompose(draws)
    with pytest.raises(errors.BadInput, match="axes"):
        uncertainty.decompose(draws[0])


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("classes", [1, 2, 7])
def test_the_two_likeliest_of_one_mean_posterior_are_those_of_its_probabilities(kind: type, classes: int) -> None:
    probs = np.random.default_rng(3).dirichlet(np.ones(classes), size=300)
    probs[0] = np.eye(classes)[0]
    with np.errstate(divide="ignore"):
        logs = np.log(probs).astype(kind)
    ordered = np.sort(np.c_[np.zeros(300), np.exp(logs.astype(float))], axis=1)
    top_N, second_N = uncertainty.two_likeliest(logs)
    np.testing.assert_allclose(top_N, ordered[:, -1], atol=1e-12)
    np.testing.assert_allclose(second_N, ordered[:, -2], atol=1e-12)


@pytest.mark.parametrize("bad", [0.7, 0.0])
def test_two_likeliest_that_cannot_belong_to_a_distribution_are_named(bad: float) -> None:
    logs = np.log(np.full((5, 4), 0.25))
    logs[3] = np.log(bad) if bad else -9.0
    with pytest.raises(errors.NotFinite, match="image 3"):
        uncertainty.two_likeliest(logs)


def test_probability_zero_and_half_precision_are_fine() -> None:
    with np.errstate(divide="ignore"):
        certain = np.log(np.array([[[1.0, 0.0, 0.0]]]))
    assert uncertainty.decompose(certain).total_N[0] == 0.0
    half = np.log(np.full((2, 3, 200), 1 / 200)).astype(np.float16)
    np.testing.assert_allclose(uncertainty.decompose(half).total_N, np.log(200), rtol=0.01)


def test_single_and_half_precision_say_the_same_within_their_rounding() -> None:
    draws = np.log(np.random.default_rng(1).dirichlet(np.ones(6), size=(40, 5)))
    exact = uncertainty.decompose(draws)
    for kind, near in ((np.float32, 1e-5), (np.float16, 5e-3)):
        found = uncertainty.decompose(draws.astype(kind), with_mean=False)
        assert not len(found.mean_NK)
        for name in ("total_N", "aleatoric_N", "epistemic_N", "margin_N", "confidence_N"):
            np.testing.assert_allclose(getattr(found, name), getattr(exact, name), atol=near)


def test_half_precision_is_read_bit_by_bit_as_numpy_reads_it() -> None:
    every = np.arange(65_536, dtype=np.uint16).view(np.float16)
    usual = every[np.isfinite(every)]
    np.testing.assert_array_equal(uncertainty._at_least_single(usual), usual.astype(np.float32))
    for bad in (np.nan, np.inf):
        draws = np.log(np.full((5, 2, 4), 0.25)).astype(np.float16)
        draws[3, 1, 2] = bad
        with pytest.raises(errors.NotFinite, match="image 3"):
            uncertainty.decompose(draws)
