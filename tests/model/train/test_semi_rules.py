"""The pseudo-label rules on posteriors small enough to check by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from model import config, errors
from model.semi import batches, methods, pseudo_labels, schedules


def posterior(*draws_of_images):
    """log_probs_BSK from probabilities."""
    return torch.tensor(draws_of_images).log()


STEADY = [[0.9, 0.1], [0.9, 0.1]]  # mean .9, deviation 0
SHAKY = [[1.0, 0.0], [0.8, 0.2]]  # mean .9, unbiased deviation .1414
UNSURE = [[0.4, 0.6], [0.4, 0.6]]  # mean .6 for class 1


def rule(name, *, classes=2, images=4, **changes):
    chosen = methods.settled(config.TrainConfig(method=name, **changes))
    return methods.rule(chosen, classes=classes, images=images)


def judge(name, log_probs_BSK, **changes):
    made = rule(name, classes=log_probs_BSK.shape[2], images=len(log_probs_BSK), **changes)
    return made.judge(log_probs_BSK, torch.arange(len(log_probs_BSK)))


def single(*probs_of_images):
    """One pass over each image."""
    return posterior(*[[probs] for probs in probs_of_images])


def test_raum_wants_a_sure_mean_and_steady_draws():
    verdict = judge("raum", posterior(STEADY, SHAKY, UNSURE), tau=0.85, kappa=0.05)
    assert verdict.mask_B.tolist() == [True, False, False]
    assert verdict.targets_B.tolist() == [0, 0, 1]
    assert verdict.weights_B.tolist() == [1.0, 0.0, 0.0]


def test_raums_spread_is_the_unbiased_deviation_of_the_chosen_class():
    shaky = posterior(SHAKY)  # deviations from the mean: +.1 and -.1; sqrt(.02 / 1) = .1414
    assert judge("raum", shaky, tau=0.85, kappa=0.1415).mask_B.item()
    assert not judge("raum", shaky, tau=0.85, kappa=0.1413).mask_B.item()


def test_raum_with_one_draw_is_fixmatch():
    one = posterior([[0.9, 0.1]], [[0.6, 0.4]])
    masks = [judge(name, one, tau=0.85).mask_B.tolist() for name in ("raum", "fixmatch")]
    assert masks == [[True, False], [True, False]]


@pytest.mark.parametrize("name", ["fixmatch", "anomalymatch"])
def test_fixmatch_looks_at_the_mean_alone(name):
    assert judge(name, posterior(STEADY, SHAKY, UNSURE), tau=0.85).mask_B.tolist() == [True, True, False]
    assert judge(name, posterior(UNSURE), tau=0.6).mask_B.tolist() == [True]  # the threshold itself is enough
    assert judge(name, single([0.96, 0.04], [0.94, 0.06])).mask_B.tolist() == [True, False]  # published: .95


def test_supervised_has_no_rule():
    assert rule("supervised") is None


def test_flexmatch_lowers_the_threshold_of_a_class_that_few_images_were_sure_of():
    flex = rule("flexmatch", images=10)
    sure, unsure = [0.97, 0.03], [0.03, 0.97]
    first = flex.judge(single(sure, sure, sure, sure, unsure), torch.arange(5))
    assert first.mask_B.all()  # nothing is learned yet, all thresholds are 0
    assert flex.learned_K.tolist() == pytest.approx([4 / 5, 1 / 5])  # 4 and 1 said, 5 never
    # thresholds: .95 (.8 / 1.2) = .6333 and .95 (.2 / 1.8) = .1056
    second = flex.judge(single([0.63, 0.37], [0.64, 0.36], [0.45, 0.55]), torch.tensor([5, 6, 7]))
    assert second.mask_B.tolist() == [False, True, True]
    assert flex.learned_K.tolist() == pytest.approx([4 / 5, 1 / 5])  # none was sure
    flex.judge(single(sure, sure, [0.02, 0.98]), torch.tensor([8, 9, 0]))  # image 0 changes its class
    assert flex.learned_K.tolist() == pytest.approx([1.0, 2 / 5])  # 5 and 2 said, 3 never
    flex.judge(single([0.5, 0.5]), torch.tensor([0]))
    assert flex.said_N[0] == 1  # an unsure look changes nothing


def test_softmatch_weighs_by_how_far_below_the_usual_confidence():
    soft = rule("softmatch", momentum=0.5)
    verdict = soft.judge(single([0.9, 0.1], [0.1, 0.9]), torch.arange(2))  # mean prediction even: aligned as they are
    assert soft.mean == pytest.approx(0.5 * 0.5 + 0.5 * 0.9)
    assert soft.variance == pytest.approx(0.5 * 1.0 + 0.5 * 0.0)
    assert verdict.weights_B.tolist() == [1.0, 1.0]  # .9 is above .7
    verdict = soft.judge(single([0.6, 0.4], [0.4, 0.6]), torch.arange(2))
    assert soft.mean == pytest.approx(0.65)
    assert soft.variance == pytest.approx(0.25)
    assert verdict.weights_B.tolist() == pytest.approx([np.exp(-(0.05**2) * 4 / 0.5)] * 2, rel=1e-4)
    assert verdict.mask_B.all()


def test_softmatch_aligns_to_even_classes_but_keeps_the_plain_target():
    soft = rule("softmatch", momentum=0.0)
    verdict = soft.judge(single([0.8, 0.2], [0.6, 0.4]), torch.arange(2))  # mean (.7, .3)
    aligned = [(0.8 / 0.7) / (0.8 / 0.7 + 0.2 / 0.3), (0.4 / 0.3) / (0.6 / 0.7 + 0.4 / 0.3)]
    mean, variance = np.mean(aligned), np.var(aligned, ddof=1)
    below = [min(each - mean, 0) for each in aligned]
    assert verdict.weights_B.tolist() == pytest.approx(np.exp(-np.square(below) * 2 / variance).tolist(), rel=1e-3)
    assert verdict.targets_B.tolist() == [0, 0]  # the second is class 1 only once aligned


def test_softmatch_begins_at_one_over_k_and_forgets_slowly():
    soft = rule("softmatch", classes=4)
    soft.judge(single([0.85, 0.05, 0.05, 0.05]), torch.arange(1))
    assert soft.mean == pytest.approx(0.999 * 0.25 + 0.001 * 0.25)  # one image aligned to its own mean says nothing
    assert soft.variance == 1.0


def test_freematch_follows_confidence_as_a_whole_and_by_class():
    free = rule("freematch", momentum=0.5)
    verdict = free.judge(single([0.9, 0.1], [0.9, 0.1], [0.4, 0.6]), torch.arange(3))
    sure = 0.5 * 0.5 + 0.5 * 0.8
    usual = [0.25 + 0.5 * 2.2 / 3, 0.25 + 0.5 * 0.8 / 3]
    assert free.sure == pytest.approx(sure)
    assert free.usual_K.tolist() == pytest.approx(usual)
    assert free.said_K.tolist() == pytest.approx([0.25 + 0.5 * 2 / 3, 0.25 + 0.5 / 3])
    # thresholds .65 and .65 (.3833 / .6167) = .404
    assert verdict.mask_B.tolist() == [True, True, True]
    again = free.judge(single([0.61, 0.39], [0.45, 0.55]), torch.arange(2))
    assert again.mask_B.tolist() == [False, True]  # .5 .65 + .5 .58 = .615, and class 1 needs less
    assert free.sure == pytest.approx(0.5 * sure + 0.5 * 0.58)


def test_freematchs_fairness_compares_what_is_usual_with_what_the_strong_views_say():
    free = rule("freematch", fairness=0.01)
    free.usual_K, free.said_K = torch.tensor([0.6, 0.4]), torch.tensor([0.75, 0.25])
    logits_BK = torch.tensor([[0.8, 0.2], [0.7, 0.3], [0.4, 0.6]]).log()
    wanted = np.array([0.6 / 0.75, 0.4 / 0.25])
    found = np.array([(1.9 / 3) / (2 / 3), (1.1 / 3) / (1 / 3)])
    expected = 0.01 * float((wanted / wanted.sum() * np.log(found / found.sum())).sum())
    assert free.beside(logits_BK, None).item() == pytest.approx(expected, rel=1e-4)


def test_freematch_passes_over_classes_that_no_strong_view_names():
    free = rule("freematch", classes=3, fairness=1.0)
    logits_BK = torch.tensor([[0.8, 0.1, 0.1]]).log().requires_grad_()
    free.beside(logits_BK, None).backward()
    assert logits_BK.grad.isfinite().all()


def test_ups_believes_steady_images_and_rules_out_classes_of_the_others():
    steady = [[0.75, 0.24, 0.01], [0.71, 0.28, 0.01]]  # mean .73, deviation .0283
    shaky = [[0.90, 0.09, 0.01], [0.60, 0.39, 0.01]]  # mean .75, deviation .21
    even = [[0.3, 0.3, 0.4], [0.4, 0.3, 0.3]]
    verdict = judge("ups", posterior(steady, shaky, even), tau_n=0.15, kappa_n=0.05)
    assert verdict.weights_B.tolist() == [1.0, 0.0, 0.0]
    assert verdict.targets_B.tolist()[:2] == [0, 0]
    # at temperature 2 class 2 of the shaky one has sqrt(.01) / sum of roots = .0741 and .0680
    assert verdict.negatives_BK.tolist() == [[False] * 3, [False, False, True], [False] * 3]
    assert verdict.mask_B.tolist() == [True, True, False]
    assert not judge("ups", posterior(shaky), tau_n=0.07).negatives_BK.any()
    assert not judge("ups", posterior(shaky), tau_n=0.15, kappa_n=0.001).negatives_BK.any()


def test_ups_never_rules_out_the_likeliest_class():
    flat = [[0.04] * 25] * 2
    verdict = judge("ups", posterior(flat))  # every class lies below .05
    assert verdict.negatives_BK.sum().item() == 24
    assert not verdict.negatives_BK[0, verdict.targets_B[0]]


def test_what_ups_rules_out_costs_the_mean_over_classes_then_images():
    ups = rule("ups", classes=3)
    negatives_BK = torch.tensor([[False, True, True], [False, False, False], [True, False, False]])
    verdict = pseudo_labels.PseudoLabels(torch.ones(3).bool(), torch.zeros(3).long(), torch.zeros(3), negatives_BK)
    logits_BK = torch.tensor([[0.5, 0.3, 0.2], [0.9, 0.05, 0.05], [0.6, 0.2, 0.2]]).log()
    expected = ((-np.log(0.7) - np.log(0.8)) / 2 - np.log(0.4)) / 2
    assert ups.beside(logits_BK, verdict).item() == pytest.approx(expected, rel=1e-5)
    nothing = verdict._replace(negatives_BK=torch.zeros(3, 3).bool())
    assert ups.beside(logits_BK, nothing).item() == 0


def test_the_taken_part_of_a_verdict_is_that_of_its_mask():
    mask = torch.tensor([True, False])
    verdict = pseudo_labels.PseudoLabels(mask, torch.tensor([3, 4]), torch.tensor([0.5, 0.0]))
    taken = verdict.taken()
    assert (taken.targets_B.tolist(), taken.weights_B.tolist(), taken.negatives_BK) == ([3], [0.5], None)


def test_the_published_values_are_the_methods_own_and_may_be_changed():
    flex = methods.settled(config.TrainConfig(method="flexmatch"))
    assert (flex.tau, flex.lambda_u, flex.ramp_start, flex.teacher, flex.momentum) == (0.95, 1.0, 0.0, "net", None)
    anomaly = methods.settled(config.TrainConfig(method="anomalymatch", tau=0.5))
    assert (anomaly.tau, anomaly.ema, anomaly.unlabelled_ratio, anomaly.oversample) == (0.5, 0.99, 5, "even")
    ups = methods.settled(config.TrainConfig(method="ups"))
    assert (ups.tau, ups.kappa, ups.tau_n, ups.kappa_n, ups.draws) == (0.7, 0.05, 0.05, 0.005, 10)
    begins = [
        methods.settled(config.TrainConfig(method="raum", first_head=tuned)).ramp_start for tuned in (False, True)
    ]
    assert begins == [0.0, 0.75]
    told = methods.settled(config.TrainConfig(method="raum", first_head=True, ramp_start=0.5))
    assert (told.ramp_start, told.ramp) == (0.5, 0.05)
    assert methods.changed("softmatch", {"n_sigma": 3, "cycle": 5}) == {"n_sigma": 3.0, "cycle": 5}
    with pytest.raises(errors.UnknownName, match=r"option of the method softmatch.*'n_sgma'.*did you mean 'n_sigma'"):
        methods.changed("softmatch", {"n_sgma": 3})
    with pytest.raises(errors.BadConfig, match="the option tau of the method fixmatch is a float, not 'high'"):
        methods.changed("fixmatch", {"tau": "high"})


def test_every_name_is_known_without_torch():
    assert tuple(methods.METHODS) == config.METHODS
    known = {field.name for field in dataclasses.fields(config.MethodConfig)}
    assert all(method.own.keys() <= known for method in methods.METHODS.values())


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


def test_even_draws_take_every_class_as_often():
    labels_N = np.array([0] * 90 + [1] * 9 + [3])
    order = batches.labelled("even", labels_N, np.random.default_rng(0))
    counts = np.bincount(labels_N[order.take(3000)])
    assert np.abs(counts[[0, 1, 3]] - 1000).max() < 120  # four deviations of a share of a third
    with pytest.raises(errors.UnknownName, match="oversampling"):
        batches.labelled("evn", labels_N, np.random.default_rng(0))


def test_cycles_use_a_part_at_a_time_and_others_later():
    order = batches.unlabelled(100, 10, 4, np.random.default_rng(0))
    cycles = [{int(at) for _ in range(4) for at in order.take(5)} for _ in range(3)]
    assert [len(each) for each in cycles] == [10, 10, 10]
    assert len(set.union(*cycles)) > 20
    assert len(set(batches.unlabelled(8, 10, 4, np.random.default_rng(0)).take(8).tolist())) == 8  # fewer: all of them
