"""FreeMatch: thresholds that follow the network's own confidence, as a whole and for each class."""

from __future__ import annotations

import torch

from model import config as configs
from model.semi import pseudo_labels


class FreeMatch(pseudo_labels.Rule):
    """Self-adaptive thresholds and fairness (Wang et al., ICLR 2023, arXiv 2205.07246, equations 5 to 11):

        accept where max_k p_k >= t r_y / max_c r_c,  y = argmax_k p_k

    with moving averages t of the mean confidence, r of the mean prediction and h of the histogram of y, all from 1/K,
    momentum .999. The second loss is sum_c a_c log b_c, a = r / h normed and b the same of the accepted strong views' own
    mean prediction and histogram; its weight .001 is that of USB for pretrained networks (.01 in the authors' code).
    That momentum looks back a thousand steps: in a run of some hundred, t stays low and much is believed; `momentum`
    shortens it.
    """

    def __init__(self, config: configs.TrainConfig, *, classes: int, images: int) -> None:
        super().__init__(config, classes=classes, images=images)
        self.sure, self.usual_K = 1 / classes, torch.full((classes,), 1 / classes)
        self.said_K = self.usual_K.clone()

    def judge(self, log_probs_BSK: torch.Tensor, images_B: torch.Tensor) -> pseudo_labels.PseudoLabels:
        """The averages take the batch in before it is judged."""
        probs_BK = pseudo_labels.mean_probs(log_probs_BSK)
        confidence_B, targets_B = probs_BK.max(dim=1)
        keep = self.config.momentum
        self.sure = keep * self.sure + (1 - keep) * confidence_B.mean().item()
        self.usual_K = keep * self.usual_K.to(probs_BK) + (1 - keep) * probs_BK.mean(dim=0)
        self.said_K = keep * self.said_K.to(probs_BK) + (1 - keep) * self._histogram(targets_B)
        limits_K = self.sure * self.usual_K / self.usual_K.max()
        return pseudo_labels.accept(confidence_B >= limits_K[targets_B], targets_B)

    def beside(self, logits_BK: torch.Tensor, verdict: pseudo_labels.PseudoLabels) -> torch.Tensor:
        """The fairness loss, weighted."""
        probs_BK = logits_BK.float().softmax(dim=1)
        wanted_K = _shared(self.usual_K, self.said_K)
        found_K = _shared(probs_BK.mean(dim=0), self._histogram(probs_BK.argmax(dim=1)))
        return self.config.fairness * (wanted_K * (found_K + 1e-12).log()).sum()

    def _histogram(self, targets_B: torch.Tensor) -> torch.Tensor:
        return torch.bincount(targets_B, minlength=self.classes).float() / len(targets_B)


def _shared(mean_K: torch.Tensor, histogram_K: torch.Tensor) -> torch.Tensor:
    """mean / histogram, 0 where the histogram is, normed to sum 1."""
    ratio_K = torch.where(histogram_K > 0, mean_K / histogram_K.clamp(min=1e-12), torch.zeros_like(mean_K))
    return ratio_K / ratio_K.sum()
