"""What one training step is to make small, image by image: the classifier's loss and all that stands beside it."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model import config as configs
from model import noise
from model.semi import aux_losses, evidence, spotter
from model.together import Together


class Taught(NamedTuple):
    """Logits (B, K), each image's whole loss (B,), and the part of it (B,) that is the classifier's own."""

    logits_BK: Tensor
    losses_B: Tensor
    plain_B: Tensor


class Losses:
    """The losses of one run: `helpers` learn beside the net and exist only while it trains."""

    def __init__(self, net: nn.Module, config: configs.TrainConfig, generator: torch.Generator) -> None:
        self.net, self.config, self.device = net, config, next(net.parameters()).device
        self.auxiliary = aux_losses.build(config.aux_loss, net, generator)
        self.spotter = spotter.Spotter(net, generator)
        helpers = [self.spotter] if self.auxiliary is None else [self.spotter, self.auxiliary]
        self.helpers = nn.ModuleList(helpers).to(self.device)

    def __call__(
        self,
        inputs_BCHW: Tensor,
        targets_B: Tensor,
        certainty: Tensor,
        rows: noise.Rows,
        *,
        done: float,
        told: tuple[Tensor, Tensor] | None = None,
    ) -> Taught:
        """`certainty`: class indices or probabilities, what the cross-entropy sees; `rows`: which of the whole batch's images
        these are, for its noise.

        Beside the cross-entropy stand the attention's own losses, the auxiliary loss, the spotter's own, and what tells
        the attention: look there. That is the region which a person drew (`told`: regions of the first images and the
        views' geometry), else the spotter's evidence, as far as it is sure.
        """
        output = self.net(inputs_BCHW, rows)
        plain_B = self._entropy(output.logits, certainty)
        losses_B = plain_B + sum(self.net.losses(output, targets_B, done=done).values())
        if self.auxiliary is not None:
            losses_B = losses_B + self.config.aux_weight * self.auxiliary(output, targets_B, rows.generator)
        said_B, alpha_BHW = torch.zeros(len(losses_B), dtype=torch.bool, device=self.device), output.alpha.float()
        if told is not None:
            outside_B, said_B = evidence.outside(alpha_BHW, *told)
            losses_B = losses_B + self.config.region * outside_B
        if self.config.spot == 0:
            return Taught(output.logits, losses_B, plain_B.detach())
        spotted_BK, largest_BC, map_BHWC = self.spotter(output.features)
        losses_B = losses_B + self.config.spot * self._entropy(spotted_BK, certainty)
        if self.config.guide > 0:
            grid = (alpha_BHW.shape[1], alpha_BHW.shape[2])
            told_BHW = self.spotter.evidence(largest_BC, map_BHWC, targets_B, grid=grid)
            sure_B = spotted_BK.detach().float().softmax(dim=1).gather(1, targets_B[:, None])[:, 0]
            heard_B = -(told_BHW * alpha_BHW.clamp(min=1e-6).log()).sum(dim=(1, 2))
            losses_B = losses_B + self.config.guide * sure_B * heard_B.masked_fill(said_B, 0.0)
        return Taught(output.logits, losses_B, plain_B.detach())

    def settle(self, together: Together) -> None:
        """The end of a step: what the auxiliary loss remembers takes in the batches of all processes."""
        if isinstance(self.auxiliary, aux_losses.CentreLoss):
            self.auxiliary.follow(together)

    def forget(self) -> None:
        """A pass that was none: nothing of it is kept."""
        self.spotter.maps.clear()
        if isinstance(self.auxiliary, aux_losses.CentreLoss):
            self.auxiliary.forget()

    def _entropy(self, logits_BK: Tensor, certainty: Tensor) -> Tensor:
        return F.cross_entropy(
            logits_BK.float(), certainty, reduction="none", label_smoothing=self.config.label_smoothing
        )
