"""The kept weights are those of the best look, the later of equals; recipes count passes and fall as they say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from model import best, config, errors, optimizers, train
from model.network import raum_net
from model.semi import schedules

pytestmark = pytest.mark.usefixtures("one_thread")


def layer(value):
    made = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(made.weight, value)
    return made


def test_the_later_of_equally_good_looks_is_kept():
    scores = iter([0.5, 0.7, 0.7, 0.6])
    kept, net = best.Best(lambda _net: next(scores)), layer(0.0)
    for done, value in ((0.3, 1.0), (0.8, 2.0), (0.82, 3.0), (0.86, 4.0), (0.95, 5.0), (1.0, 6.0)):
        torch.nn.init.constant_(net.weight, value)
        kept.look(net, done)  # at .3 and .82 none is due; between .86 and .95 two fall together
    assert (kept.score, kept.at) == (0.7, 0.95)
    kept.give(net)
    assert net.weight.item() == 5.0


def build():
    return raum_net.build(config.NetworkConfig("vmamba_nano", num_classes=2, attention="cam", image_size=32))


def run(chosen, check=None, net=None):
    rng = np.random.default_rng(0)
    images, labels_N = rng.integers(0, 255, (10, 32, 32, 3), dtype=np.uint8), np.arange(10) % 2
    return train.train(
        net or build(),
        labelled_images=images,
        labels_N=labels_N,
        unlabelled_images=images[:0],
        config=chosen,
        check=check,
    )


SHORT = config.TrainConfig(method="supervised", steps=10, batch_labelled=4)


def test_a_run_leaves_the_weights_that_the_check_liked():
    seen = []

    def check(net):
        seen.append(net.head.linear.weight.clone())
        return -abs(len(seen) - 2)  # the second look is the best

    net = build()
    report = run(SHORT, check, net)
    assert len(seen) == 3  # at .8, .9 and 1, with steps of a tenth
    assert torch.equal(net.head.linear.weight, seen[1])
    assert report.metrics["validation"] == 0
    assert report.metrics["chosen_at"] == pytest.approx(0.9)
    assert not net.training


def test_passes_over_the_labelled_images_become_steps():
    chosen = config.by_recipe(SHORT, "aam")
    assert (chosen.sgd, chosen.weight_decay, chosen.epochs, chosen.batch_labelled) == (0.8, 2.5e-4, 200, 16)
    assert run(dataclasses.replace(chosen, epochs=3, batch_labelled=4)).steps == 9  # 10 images: 3 steps a pass
    with pytest.raises(errors.UnknownName, match="did you mean 'aam'"):
        config.by_recipe(SHORT, "aamm")


def test_poly_falls_from_the_peak_to_the_end():
    factors = [schedules.poly(done, end=0.01) for done in (0.0, 0.5, 1.0)]
    assert factors == pytest.approx([1.0, 0.01 + 0.99 * 0.5**0.9, 0.01])


def test_sgd_moves_everything_with_momentum_and_decay():
    net = build()
    chosen = optimizers.Optimizers(net, config.by_recipe(SHORT, "aam"), torch.nn.Linear(2, 2))
    assert len(chosen._all) == 1
    bias, before = net.head.linear.bias, net.head.linear.bias.detach().clone()
    for _ in range(2):
        bias.grad = torch.ones_like(bias)
        chosen.step(1.0)
    first = before - 1e-4 * (1 + 2.5e-4 * before)
    expected = first - 1e-4 * (0.8 * (1 + 2.5e-4 * before) + 1 + 2.5e-4 * first)
    torch.testing.assert_close(bias.detach(), expected)
