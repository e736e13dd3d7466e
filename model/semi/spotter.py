"""The spotter: a helper that exists only while training and shows the network where small differences lie."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from model.network import vmamba


class Spotter(nn.Module):
    """A linear classifier on the largest value of every channel over the cells of a fine map.

    Classes that look alike differ in a small place. From few labels a mean over all cells, or an attention that starts
    as one, gives that place too little gradient to be found: measured on the demo pool, 300 steps leave it at chance,
    while the largest value finds it in 50. The spotter reads the second stage of a VMamba (an eighth of the image's
    side), else the last map; `evidence` says which cells spoke for a class, and there the attention is told to look.
    """

    def __init__(self, net: Any, generator: torch.Generator) -> None:
        super().__init__()
        self.maps: list[torch.Tensor] = []
        self.taps: list[Any] = []
        width = net.dim
        if isinstance(net.backbone, vmamba.VMamba):
            width = net.backbone.variant.dims[1]
            self.taps.append(net.register_forward_pre_hook(self._forget))
            self.taps.append(net.backbone.layers[1]["blocks"][-1].register_forward_hook(self._keep))
        classes = net.config.num_classes
        self.weight = nn.Parameter(torch.randn(classes, width, generator=generator) * 0.3 * width**-0.5)
        self.bias = nn.Parameter(torch.zeros(classes))

    def _forget(self, _module: nn.Module, _inputs: Any) -> None:
        self.maps.clear()

    def _keep(self, _module: nn.Module, _inputs: Any, map_BHWC: torch.Tensor) -> None:
        if not self.maps:  # an attention may run the backbone again, on a part of the image
            self.maps.append(map_BHWC)

    def close(self) -> None:
        """Take the taps off the network."""
        for tap in self.taps:
            tap.remove()

    def forward(self, features_BDHW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits (B, K), the largest values (B, C) and a map (B, H, W, C), of the pass that gave `features_BDHW`."""
        map_BHWC = self.maps.pop() if self.taps else features_BDHW.permute(0, 2, 3, 1)
        largest_BC = map_BHWC.flatten(1, 2).amax(dim=1).float()
        return F.linear(largest_BC, self.weight, self.bias), largest_BC, map_BHWC

    @torch.no_grad()
    def evidence(
        self, largest_BC: torch.Tensor, map_BHWC: torch.Tensor, targets_B: torch.Tensor, *, grid: tuple[int, int]
    ) -> torch.Tensor:
        """Share of each of the `grid` cells in what speaks for the target class, (B, h, w), sums to 1 per image.

        A channel's part w_yc m_c belongs to the cell that holds its largest value m_c; parts that speak against the
        class, or no more for it than for the average class, count nothing.
        """
        lean_BC = self.weight[targets_B] - self.weight.mean(dim=0)
        typical_BC = map_BHWC.float().mean(dim=(1, 2))
        parts_BC = (lean_BC * (largest_BC - typical_BC)).clamp(min=0)
        count, height, width, _ = map_BHWC.shape
        cells_BC = map_BHWC.flatten(1, 2).argmax(dim=1)
        shares_BL = torch.zeros(count, height * width, device=parts_BC.device).scatter_add_(1, cells_BC, parts_BC)
        shares_BHW = F.adaptive_avg_pool2d(shares_BL.view(count, 1, height, width), grid)[:, 0]
        return shares_BHW / shares_BHW.sum(dim=(1, 2), keepdim=True).clamp(min=1e-6)
