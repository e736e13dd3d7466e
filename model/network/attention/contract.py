"""What every attention system gives: one pooled vector, the map that it is made of, losses of its own, pictures of it.

The classifier is the same for all (bayesian_head.py) and reads the pooled vector alone, so that one pass of the backbone
serves the logits, the posterior, the last layer on the page and the evidence of a class (evidence.py).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from model.network import bayesian_head


class Pooling(NamedTuple):
    """embedding_BE = sum over the cells of pooling_BHW * features_BHWE, exactly; alpha_BHW: the attention before a gate.

    pooling and alpha sum to 1 per image and are not class-specific. kept: what the same attention's `losses` and
    `overlays` want to see again.
    """

    embedding: Tensor
    pooling: Tensor
    alpha: Tensor
    features: Tensor
    kept: dict[str, Any]


class Look(NamedTuple):
    """What an attention may look at beside the last map: the input (B, 3, S, S), and the backbone, from such an input to
    its last map (B, H, W, D)."""

    image_BCHW: Tensor
    backbone: Callable[[Tensor], Tensor]


@dataclasses.dataclass(frozen=True)
class Overlay:
    """maps_BHW in 0..1, per image, on any grid over the whole input. class_specific: whether they speak for the classes
    that were asked for; one that does not must never be captioned as the reason for a class. boxes_B4: a frame to draw,
    left, top, right, bottom in shares of the input. votes_BSK: probabilities of each scale, where there are several,
    the whole input first. erased_BHW: the cells of the same grid that were hidden from what made the map."""

    maps_BHW: Tensor
    class_specific: bool
    boxes_B4: Tensor | None = None
    votes_BSK: Tensor | None = None
    erased_BHW: Tensor | None = None


class Attention(nn.Module):
    """The common face. `dim`: length E of the embedding. Options of a system are keyword arguments of its constructor.

    KINDS: the names of its own overlays, which app/overlays.py captions. at: "last", where it sees the last map alone, or
    "stages", where the backbone also hands it the map of every stage before (`after_stage`).
    """

    KINDS: tuple[str, ...] = ()
    at = "last"

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, features_BHWD: Tensor, look: Look) -> Pooling:
        """Pool the last map."""
        raise NotImplementedError

    def after_stage(self, index: int, map_BHWC: Tensor) -> Tensor:
        """The map that the backbone goes on with after stage `index`; called only where `at` is "stages"."""
        raise NotImplementedError

    def losses(
        self, pooled: Pooling, head: bayesian_head.BayesianHead, targets_B: Tensor, *, done: float
    ) -> dict[str, Tensor]:
        """Its own losses by name, each (B,), already weighted, at `done` of the run; `targets_B`: true or believed classes."""
        return {}

    def overlays(self, pooled: Pooling, head: bayesian_head.BayesianHead, classes_B: Tensor) -> dict[str, Overlay]:
        """Its own pictures by kind, for one class of each image. Called without gradients."""
        return {}

    def class_layers(self) -> dict[str, nn.Module]:
        """Its layers whose outputs are the classes, by name: their weights' first axis follows the class list."""
        return {}


def pool(features_BHWD: Tensor, weights_BHW: Tensor) -> Tensor:
    """(B, D) in the dtype of the weights: the weighted sum over the cells."""
    features_BLD = features_BHWD.flatten(1, 2).to(weights_BHW.dtype)
    return torch.bmm(weights_BHW.flatten(1)[:, None], features_BLD)[:, 0]


def mean_pooled(features_BHWD: Tensor, **kept: Any) -> Pooling:
    """Every cell counts alike."""
    batch, height, width, _ = features_BHWD.shape
    uniform_BHW = torch.full((batch, height, width), 1 / (height * width), device=features_BHWD.device)
    return Pooling(features_BHWD.float().mean((1, 2)), uniform_BHW, uniform_BHW, features_BHWD, kept)


def spread(maps_BHW: Tensor) -> Tensor:
    """Each map alone brought to 0..1; one that is the same everywhere becomes 0."""
    flat = torch.nan_to_num(maps_BHW.float()).flatten(1)
    low, high = flat.amin(1, keepdim=True), flat.amax(1, keepdim=True)
    return torch.where(high > low, (flat - low) / (high - low).clamp(min=1e-6), 0.0).view(maps_BHW.shape)
