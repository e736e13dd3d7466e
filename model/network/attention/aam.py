"""AAM, the aggregate attention module: a gate of channels and a gate of cells, side by side on the same map.

Wang, Shi, Fujita, Zhao, "Aggregate attention module for fine-grained image classification", J. Ambient Intelligence and
Humanized Computing 2021. There is no code of it, and its equations are lost to us: it says that the channels' gate takes
the largest value over the cells and lets k neighbouring channels speak together, that the cells' gate is one convolution
over the channels' mean and largest value, and that both act in parallel. Ours: their sum as one factor, F (Mc + Ms), with
weights that start at 0, so that Mc = Ms = 1/2 leave a pretrained map as it is; the 7 x 7 kernel of the cells (CBAM's).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model import errors
from model.network.attention import gated

KERNEL = 7
DESCRIPTORS = ("gmp", "gmp+gap")


class AggregateAttention(gated.Gated):
    """k: channels that speak together, odd; 0: by their number, as ECA-Net has it (arXiv 1910.03151).

    descriptor: "gmp", the largest value of each channel as in the paper, or "gmp+gap", with its mean added.
    """

    def __init__(
        self, dim: int, stage_dims: Sequence[int] = (), *, k: int = 0, descriptor: str = "gmp", at: str = "last"
    ) -> None:
        if k < 0 or (k > 0 and k % 2 == 0):
            raise errors.BadConfig(f"k is {k}; give an odd number of channels, or 0 for one that fits their number")
        if descriptor not in DESCRIPTORS:
            raise errors.UnknownName("descriptor of an aam", descriptor, DESCRIPTORS)
        super().__init__(dim, stage_dims, at, lambda channels: Gate(k or adaptive(channels), descriptor))


class Gate(nn.Module):
    """F (Mc + Ms): Mc = sigmoid(Conv1D_k(d)) over the channels, Ms = sigmoid(Conv2D([mean F; max F])) over the cells."""

    def __init__(self, k: int, descriptor: str) -> None:
        super().__init__()
        self.with_mean = descriptor == "gmp+gap"
        self.channels = nn.Parameter(torch.zeros(1, 1, k))
        self.cells = gated.CellGate(KERNEL, bias=False)

    def forward(self, map_BHWC: Tensor) -> tuple[Tensor, Tensor]:
        mean_BC, largest_BC = gated.descriptors(map_BHWC)
        described_BC = largest_BC + mean_BC if self.with_mean else largest_BC
        mixed_BC = F.conv1d(described_BC[:, None], self.channels, padding=self.channels.shape[-1] // 2)[:, 0]
        cells_BHW = torch.sigmoid(self.cells(map_BHWC))
        return map_BHWC * (torch.sigmoid(mixed_BC)[:, None, None] + cells_BHW[..., None]), cells_BHW


def adaptive(channels: int) -> int:
    """ECA-Net's k: the odd number at or above |log2(C) / 2 + 1 / 2| rounded down; 5 for 512 and 1024, 7 for 2048."""
    return int(abs(math.log2(channels) / 2 + 0.5)) | 1
