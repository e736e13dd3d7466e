"""The pseudo-label rules on posteriors small enough to check by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model.semi import batches, methods, schedules


def posterior(*draws_of_images):
    """log_probs_BSK from probabilities."""
    return torch.tensor(draws_of_images).log()


STEADY = [[0.9, 0.1], [0.9, 0.1]]  # mean .9, deviation 0
SHAKY = [[1.0, 0.0], [0.8, 0.2]]  # mean .9, unbiased deviation .1414
UNSURE = [[0.4, 0.6], [0.4, 0.6]]  # mean .6 for class 1


def select(name, log_probs_BSK, *, tau=0.85, kappa=0.05):
    return methods.METHODS[name].select(log_probs_BSK, tau=tau, kappa=kappa)


def test_raum_wants_a_sure_mean_and_steady_draws():
    verdict = select("raum", posterior(STEADY, SHAKY, UNSURE))
    assert verdict.mask_B.tolist() == [True, False, False]
    assert verdict.targets_B.tolist() == [0, 0, 1]
    assert verdict.weights_B.tolist() == [1.0, 0.0, 0.0]


def test_raums_spread_is_the_unbiased_deviation_of_the_chosen_class():
    shaky = posterior(SHAKY)  # deviations from the mean: +.1 and -.1; sqrt(.02 / 1) = .1414
    assert select("raum", shaky, kappa=0.1415).mask_B.item()
    assert not select("raum", shaky, kappa=0.1413).mask_B.item()


def test_raum_with_one_draw_is_fixmatch():
    single = posterior([[0.9, 0.1]], [[0.6, 0.4]])
    assert select("raum", single).mask_B.tolist() == select("fixmatch", single).mask_B.tolist() == [True, False]


def test_fixmatch_looks_at_the_mean_alone():
    assert select("fixmatch", posterior(STEADY, SHAKY, UNSURE)).mask_B.tolist() == [True, True, False]
    assert select("fixmatch", posterior(UNSURE), tau=0.6).mask_B.tolist() == [True]  # the threshold itself is enough


def test_supervised_believes_nothing():
    verdict = select("supervised", posterior(STEADY, UNSURE))
    assert not verdict.mask_B.any()
    assert verdict.weights_B.sum() == 0
    assert not methods.METHODS["supervised"].unlabelled


def test_the_learning_rate_rises_in_a_line_and_falls_in_a_half_cosine():
    factors = [schedules.learning_rate(done, warmup=0.2) for done in (0.0, 0.1, 0.2, 0.6, 1.0)]
    assert factors == pytest.approx([0.0, 0.5, 1.0, 0.5, 0.0])


def test_trust_waits_then_rises_to_one():
    assert [schedules.trust(done, start=0.5, ramp=0.2) for done in (0.4, 0.5, 0.6, 0.7, 0.9)] == pytest.approx(
        [0.0, 0.0, 0.5, 1.0, 1.0]
    )
    assert schedules.trust(0.5, start=0.5, ramp=0.0) == 1.0


def test_every_pass_shows_each_position_once():
    order = batches.Order(np.arange(7), np.random.default_rng(0))
    taken = np.concatenate([order.take(3) for _ in range(7)])
    assert sorted(taken[:7]) == sorted(taken[7:14]) == list(range(7))
    assert list(taken[:7]) != list(taken[7:14])


def test_a_rare_class_comes_oftener_but_at_most_three_times():
    labels_N = np.array([0] * 36 + [1] * 9 + [2])
    counts = np.bincount(labels_N[batches.balanced(labels_N)])
    assert counts.tolist() == [36, 18, 3]  # sqrt(36 / 9) = 2; sqrt(36 / 1) = 6, capped
