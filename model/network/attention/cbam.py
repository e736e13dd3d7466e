"""CBAM, the convolutional block attention module: first a gate of channels, then one of cells on what is left.

Woo, Park, Lee, Kweon, ECCV 2018, arXiv 1807.06521. Ours: both gates are twice a sigmoid and start at 1 (their last
weights are 0), so that a pretrained map is left as it is; and the cells' convolution has a bias in the place of the batch
norm, so that an image's gate never depends on its neighbours in a batch. Between stages, where the paper has one in
every block.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model import errors
from model.network.attention import gated


class BlockAttention(gated.Gated):
    """ratio: of a map's channels to those inside the channels' gate; kernel: of the cells' convolution, 3 or 7."""

    def __init__(
        self, dim: int, stage_dims: Sequence[int] = (), *, ratio: int = 16, kernel: int = 7, at: str = "last"
    ) -> None:
        if kernel not in (3, 7):
            raise errors.BadConfig(f"kernel is {kernel}; a cbam has one of 3 or 7")
        if ratio < 1:
            raise errors.BadConfig(f"ratio is {ratio}; give at least 1")
        super().__init__(dim, stage_dims, at, lambda channels: Gate(channels, ratio, kernel))


class Gate(nn.Module):
    """F1 = 2 Mc F, Mc = sigmoid(MLP(mean F) + MLP(max F)); then 2 Ms F1, Ms = sigmoid(Conv([mean F1; max F1]))."""

    def __init__(self, channels: int, ratio: int, kernel: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, max(1, channels // ratio))
        self.fc2 = nn.Linear(self.fc1.out_features, channels)
        self.cells = gated.CellGate(kernel, bias=True)
        for parameter in self.fc2.parameters():
            nn.init.zeros_(parameter)

    def forward(self, map_BHWC: Tensor) -> tuple[Tensor, Tensor]:
        spoken_BC = sum(self.fc2(F.relu(self.fc1(described))) for described in gated.descriptors(map_BHWC))
        map_BHWC = map_BHWC * (2 * torch.sigmoid(spoken_BC))[:, None, None]
        cells_BHW = torch.sigmoid(self.cells(map_BHWC))
        return map_BHWC * (2 * cells_BHW)[..., None], cells_BHW
