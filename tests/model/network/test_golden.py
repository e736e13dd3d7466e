"""Parity with upstream VMamba without upstream: its logits for weights and images that both sides make from a recipe."""

from __future__ import annotations

import zlib

import pytest
import torch

from model.network import vmamba

# Logits of MzeroMiko/VMamba (one-file version, class VSSM, forward_type v05_noz, ln2d, CPU) at the sizes of our nano
# with stride 2 throughout, two images of 45 x 70. Exchanging two scan directions changes them by 0.4.
GOLDEN = {
    1.0: [[0.88038, 0.45265, -0.6948, -0.39341, 0.59197], [0.92178, 0.48582, -0.78717, -0.47522, 0.69695]],
    2.0: [[-0.20353, -0.08526, -0.14017, 0.78908, 0.48431], [-0.24141, -0.1655, 0.04185, 0.73034, 0.6633]],
}


def noise(count, start):
    """Numbers in [-1, 1) that are the same on every machine, without a random generator."""
    turned = torch.sin(torch.arange(count, dtype=torch.float64) * 12.9898 + start) * 43758.5453
    return 2 * (turned - turned.floor()) - 1


@torch.no_grad()
def fill(net):
    """Every weight from its name alone."""
    for name, tensor in net.state_dict().items():
        values = noise(tensor.numel(), zlib.crc32(name.encode()) % 1000).view(tensor.shape)
        if tensor.dim() > 1:
            values = values * 2 / tensor[0].numel() ** 0.5
        elif "norm" in name and name.endswith("weight"):
            values = 1 + 0.3 * values
        else:
            values = 0.3 * values
        tensor.copy_(values)


@pytest.mark.parametrize("ssm_ratio", GOLDEN)
def test_logits_are_upstreams(ssm_ratio):
    variant = vmamba.Variant((32, 64, 128, 192), (1, 1, 2, 1), ssm_ratio, 0.0)
    net = vmamba.from_variant(variant, num_classes=5, seed=0).eval()
    fill(net)
    images = noise(2 * 3 * 45 * 70, 7).float().view(2, 3, 45, 70) * torch.tensor([1.0, 0.2]).view(2, 1, 1, 1)
    with torch.inference_mode():
        logits = net(images)
    torch.testing.assert_close(logits, torch.tensor(GOLDEN[ssm_ratio]), rtol=0, atol=1e-4)
