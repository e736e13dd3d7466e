"""What attentions share that weigh channels and cells of a map and then take its mean: AAM and CBAM."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from model import errors
from model.network import bayesian_head
from model.network.attention import contract

FAINT = 0.1  # a gate whose weights lie closer together than this is drawn paler, not stretched to full contrast


class Gated(contract.Attention):
    """The mean of the gated map; evidence is that of the gated map, too.

    at: "last", one gate on the last map; "stages", one after every stage of the backbone as well, the last one still on
    the map as the head gets it (in a VMamba after its last norm, which would undo a gate of cells before it).
    The attention's alpha is its gate of cells, brought to sum 1, so that what knows where to look can teach it.
    """

    KINDS = ("gate",)

    def __init__(self, dim: int, stage_dims: Sequence[int], at: str, gate: Callable[[int], nn.Module]) -> None:
        """gate(channels) makes a module: map (B, H, W, C) -> the gated map, its gate of cells (B, H, W) in 0..1."""
        super().__init__(dim)
        if at not in ("last", "stages"):
            raise errors.UnknownName(f"place of a {type(self).__name__}", at, ("last", "stages"))
        self.at = at
        self.gate = gate(dim)
        self.stage_gates = nn.ModuleList(gate(width) for width in stage_dims) if at == "stages" else nn.ModuleList()

    def after_stage(self, index: int, map_BHWC: Tensor) -> Tensor:
        return self.stage_gates[index](map_BHWC)[0]

    def forward(self, features_BHWD: Tensor, look: contract.Look) -> contract.Pooling:
        gated_BHWD, cells_BHW = self.gate(features_BHWD)
        alpha_BHW = cells_BHW.float() / cells_BHW.float().sum((1, 2), keepdim=True).clamp(min=1e-6)
        return contract.mean_pooled(gated_BHWD, cells=cells_BHW)._replace(alpha=alpha_BHW)

    def overlays(
        self, pooled: contract.Pooling, head: bayesian_head.BayesianHead, classes_B: Tensor
    ) -> dict[str, contract.Overlay]:
        cells_BHW = pooled.kept["cells"].float()
        range_B11 = cells_BHW.amax((1, 2), keepdim=True) - cells_BHW.amin((1, 2), keepdim=True)
        strength_B11 = (range_B11 / FAINT).clamp(max=1)
        return {"gate": contract.Overlay(contract.spread(cells_BHW) * strength_B11, class_specific=False)}


class CellGate(nn.Module):
    """One convolution over the mean and the largest value of each cell's channels; (B, H, W) before the sigmoid.

    Its weights start at 0, where every sigmoid is a half: the gates built on it then leave the map as it is.
    """

    def __init__(self, kernel: int, *, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=bias)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, map_BHWC: Tensor) -> Tensor:
        described_B2HW = torch.stack([map_BHWC.mean(-1), map_BHWC.amax(-1)], dim=1)
        return self.conv(described_B2HW)[:, 0]


def descriptors(map_BHWC: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and largest value of each channel over the cells, (B, C) each."""
    return map_BHWC.mean((1, 2)), map_BHWC.amax((1, 2))
