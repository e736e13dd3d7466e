"""VMamba: exact parameter counts, the names and shapes of the released weights, odd sizes, a repeatable start."""

from __future__ import annotations

import pytest
import torch

from model import errors
from model.network import vmamba

RELEASED = {
    "vmamba_tiny": (30_249_064, 276),
    "vmamba_tiny_s2l5": (30_705_832, 222),
    "vmamba_small": (50_147_752, 402),
    "vmamba_small_s1l20": (49_012_840, 492),
    "vmamba_base": (88_557_800, 402),
    "vmamba_base_s1l20": (86_614_504, 492),
}


@pytest.mark.parametrize("name", RELEASED)
def test_parameter_and_tensor_counts_are_those_of_the_released_weights(name):
    with torch.device("meta"):
        net = vmamba.VMamba(vmamba.VARIANTS[name], 1000)
    counted = sum(parameter.numel() for parameter in net.parameters()), len(net.state_dict())
    assert counted == RELEASED[name]


def test_names_and_shapes_of_a_block():
    with torch.device("meta"):
        shapes = {
            k: tuple(v.shape) for k, v in vmamba.VMamba(vmamba.VARIANTS["vmamba_small"], 1000).state_dict().items()
        }
    block = {k.removeprefix("layers.0.blocks.1."): v for k, v in shapes.items() if k.startswith("layers.0.blocks.1.")}
    assert block == {
        "norm.weight": (96,),
        "norm.bias": (96,),
        "op.x_proj_weight": (4, 8, 192),
        "op.dt_projs_weight": (4, 192, 6),
        "op.dt_projs_bias": (4, 192),
        "op.A_logs": (768, 1),
        "op.Ds": (768,),
        "op.in_proj.weight": (192, 96),
        "op.conv2d.weight": (192, 1, 3, 3),
        "op.out_norm.weight": (192,),
        "op.out_norm.bias": (192,),
        "op.out_proj.weight": (96, 192),
        "norm2.weight": (96,),
        "norm2.bias": (96,),
        "mlp.fc1.weight": (384, 96),
        "mlp.fc1.bias": (384,),
        "mlp.fc2.weight": (96, 384),
        "mlp.fc2.bias": (96,),
    }
    outside = {
        "patch_embed.0.weight": (48, 3, 3, 3),
        "patch_embed.2.weight": (48,),
        "patch_embed.5.weight": (96, 48, 3, 3),
        "patch_embed.7.bias": (96,),
        "layers.2.downsample.1.weight": (768, 384, 3, 3),
        "layers.2.downsample.3.weight": (768,),
        "classifier.norm.weight": (768,),
        "classifier.head.weight": (1000, 768),
    }
    assert {name: shapes[name] for name in outside} == outside


@pytest.mark.parametrize(("height", "width"), [(96, 96), (70, 101), (33, 47)])
def test_any_size_goes_in_and_every_weight_gets_a_gradient(height, width):
    net = vmamba.build("vmamba_nano", num_classes=7)
    logits = net(torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0)))
    logits.square().sum().backward()
    assert logits.shape == (2, 7)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_an_image_is_answered_alike_alone_and_in_a_batch():
    net = vmamba.build("vmamba_nano", num_classes=5).eval()
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(net(images)[1:2], net(images[1:2]), rtol=1e-4, atol=1e-5)


def test_the_start_is_upstreams_and_leaves_the_global_generator_alone():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    net = vmamba.build("vmamba_nano", seed=5)
    assert torch.equal(before, torch.random.get_rng_state())
    op = net.layers[2]["blocks"][0].op
    steps = torch.nn.functional.softplus(op.dt_projs_bias)
    assert 1e-4 <= steps.min() < 3e-3
    assert 3e-2 < steps.max() <= 0.1 + 1e-6
    assert torch.equal(op.A_logs, torch.zeros_like(op.A_logs))
    assert torch.equal(op.Ds, torch.ones_like(op.Ds))
    bound = op.dt_projs_weight.shape[2] ** -0.5
    assert 0.9 * bound < op.dt_projs_weight.abs().max() <= bound
    again, other = vmamba.build("vmamba_nano", seed=5), vmamba.build("vmamba_nano", seed=6)
    same = {k: torch.equal(v, again.state_dict()[k]) for k, v in net.state_dict().items()}
    assert all(same.values())
    assert not torch.equal(net.patch_embed[0].weight, other.patch_embed[0].weight)


def test_drop_path_skips_whole_images_and_only_in_training():
    block = vmamba.VSSBlock(vmamba.VARIANTS["vmamba_nano"], 32, drop_path=0.5)
    x = torch.randn(16, 4, 4, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(block.eval()(x), block(x))
    block.train()
    first = block(x, torch.Generator().manual_seed(1))
    assert torch.equal(first, block(x, torch.Generator().manual_seed(1)))
    untouched = (first == x).flatten(1).all(1)
    assert 0 < untouched.sum() < 16


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(errors.UnknownName, match="did you mean 'vmamba_small'"):
        vmamba.build("vmamba_smal")


@pytest.mark.parametrize("shape", [(3, 5, 4, 16), (1, 20, 20, 32)])
def test_map_norm_sees_a_whole_map_at_once(shape):
    generator = torch.Generator().manual_seed(0)
    x_BHWC = torch.randn(shape, generator=generator) * 3 + 2
    norm = vmamba.MapNorm(shape[-1])
    torch.nn.init.uniform_(norm.weight, 0.5, 2.0, generator=generator)
    torch.nn.init.uniform_(norm.bias, generator=generator)
    mean = x_BHWC.mean((1, 2, 3), keepdim=True)
    spread = (x_BHWC.var((1, 2, 3), keepdim=True, correction=0) + 1e-5).sqrt()
    answer_BHWC = norm(x_BHWC)
    assert answer_BHWC.is_contiguous()  # what follows is linear in the last axis
    torch.testing.assert_close(answer_BHWC, (x_BHWC - mean) / spread * norm.weight + norm.bias)
