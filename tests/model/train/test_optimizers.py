"""Who moves which weight, and how: orthogonal steps for matrices, AdamW for the rest."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from model import config, optimizers
from model.network import raum_net

CHOSEN = config.TrainConfig()


def network():
    return raum_net.build(config.NetworkConfig("vmamba_nano", num_classes=3, image_size=32))


def helper():
    return torch.nn.Linear(2, 2)


@pytest.mark.parametrize("shape", [(48, 32), (32, 48), (40, 40)])
def test_an_orthogonal_matrix_moves_every_direction_about_as_far(shape):
    generator = torch.Generator().manual_seed(0)
    skewed = torch.randn(shape, generator=generator) * torch.logspace(0, -2, shape[1])
    before = torch.linalg.svdvals(skewed)
    after = torch.linalg.svdvals(optimizers.orthogonal(skewed[None]))
    assert before.max() / before.min() > 20
    assert after.max() < 1.3
    assert torch.quantile(after, 0.1) > 0.5


def test_muon_takes_a_nesterov_step_of_a_length_that_the_gradient_does_not_set():
    moved = []
    for size in (1.0, 1000.0):
        weight = torch.nn.Parameter(torch.zeros(64, 32))
        weight.grad = size * torch.randn(64, 32, generator=torch.Generator().manual_seed(1))
        expected = (
            -0.1 * 2**0.5 * optimizers.orthogonal(1.95 * weight.grad[None])[0]
        )  # twice as tall as wide: root of 2
        optimizers.Muon([weight], lr=0.1, weight_decay=0.0).step()
        torch.testing.assert_close(weight.detach(), expected)
        moved.append(weight.detach().norm())
    assert moved[0] == pytest.approx(moved[1].item(), rel=1e-3)


def test_only_large_matrices_inside_the_network_go_to_muon():
    net = network()
    chosen = optimizers.Optimizers(net, CHOSEN, helper())
    fast = {id(p) for group in chosen.groups if group["lr"] == CHOSEN.lr_matrix for p in group["params"]}
    named = {name for name, parameter in net.named_parameters() if id(parameter) in fast}
    assert "backbone.layers.0.blocks.0.mlp.fc1.weight" in named
    assert "backbone.patch_embed.5.weight" in named
    assert not any("conv2d" in name or name.startswith("head") or name.endswith(("bias", "A_logs")) for name in named)
    held = [id(p) for group in chosen.groups for p in group["params"]]
    assert len(held) == len(set(held)) == len(list(net.parameters())) + 2


def test_a_rate_of_zero_leaves_all_to_adamw():
    chosen = optimizers.Optimizers(network(), dataclasses.replace(CHOSEN, lr_matrix=0.0), helper())
    assert {group["lr"] for group in chosen.groups} <= {CHOSEN.lr, CHOSEN.lr_head}


def test_the_rates_follow_the_schedule():
    net = network()
    chosen = optimizers.Optimizers(net, CHOSEN, helper())
    for factor in (0.5, 0.25):
        chosen.step(factor)
        assert max(group["lr"] for group in chosen.groups) == factor * CHOSEN.lr_matrix


def test_vectors_and_the_scans_own_parameters_do_not_decay():
    net = network()
    chosen = optimizers.Optimizers(net, CHOSEN, helper())
    free = {id(p) for group in chosen.groups if group["weight_decay"] == 0 for p in group["params"]}
    for name, parameter in net.named_parameters():
        plain = parameter.ndim < 2 or name.endswith(("bias", "A_logs"))
        assert (id(parameter) in free) == plain, name


def test_a_pretrained_backbone_is_tuned_gently():
    nano, hub = (config.NetworkConfig(name, num_classes=2) for name in ("vmamba_nano", "hf:somewhere"))
    scratch, tuned = (config.training(network, on_cpu=True, seed=3) for network in (nano, hub))
    assert scratch == config.TrainConfig(seed=3)
    assert tuned.lr_matrix == 0
    assert tuned.lr < scratch.lr
    assert tuned.steps < scratch.steps
    assert tuned.seed == 3
    assert config.training(hub, on_cpu=False).steps == scratch.steps
    assert config.training(nano, on_cpu=True, steps=7).steps == 7


def test_matrices_of_one_shape_move_together_as_each_would_alone():
    generator = torch.Generator().manual_seed(2)
    shapes = [(64, 32), (64, 32), (32, 64), (40, 2, 4, 4)]  # the last a filter, 40 x 32
    slopes = [torch.randn(shape, generator=generator) for shape in shapes]

    def moved(some):
        weights = [torch.nn.Parameter(torch.ones(slope.shape)) for slope in some]
        muon = optimizers.Muon(weights, lr=0.1, weight_decay=0.2)
        for _ in range(2):
            for weight, slope in zip(weights, some, strict=True):
                weight.grad = slope.clone()
            muon.step()
        return [weight.detach() for weight in weights]

    for together, slope in zip(moved(slopes), slopes, strict=True):
        torch.testing.assert_close(together, moved([slope])[0])
