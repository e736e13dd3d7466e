"""Region attention: which cells of the last map the pooled vector listens to; inspired by RAUM-Net, our own form.

The paper's code contains no attention; what is known of it is in its figure. Ours starts as the mean over the cells
(gate near 0), so that a pretrained classifier is not disturbed, and learns where to look.

Weights of our own that no classifier was trained on may want another start, `salient`: cells count by how much they
differ from the picture's edge, which mostly shows what is around a thing (the boundary prior of Wei et al., "Geodesic
saliency using background priors", ECCV 2012; that fine-grained features gain by such a choice of cells: SCDA, Wei et al.,
arXiv 1604.04994). The background then no longer dilutes a small thing, wherever it is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model import config as configs
from model.network.attention import contract

HIDDEN = 128
GATE_START = -2.0
SHARPNESS = 3  # power of the squared distance from the edge


class RegionAttention(contract.Attention):
    """z = W2 GELU(W1 f); alpha = softmax(z + log beta) over the cells; v = (1 - s) sum beta f + s sum alpha f,
    s = sigmoid(gamma). beta is the same for all cells, or with pooling "salient" what `salient` gives."""

    def __init__(self, dim: int, pooling: str = configs.MEAN) -> None:
        super().__init__(dim)
        self.pooling = pooling
        self.norm = nn.LayerNorm(
            dim, elementwise_affine=False
        )  # features of any backbone reach the scorer at one scale
        self.hidden = nn.Linear(dim, HIDDEN)
        self.score = nn.Linear(HIDDEN, 1)
        self.gamma = nn.Parameter(torch.tensor(GATE_START))

    def forward(self, features_BHWD: Tensor, look: contract.Look) -> contract.Pooling:
        scores_BHW = self.score(F.gelu(self.hidden(self.norm(features_BHWD)))).squeeze(-1)
        first: Tensor | float = 1 / scores_BHW[0].numel()
        if self.pooling == configs.SALIENT:
            first = salient(features_BHWD.detach())
            scores_BHW = scores_BHW.float() + first.log()
        alpha_BHW = scores_BHW.float().flatten(1).softmax(1).view(scores_BHW.shape)
        gate = torch.sigmoid(self.gamma)
        pooling_BHW = (1 - gate) * first + gate * alpha_BHW
        embedding_BD = contract.pool(features_BHWD, pooling_BHW)
        return contract.Pooling(embedding_BD, pooling_BHW, alpha_BHW, features_BHWD, {})


def salient(features_BHWD: Tensor) -> Tensor:
    """(B, H, W), summing to 1 per image: each cell by the SHARPNESS-th power of its squared distance from the mean of the
    outermost cells; where all are alike, all count alike."""
    features_BHWD = features_BHWD.float()
    height, width = (int(side) for side in features_BHWD.shape[1:3])  # plain numbers also where this is traced
    inner_BHWD = features_BHWD[:, 1 : height - 1, 1 : width - 1]
    outer = height * width - max(height - 2, 0) * max(width - 2, 0)
    edge_BD = (features_BHWD.sum((1, 2)) - inner_BHWD.sum((1, 2))) / outer
    far_BHW = (features_BHWD - edge_BD[:, None, None]).square().sum(-1)
    far_BHW = far_BHW / far_BHW.mean((1, 2), keepdim=True).clamp(min=1e-12)
    counts_BHW = far_BHW**SHARPNESS + 1e-6
    return counts_BHW / counts_BHW.sum((1, 2), keepdim=True)
