"""Adversarial complementary learning: a second branch must recognise the class from what the first did not need.

Source: Zhang, Wei, Feng, Yang, Huang, CVPR 2018 (arXiv 1804.06962): branch A's map of the true class is brought to 0..1,
cells at or above `delta` are erased from the last map, without gradient, and branch B classifies the rest; both
cross-entropies count alike, the logits are A's, and the fused map of a class is the larger of both branches' maps. "pn"
is junkwhinger's recipe (github junkwhinger/adversarial_complementary_learning): B explains the classes that are not the
image's own, -log(exp(mean of the others' logits) / sum of exp of all).

Ours: both branches are this program's head over a mean, whose evidence is the class map (the paper's lemma), so the
network's own head is branch A and predicting costs nothing more; never more than half of an image's cells are erased
(on a coarse map delta can take all), and none in the first tenth of the training; "cyclic" also erases B's map for
A, as descriptions of the method have it and no released code does; in "pn" B's map is turned round, because B learned
to speak against the image's own class.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model import errors
from model.network import bayesian_head
from model.network.attention import boxes, contract, evidence

WARM_UP = 0.1  # share of the training without erasing
BOX_ABOVE = 0.5  # share of the fused map's maximum that the frame encloses; not tuned on any data
_CHOICES = {"branch": ("1x1", "3x3"), "recipe": ("pp", "pn"), "erasing": ("one-way", "cyclic")}


class _Branch(NamedTuple):
    """B's view: logits (B, K), and its map of the asked class in 0..1, 0 where nothing was left."""

    logits: Tensor
    map_BHW: Tensor


class ACoL(contract.Attention):
    """branch: a linear layer on the map ("1x1"), or after a 3x3 convolution to `hidden` channels of each branch's own."""

    KINDS = ("first", "rest", "fused")

    def __init__(
        self,
        dim: int,
        num_classes: int,
        delta: float = 0.7,
        branch: str = "1x1",
        recipe: str = "pp",
        erasing: str = "one-way",
        hidden: int = 512,
    ) -> None:
        for name, chosen in (("branch", branch), ("recipe", recipe), ("erasing", erasing)):
            if chosen not in _CHOICES[name]:
                raise errors.UnknownName(f"{name} of acol", chosen, _CHOICES[name])
        if not 0 < delta <= 1:
            raise errors.BadConfig(f"delta is {delta}; it is a share of the map's range, above 0 and at most 1")
        super().__init__(dim if branch == "1x1" else hidden)
        self.delta, self.recipe, self.erasing = delta, recipe, erasing
        self.first_map = nn.Identity() if branch == "1x1" else _Hidden(dim, hidden)
        self.second_map = nn.Identity() if branch == "1x1" else _Hidden(dim, hidden)
        self.second = bayesian_head.BayesianHead(self.dim, num_classes, dropout=0.0)

    def forward(self, features_BHWD: Tensor, look: contract.Look) -> contract.Pooling:
        return contract.mean_pooled(self.first_map(features_BHWD), map=features_BHWD)

    def losses(
        self, pooled: contract.Pooling, head: bayesian_head.BayesianHead, targets_B: Tensor, *, done: float
    ) -> dict[str, Tensor]:
        if self.second.linear.out_features == 1:
            return {}  # one class is in no need of evidence
        first_BHW = self._first(pooled, head, targets_B)
        kept_BHW = self.stays(first_BHW) if done >= WARM_UP else torch.ones_like(first_BHW)
        second = self._second(pooled, kept_BHW, targets_B)
        if self.recipe == "pp":
            losses = {"acol_rest": F.cross_entropy(second.logits.float(), targets_B, reduction="none")}
        else:
            losses = {"acol_rest": _others(second.logits.float(), targets_B)}
        if self.erasing == "cyclic" and done >= WARM_UP:
            again_BHWD = pooled.kept["map"] * self.stays(second.map_BHW)[..., None]
            logits_BK = head.mean_network(contract.mean_pooled(self.first_map(again_BHWD)).embedding)
            losses["acol_again"] = F.cross_entropy(logits_BK.float(), targets_B, reduction="none")
        return losses

    def overlays(
        self, pooled: contract.Pooling, head: bayesian_head.BayesianHead, classes_B: Tensor
    ) -> dict[str, contract.Overlay]:
        """first: A's evidence for the class; rest: B's, in what is left without it; fused: the larger of both, with a
        frame. In "pp" `rest` has both branches' votes: where they differ, the class hangs on one piece of evidence."""
        first_BHW = self._first(pooled, head, classes_B)
        stays_BHW = self.stays(first_BHW)
        second = self._second(pooled, stays_BHW, classes_B)
        fused_BHW = torch.maximum(first_BHW, second.map_BHW)
        votes_BSK = None
        if self.recipe == "pp":
            votes_BSK = torch.stack([head.mean_network(pooled.embedding), second.logits], 1).float().softmax(-1)
        frames_B4 = boxes.largest_region(fused_BHW, above=BOX_ABOVE)
        return {
            "first": contract.Overlay(first_BHW, class_specific=True),
            "rest": contract.Overlay(
                second.map_BHW, class_specific=True, votes_BSK=votes_BSK, erased_BHW=stays_BHW == 0
            ),
            "fused": contract.Overlay(fused_BHW, class_specific=True, boxes_B4=frames_B4),
        }

    def class_layers(self) -> dict[str, nn.Module]:
        return {"second.linear": self.second.linear}

    @torch.no_grad()
    def stays(self, map_BHW: Tensor) -> Tensor:
        """1 where a cell stays, 0 where a map in 0..1 reaches delta: the largest cells first, at most half of them."""
        flat_BL = map_BHW.flatten(1)
        rank_BL = flat_BL.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        erased_BL = (flat_BL >= self.delta) & (rank_BL < flat_BL.shape[1] // 2)
        return (~erased_BL).to(map_BHW.dtype).view(map_BHW.shape)

    def _first(self, pooled: contract.Pooling, head: bayesian_head.BayesianHead, classes_B: Tensor) -> Tensor:
        """A's map of one class of each image in 0..1, without gradient."""
        return contract.spread(evidence.class_map(pooled.features, pooled.pooling, head, classes_B))

    def _second(self, pooled: contract.Pooling, kept_BHW: Tensor, classes_B: Tensor) -> _Branch:
        """B's view of what is kept."""
        left_BHWD = pooled.kept["map"] * kept_BHW[..., None]
        mean = contract.mean_pooled(self.second_map(left_BHWD))
        map_BHW = evidence.class_map(mean.features, mean.pooling, self.second, classes_B)
        if self.recipe == "pn":
            map_BHW = -map_BHW
        gone_BHW = kept_BHW == 0
        least_B11 = map_BHW.masked_fill(gone_BHW, torch.inf).amin((1, 2), keepdim=True)
        return _Branch(self.second(mean.embedding), contract.spread(torch.where(gone_BHW, least_B11, map_BHW)))


class _Hidden(nn.Module):
    """A 3x3 convolution and a ReLU on a map with its channels last."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(dim, hidden, 3, padding=1)

    def forward(self, features_BHWD: Tensor) -> Tensor:
        return F.relu(self.conv(features_BHWD.permute(0, 3, 1, 2))).permute(0, 2, 3, 1)


def _others(logits_BK: Tensor, targets_B: Tensor) -> Tensor:
    """(B,): -log(exp(mean of the other classes' logits) / sum of exp of all)."""
    own_B = logits_BK.gather(1, targets_B[:, None])[:, 0]
    return logits_BK.logsumexp(1) - (logits_BK.sum(1) - own_B) / (logits_BK.shape[1] - 1)
