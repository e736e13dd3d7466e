"""The baseline without attention: the mean over the cells. Its map of a class is the class activation map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.network.attention import region


class MeanPooling(nn.Module):
    """Every cell counts alike; nothing is learned."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, features_BHWD: Tensor) -> region.Pooling:
        batch, height, width, _ = features_BHWD.shape
        uniform_BHW = torch.full((batch, height, width), 1 / (height * width), device=features_BHWD.device)
        return region.Pooling(features_BHWD.float().mean((1, 2)), uniform_BHW, uniform_BHW)
