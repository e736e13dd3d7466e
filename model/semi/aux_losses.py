"""Losses beside the classifier's that exist only while training and go with any attention and backbone."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model import errors
from model.together import Together

_CENTRE_RATE = 0.5  # alpha of the paper
_CHANNELS = 3  # of each class, where the map's own do not divide
_DISTINCT, _DIVERSE = 1.5, 20.0  # weights of the authors' script for CUB-200-2011


class CentreLoss(nn.Module):
    """1/2 |x - c_y|^2 with a centre c for each class that follows its images (Wen et al., ECCV 2016, equations 5, 6):

        c_j <- c_j - 1/2 sum_{y_i = j} (c_j - x_i) / (1 + number of images of class j in the batch)

    Ours: x is the embedding as the classifier sees it, normed to mean 0 and deviation 1. On the bare one the loss would
    vanish by shrinking it, which the head's norm undoes.
    """

    def __init__(self, net: Any, generator: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("centres_KE", torch.zeros(net.config.num_classes, net.dim))
        self.forget()

    def forward(self, output: Any, targets_B: Tensor, generator: torch.Generator) -> Tensor:
        """(B,); the centres move once `follow` is called, by all that was compared with them since."""
        normed_BE = F.layer_norm(output.embedding.float(), output.embedding.shape[1:])
        self.waiting.append((normed_BE.detach(), targets_B))
        return 0.5 * (normed_BE - self.centres_KE[targets_B]).square().sum(1)

    def forget(self) -> None:
        """What was compared since the last step does not move them."""
        self.waiting: list[tuple[Tensor, Tensor]] = []

    @torch.no_grad()
    def follow(self, together: Together) -> None:
        """Move the centres by the batches of all processes."""
        moves_KE, counts_K = torch.zeros_like(self.centres_KE), self.centres_KE.new_zeros(len(self.centres_KE))
        for normed_BE, targets_B in self.waiting:
            moves_KE.index_add_(0, targets_B, self.centres_KE[targets_B] - normed_BE)
            counts_K += torch.bincount(targets_B, minlength=len(counts_K))
        self.centres_KE -= _CENTRE_RATE * together.sum(moves_KE) / (1 + together.sum(counts_K))[:, None]
        self.forget()


class MutualChannelLoss(nn.Module):
    """1.5 L_dis + 20 L_div on channels that belong to classes (Chang et al., TIP 2020, PRIS-CV/Mutual-Channel-Loss).

    A stand-in for the cross-channel loss of aggregate attention, whose text is lost; no figure of it is one of theirs.
    With xi channels for each class: L_dis is the cross-entropy of the mean over the cells of the largest of a random
    floor(2/3 xi) of them; L_div is 1 - 1/xi sum over the cells of the largest of their softmaxes over the cells, a mean
    over the classes. Where the map's channels do not divide among the classes, a linear layer makes three for each.
    Ours: a channel that is not drawn takes no part, where theirs counts as 0, which a map without a ReLU can be below.
    """

    def __init__(self, net: Any, generator: torch.Generator) -> None:
        super().__init__()
        self.classes = net.config.num_classes
        divides = net.dim % self.classes == 0 and net.dim > self.classes
        self.channels = net.dim // self.classes if divides else _CHANNELS
        self.deal = nn.Identity()
        if not divides:
            self.deal = nn.Linear(net.dim, self.classes * _CHANNELS, bias=False)
            nn.init.normal_(self.deal.weight, std=net.dim**-0.5, generator=generator)

    def forward(self, output: Any, targets_B: Tensor, generator: torch.Generator) -> Tensor:
        """(B,); which channels are drawn comes from the generator, the same for all images."""
        map_BLE = output.features.flatten(2).transpose(1, 2)
        map_BLKX = self.deal(map_BLE).float().unflatten(2, (self.classes, self.channels))
        drawn_KX = self._draw(generator).to(map_BLKX.device)
        scores_BK = map_BLKX.masked_fill(~drawn_KX, -torch.inf).amax(3).mean(1)
        distinct_B = F.cross_entropy(scores_BK, targets_B, reduction="none")
        covered_BK = map_BLKX.softmax(1).amax(3).sum(1)
        return _DISTINCT * distinct_B + _DIVERSE * (1 - covered_BK.mean(1) / self.channels)

    def _draw(self, generator: torch.Generator) -> Tensor:
        """(K, xi): two thirds of each class's channels, at least one."""
        order_KX = torch.rand((self.classes, self.channels), generator=generator).argsort(1)
        return order_KX < max(1, 2 * self.channels // 3)


LOSSES: dict[str, type[nn.Module] | None] = {"none": None, "center": CentreLoss, "mc": MutualChannelLoss}


def build(name: str, net: Any, generator: torch.Generator) -> nn.Module | None:
    """The loss of that name for a network, called with its output, the targets (B,) and a generator; None for "none"."""
    if name not in LOSSES:
        raise errors.UnknownName("auxiliary loss", name, LOSSES)
    kind = LOSSES[name]
    return None if kind is None else kind(net, generator)
