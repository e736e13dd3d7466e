"""The classifier whose dropout stays on: passes of the head alone sample a posterior over the predictions.

MC dropout after Gal and Ghahramani (arXiv 1506.02142). One draw is one mask for all images, as one draw from the
posterior is one network: what an image gets then depends neither on its neighbours in the batch nor on their order.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model import noise


class BayesianHead(nn.Module):
    """logits = W Dropout(LN(v)) + b."""

    def __init__(self, dim: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.linear = nn.Linear(dim, num_classes)
        self.dropout = dropout
        nn.init.trunc_normal_(self.linear.weight, std=0.02)
        nn.init.zeros_(self.linear.bias)

    def forward(self, embedding_BD: Tensor, generator: noise.Source | None = None) -> Tensor:
        """Logits (B, K): one mask per image in training mode, the mean network otherwise."""
        normed_BD = self.norm(embedding_BD)
        if self.training and self.dropout > 0:
            normed_BD = normed_BD * self._masks(len(normed_BD), generator).to(normed_BD)
        return self.linear(normed_BD)

    def mean_network(self, embedding_BD: Tensor) -> Tensor:
        """Logits (B, K) without a mask, in training mode too."""
        return self.linear(self.norm(embedding_BD))

    def posterior(self, embedding_BD: Tensor, draws: int, generator: torch.Generator | None = None) -> Tensor:
        """log_probs_BSK of `draws` masks, in training and in eval mode alike; fp32."""
        return self.under(embedding_BD, self.drawn(draws, generator))

    def drawn(self, draws: int, generator: torch.Generator | None = None) -> Tensor:
        """weights_SKD, fp32: the linear layer under `draws` masks."""
        masks_SD = self._masks(draws, generator).to(self.linear.weight.device)
        return self.linear.weight.float() * masks_SD[:, None]

    def under(self, embedding_BD: Tensor, weights_SKD: Tensor, temperature: float = 1.0) -> Tensor:
        """log_probs_BSK with weights that `drawn` gave; the temperature divides the logits."""
        logits_BC = F.linear(self.norm(embedding_BD.float()), weights_SKD.flatten(0, 1))
        logits_BSK = logits_BC.unflatten(1, (len(weights_SKD), self.linear.out_features)) + self.linear.bias
        return (logits_BSK / temperature).log_softmax(-1)

    def linear_form(self, embedding_BD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """directions_KD, scale_B, offset_K with logits_BK = scale_B (directions_KD . embedding) + offset_K, exactly.

        The norm is linear once an image's own spread is known: that spread is the scale.
        """
        weights_KD = self.linear.weight * self.norm.weight
        directions_KD = weights_KD - weights_KD.mean(1, keepdim=True)
        scale_B = torch.rsqrt(embedding_BD.var(1, correction=0) + self.norm.eps)
        return directions_KD, scale_B, self.linear.weight @ self.norm.bias + self.linear.bias

    def _masks(self, count: int, generator: noise.Source | None) -> Tensor:
        """(count, D) of 0 and 1/(1-p); made on the generator's device, so that a CPU seed gives one answer anywhere."""
        device = "cpu" if generator is None else generator.device
        drawn = noise.rand(count, self.linear.in_features, source=generator, device=device)
        keep = 1.0 - self.dropout
        return (drawn < keep).float().div_(keep)
