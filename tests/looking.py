"""An attention that has every kind of picture, made of what is bright in the features: for tests of what shows them."""

from __future__ import annotations

import torch
from torch import Tensor

from model.network.attention import contract

ERASED_AT = 0.6
BOX = (0.25, 0.125, 0.75, 0.875)


class Looking(contract.Attention):
    """Pools like the mean; shows its brightest cells as every kind that any attention has."""

    KINDS = ("sam", "gate", "zoom", "first", "rest", "fused")

    def forward(self, features_BHWD: Tensor, look: contract.Look) -> contract.Pooling:
        return contract.mean_pooled(features_BHWD)

    def overlays(self, pooled, head, classes_B):
        bright_BHW = contract.spread(pooled.features.float().square().mean(-1))
        directions_KD, _, _ = head.linear_form(pooled.embedding)
        first_BHW = contract.spread(torch.einsum("bhwd,bd->bhw", pooled.features.float(), directions_KD[classes_B]))
        erased_BHW = first_BHW >= ERASED_AT
        rest_BHW = contract.spread(first_BHW.masked_fill(erased_BHW, 0.0))
        boxes_B4 = torch.tensor(BOX).expand(len(classes_B), 4)
        votes_BK = head(pooled.embedding).softmax(-1)
        return {
            "sam": contract.Overlay(bright_BHW, False),
            "gate": contract.Overlay(0.5 + bright_BHW / 4, False),
            "zoom": contract.Overlay(bright_BHW, False, boxes_B4, torch.stack([votes_BK, votes_BK.flip(1)], 1)),
            "first": contract.Overlay(first_BHW, True),
            "rest": contract.Overlay(rest_BHW, True, erased_BHW=erased_BHW),
            "fused": contract.Overlay(torch.maximum(first_BHW, rest_BHW), True, boxes_B4),
        }
