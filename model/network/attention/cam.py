"""The baseline without attention: the mean over the cells. Its map of a class is the class activation map."""

from __future__ import annotations

from torch import Tensor

from model.network.attention import contract


class MeanPooling(contract.Attention):
    """Every cell counts alike; nothing is learned."""

    def forward(self, features_BHWD: Tensor, look: contract.Look) -> contract.Pooling:
        return contract.mean_pooled(features_BHWD)
