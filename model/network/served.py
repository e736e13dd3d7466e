"""A network as it leaves: pictures in, what the head says of them out, its posterior draws constants of the module."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.network import raum_net


class Outputs(NamedTuple):
    """embedding (B, E); log_probs (B, K): of the mean of the draws; spread (B, K): the probabilities' standard deviation
    over the draws; entropy, epistemic (B): in nats, of that mean, and the part of it that the draws do not share."""

    embedding: Tensor
    log_probs: Tensor
    spread: Tensor
    entropy: Tensor
    epistemic: Tensor


class Served(nn.Module):
    """images (B, S, S, 3), uint8, RGB, as decoded -> Outputs. The weights of the head under its masks are fixed here."""

    def __init__(self, net: raum_net.RaumNet, *, draws: int, seed: int, temperature: float) -> None:
        super().__init__()
        self.net, self.temperature = net, temperature
        weights_SKD = net.head.drawn(draws, torch.Generator().manual_seed(seed)).detach()
        self.register_buffer("weights", weights_SKD, persistent=False)
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(getattr(net.config, name)).view(1, 3, 1, 1).to(weights_SKD))

    def forward(self, images_BHWC: Tensor) -> Outputs:
        x_BCHW = (images_BHWC.permute(0, 3, 1, 2).float() / 255.0 - self.mean) / self.std
        embedding_BE, _ = self.net.embedding(x_BCHW, self.net.config.crops)
        logs_BSK = self.net.head.under(embedding_BE, self.weights, self.temperature)
        probs_BSK = logs_BSK.exp()
        mean_BK = probs_BSK.mean(1)
        log_mean_BK = mean_BK.clamp(min=torch.finfo(torch.float32).tiny).log()
        entropy_B = -(mean_BK * log_mean_BK).sum(-1)
        expected_B = -(probs_BSK * logs_BSK).sum(-1).mean(1)
        spread_BK = (probs_BSK - mean_BK[:, None]).square().mean(1).sqrt()
        return Outputs(embedding_BE, log_mean_BK, spread_BK, entropy_B, (entropy_B - expected_B).clamp(min=0.0))
