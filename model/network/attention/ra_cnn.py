"""RA-CNN: find a box, look at it again enlarged, and classify from both; recurrent attention.

Fu, Zheng, Mei, "Look closer to see better: recurrent attention convolutional neural network for fine-grained image
recognition", CVPR 2017. An attention proposal network (APN) reads a view's last map and names a square by its centre and
half side; the next view is that square, scaled up. Every view is classified by itself (cross-entropy), a finer one has to
be surer of the true class than the one it was cut from (rank loss, margin 0.05), and the views' pooled descriptors, each
normalised, are classified together: here by the Bayesian head. Both forms have that; ours in both:

- One backbone for all views. The paper has one for each; that costs as much memory again for weights, gradients and
  moments with every view, and from few labels the zoom alone would have to learn what the whole picture has taught.
- A box lies inside its view by its form, centre = (1 - r)(2 sigmoid - 1), r = 1/3 + 2/3 sigmoid: a clamp has no gradient.
- The APN starts towards the peak of its view's map (the paper's step 2), by a loss that fades over the first tenth of
  the run. The paper trains classifiers and APN in turns; we train both at once, and the rank loss cannot be met by
  making the coarser view less sure, nor does the APN move the map that it reads.
- `alpha` is the soft box over the cells, so that what knows where to look can teach the APN.
- A view is cut out of the input, not of a larger picture: no finer pixels, but cells up to three times as fine.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model import errors
from model.network import bayesian_head
from model.network.attention import apn, contract

FORMS = ("light", "seed")
MARGIN = 0.05
PRETRAINED = 0.1  # share of the run over which the loss towards the peak fades


class RecurrentAttention(contract.Attention):
    """scales: 2 or 3 views, each cut from the one before. regions: with 2 scales, so many boxes in the whole input instead
    of one. whole: False classifies from the boxes alone; the whole input then only says where they are.

    form "light": a small APN whose gradient goes through the cutting itself, one classifier for the views' own votes.
    "seed": the paper's APN and mask (apn.py), and a classifier for each view.
    """

    KINDS = ("zoom",)

    def __init__(
        self,
        dim: int,
        num_classes: int,
        *,
        scales: int = 2,
        form: str = "light",
        regions: int = 1,
        whole: bool = True,
    ) -> None:
        if form not in FORMS:
            raise errors.UnknownName("form of an ra_cnn", form, FORMS)
        if scales not in (2, 3):
            raise errors.BadConfig(f"scales is {scales}; an ra_cnn has 2 or 3")
        if regions < 1 or (regions > 1 and scales == 3):
            raise errors.BadConfig(f"regions is {regions} with {scales} scales; give at least 1, and 1 with 3 scales")
        self.parents = (0, 1) if scales == 3 else (0,) * regions  # of view 1, 2, ...: the view that it is cut from
        self.first = 0 if whole else 1
        views = 1 + len(self.parents)
        super().__init__(dim * (views - self.first))
        self.form = form
        self.apns = nn.ModuleList(apn.APN(dim, paper=form == "seed") for _ in self.parents)
        self.classifiers = nn.ModuleList(nn.Linear(dim, num_classes) for _ in range(views if form == "seed" else 1))
        for classifier in self.classifiers:
            nn.init.trunc_normal_(classifier.weight, std=0.02)
            nn.init.zeros_(classifier.bias)

    def forward(self, features_BHWD: Tensor, look: contract.Look) -> contract.Pooling:
        """features: those of the whole input, then each zoom's, laid back onto the cells from which it was cut, so that
        a class's evidence in a zoom stands where the zoom saw it; their mean over the cells is the embedding exactly."""
        cut = apn.cut_masked if self.form == "seed" else apn.cut
        maps, moves = [features_BHWD.float()], []
        boxes = [torch.tensor([0.0, 0.0, 1.0], device=features_BHWD.device).expand(len(features_BHWD), 3)]
        for propose, parent in zip(self.apns, self.parents, strict=True):
            moves.append(propose(maps[parent].detach()))
            boxes.append(apn.inside(boxes[parent], moves[-1]))
            maps.append(look.backbone(cut(look.image_BCHW, boxes[-1])).float())
        grid = features_BHWD.shape[1:3]
        laid = [maps[0], *(apn.laid_back(m, box, grid) for m, box in zip(maps[1:], boxes[1:], strict=True))]
        strengths_V = [_strength(m.mean((1, 2))) for m in maps]
        means_V = [m.mean((1, 2)) * s for m, s in zip(maps, strengths_V, strict=True)]
        parts = [m * s[:, None, None] for m, s in zip(laid, strengths_V, strict=True)]
        soft_BVHW = torch.stack([apn.soft(box, *apn.cells(grid, box.device)) for box in boxes[1:]], dim=1)
        kept = {"votes": self._votes(means_V), "moves": moves, "maps": maps, "boxes": boxes, "soft": soft_BVHW}
        pooled = contract.mean_pooled(torch.cat(parts[self.first :], dim=3), **kept)
        alpha_BHW = (soft_BVHW / soft_BVHW.sum((2, 3), keepdim=True).clamp(min=1e-6)).mean(1)
        return pooled._replace(embedding=torch.cat(means_V[self.first :], dim=1), alpha=alpha_BHW)

    def _votes(self, means_V: list[Tensor]) -> Tensor:
        """Logits (B, V, K) of every view by itself, the whole input first."""
        each = [self.classifiers[index % len(self.classifiers)] for index in range(len(means_V))]
        return torch.stack([classify(mean) for classify, mean in zip(each, means_V, strict=True)], dim=1)

    def losses(
        self, pooled: contract.Pooling, head: bayesian_head.BayesianHead, targets_B: Tensor, *, done: float
    ) -> dict[str, Tensor]:
        """ "views": cross-entropy summed over the views; "rank": max(0, p_coarse - p_fine + margin) with p of the target
        and the coarser one held; "peak": the APN's start, smooth L1 to a box of half the side at the peak."""
        votes_BVK = pooled.kept["votes"].float()
        views = votes_BVK.shape[1]
        entropy_BV = F.cross_entropy(votes_BVK.transpose(1, 2), targets_B[:, None].expand(-1, views), reduction="none")
        sure_BV = (-entropy_BV).exp()
        coarse_BZ = sure_BV[:, list(self.parents)].detach()
        rank_B = (coarse_BZ - sure_BV[:, 1:] + MARGIN).clamp(min=0).sum(1)
        told = {"views": entropy_BV.sum(1), "rank": rank_B}
        if done < PRETRAINED:
            moves_BZ3 = torch.stack(pooled.kept["moves"], dim=1)
            peaks_BZ3 = apn.peaks(pooled.kept["maps"], self.parents)
            away_B = F.smooth_l1_loss(moves_BZ3, peaks_BZ3, reduction="none").sum((1, 2))
            told["peak"] = (1 - done / PRETRAINED) * away_B
        return told

    def overlays(
        self, pooled: contract.Pooling, head: bayesian_head.BayesianHead, classes_B: Tensor
    ) -> dict[str, contract.Overlay]:
        """The soft boxes, the frame of the zoom that is surest of what it sees, and what every view by itself says."""
        votes_BVK = pooled.kept["votes"].float().softmax(2)
        surest_B = votes_BVK[:, 1:].amax(2).argmax(1)
        boxes_BZ3 = torch.stack(pooled.kept["boxes"][1:], dim=1)
        x, y, half = boxes_BZ3[torch.arange(len(surest_B), device=surest_B.device), surest_B].unbind(1)
        frame_B4 = torch.stack([x - half, y - half, x + half, y + half], dim=1) / 2 + 0.5
        soft_BHW = pooled.kept["soft"].amax(1).clamp(0, 1)
        return {"zoom": contract.Overlay(soft_BHW, False, boxes_B4=frame_B4.clamp(0, 1), votes_BSK=votes_BVK)}

    def class_layers(self) -> dict[str, nn.Module]:
        return {f"classifiers.{index}": layer for index, layer in enumerate(self.classifiers)}


def _strength(mean_BD: Tensor) -> Tensor:
    """(B, 1): what brings a descriptor to root mean square 1, so that no view outweighs another."""
    return mean_BD.square().mean(1, keepdim=True).clamp(min=1e-12).rsqrt()
