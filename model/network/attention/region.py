"""Region attention: which cells of the last map the pooled vector listens to; inspired by RAUM-Net, our own form.

The paper's code contains no attention; what is known of it is in its figure. Ours starts as the mean over the cells
(gate near 0), so that a pretrained classifier is not disturbed, and learns where to look.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.network.attention import contract

HIDDEN = 128
GATE_START = -2.0


class RegionAttention(contract.Attention):
    """z = W2 GELU(W1 f); alpha = softmax(z) over the cells; v = (1 - s) mean(f) + s sum alpha f, s = sigmoid(gamma)."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.norm = nn.LayerNorm(
            dim, elementwise_affine=False
        )  # features of any backbone reach the scorer at one scale
        self.hidden = nn.Linear(dim, HIDDEN)
        self.score = nn.Linear(HIDDEN, 1)
        self.gamma = nn.Parameter(torch.tensor(GATE_START))

    def forward(self, features_BHWD: Tensor, look: contract.Look) -> contract.Pooling:
        scores_BHW = self.score(F.gelu(self.hidden(self.norm(features_BHWD)))).squeeze(-1)
        alpha_BHW = scores_BHW.float().flatten(1).softmax(1).view(scores_BHW.shape)
        gate = torch.sigmoid(self.gamma)
        pooling_BHW = (1 - gate) / alpha_BHW[0].numel() + gate * alpha_BHW
        embedding_BD = contract.pool(features_BHWD, pooling_BHW)
        return contract.Pooling(embedding_BD, pooling_BHW, alpha_BHW, features_BHWD, {})
