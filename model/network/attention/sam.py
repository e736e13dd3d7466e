"""Self-boosting attention: one projection for all classes must explain the map of every image's own class.

Source: Shu, Yu, Xu, Liu, "Improving Fine-Grained Visual Recognition in Low Data Regimes via Self-Boosting Attention
Mechanism", ECCV 2022 (arXiv 2208.00617), and its released code. Theirs: the target map (of the true class, without
gradient), k filters of one cell with a ReLU, the largest of them as the projection, KL(target || projection) over the
cells at temperature 0.4, and the weight 0.01, which their sum over 24 images makes 0.24 for each.

Ours: the target is brought to 0..1 for each image before the softmax, since its scale drifts while the network learns;
an image without evidence for its class teaches nothing; the k maps are normed over all cells of one image instead of
over the batch, so that no image depends on its neighbours and no running mean has to reach the averaged network; the
classifier is this program's (bayesian_head.py), and its map is the evidence (evidence.py).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model import errors
from model.network import bayesian_head
from model.network.attention import contract, evidence

TARGETS = ("cam", "gradcam")
_FLAT = 1e-3  # the signed root is linear below this share of the typical entry: a bounded gradient at 0


class SelfBoosting(contract.Attention):
    """The embedding is the mean over the cells; the projection P (B, H, W) is an auxiliary task and an overlay.

    target: "cam", the evidence for the class, or "gradcam" (Selvaraju et al., ICCV 2017), the cells weighted with the
    mean slope of the class's logit. parts: the k filters. tau: temperature of both softmaxes. weight: of the loss.
    """

    KINDS = ("sam",)

    def __init__(self, dim: int, target: str = "cam", parts: int = 16, tau: float = 0.4, weight: float = 0.24) -> None:
        super().__init__(dim)
        if target not in TARGETS:
            raise errors.UnknownName("target of self-boosting attention", target, TARGETS)
        if parts < 1 or tau <= 0:
            raise errors.BadConfig(
                f"parts is {parts} and tau {tau}; self-boosting attention needs 1 part and a tau above 0"
            )
        self.target, self.tau, self.weight = target, tau, weight
        self.project = nn.Linear(dim, parts, bias=False)
        self.scale, self.shift = nn.Parameter(torch.ones(parts)), nn.Parameter(torch.zeros(parts))

    def forward(self, features_BHWD: Tensor, look: contract.Look) -> contract.Pooling:
        return self.pooled(features_BHWD)

    def pooled(self, features_BHWD: Tensor) -> contract.Pooling:
        """The pooling of a map alone; the target's slopes run through it again."""
        return contract.mean_pooled(features_BHWD, map=features_BHWD, parts=self.parts(features_BHWD))

    def parts(self, features_BHWD: Tensor) -> Tensor:
        """The k maps (B, H, W, k), not negative, fp32."""
        raw_BHWk = self.project(features_BHWD).float()
        return F.relu(F.layer_norm(raw_BHWk, raw_BHWk.shape[1:]) * self.scale + self.shift)

    def losses(
        self, pooled: contract.Pooling, head: bayesian_head.BayesianHead, targets_B: Tensor, *, done: float
    ) -> dict[str, Tensor]:
        cells_BHW = F.relu(self._class_map(pooled, head, targets_B))
        speaks_B = cells_BHW.flatten(1).amax(1) > 0
        log_told_BL = (contract.spread(cells_BHW).flatten(1) / self.tau).log_softmax(1)
        log_seen_BL = (pooled.kept["parts"].amax(-1).flatten(1) / self.tau).log_softmax(1)
        apart_B = (log_told_BL.exp() * (log_told_BL - log_seen_BL)).sum(1)
        return {"sam_kl": self.weight * apart_B * speaks_B}

    def overlays(
        self, pooled: contract.Pooling, head: bayesian_head.BayesianHead, classes_B: Tensor
    ) -> dict[str, contract.Overlay]:
        return {"sam": contract.Overlay(contract.spread(pooled.kept["parts"].amax(-1)), class_specific=False)}

    def _class_map(self, pooled: contract.Pooling, head: bayesian_head.BayesianHead, classes_B: Tensor) -> Tensor:
        """(B, H, W) for one class of each image, signed, without gradient."""
        if self.target == "cam":
            return evidence.class_map(pooled.features, pooled.pooling, head, classes_B)
        map_BHWD = pooled.kept["map"].detach().requires_grad_()
        with torch.enable_grad():
            logits_BK = head.mean_network(self.pooled(map_BHWD).embedding)
            (slopes_BHWD,) = torch.autograd.grad(logits_BK.gather(1, classes_B[:, None]).sum(), map_BHWD)
        return torch.einsum("bd,bhwd->bhw", slopes_BHWD.float().mean((1, 2)), map_BHWD.detach().float())


class BilinearSelfBoosting(SelfBoosting):
    """The same k maps A also pool: Z[k, c] = mean over the cells of A_k G_c, its signed square roots, at length sqrt(k c).

    As in the paper's figure and first code the maps are not detached: the classifier trains them too (the present
    release pools with one detached map). Ours: G is a linear projection of the map to `width` channels (0: the map
    itself), because the last layer of the page reads the embedding (k times `width` numbers); the length is the root of
    theirs' count instead of 1, a scale that the head's norm is made for.

    Roots and length are one factor for each entry of Z and image, and `features` are A_k G_c times that factor. So the
    embedding is their mean exactly, and the evidence of a class sums to its logit: it is the logit's secant at this
    image, not its slope, which the length makes 0 along Z.
    """

    def __init__(
        self,
        dim: int,
        target: str = "gradcam",
        parts: int = 4,
        width: int = 128,
        tau: float = 0.4,
        weight: float = 0.24,
    ) -> None:
        super().__init__(dim, target, parts, tau, weight)
        if width < 0:
            raise errors.BadConfig(f"width is {width}; give channels, or 0 for those of the map")
        self.reduce = nn.Linear(dim, width, bias=False) if width else nn.Identity()
        self.dim = parts * (width or dim)

    def pooled(self, features_BHWD: Tensor) -> contract.Pooling:
        parts_BHWk = self.parts(features_BHWD)
        values_BHWC = self.reduce(features_BHWD).float()
        products_BHWE = (parts_BHWk[..., :, None] * values_BHWC[..., None, :]).flatten(3)
        factor_BE = _factor(products_BHWE.mean((1, 2)))
        mean = contract.mean_pooled(products_BHWE * factor_BE[:, None, None])
        return mean._replace(kept={"map": features_BHWD, "parts": parts_BHWk})


def _factor(sums_BE: Tensor) -> Tensor:
    """What brings each image's sums to their signed square roots at length sqrt(E)."""
    inverse_B1 = _inverse_size(sums_BE)
    root_BE = torch.rsqrt((sums_BE * inverse_B1).abs() + _FLAT)
    return inverse_B1 * root_BE * _inverse_size(sums_BE * inverse_B1 * root_BE)


def _inverse_size(values_BE: Tensor) -> Tensor:
    """One over the root mean square."""
    return torch.rsqrt(values_BE.square().mean(1, keepdim=True) + 1e-20)
