"""SoftMatch: every pseudo-label teaches, the less the further its confidence lies below the usual one."""

from __future__ import annotations

import torch

from model import config as configs
from model.semi import pseudo_labels


class SoftMatch(pseudo_labels.Rule):
    """Weights of a truncated Gaussian (Chen et al., ICLR 2023, arXiv 2301.10921, equations 6 to 9):

        w = exp(-min(max_k q_k - m, 0)^2 n^2 / (2 v)),  q = p u / p' normed,  u = 1 / K

    with moving averages of the confidence's mean m and unbiased variance v, from 1/K and 1, and p' of the mean
    prediction (uniform alignment), from the first batch. The target is the argmax of the unaligned p. n = 2, momentum
    .999, lambda_u 1. That momentum looks back a thousand steps: in a run of some hundred, m and v stay near their start
    and nearly all weights near 1; `momentum` shortens it.
    """

    def __init__(self, config: configs.TrainConfig, *, classes: int, images: int) -> None:
        super().__init__(config, classes=classes, images=images)
        self.mean, self.variance = 1 / classes, 1.0
        self.usual_K: torch.Tensor | None = None

    def judge(self, log_probs_BSK: torch.Tensor, images_B: torch.Tensor) -> pseudo_labels.PseudoLabels:
        """The averages take the batch in before it is weighed."""
        probs_BK = pseudo_labels.mean_probs(log_probs_BSK)
        confidence_B = self._aligned(probs_BK).max(dim=1).values
        keep = self.config.momentum
        self.mean = keep * self.mean + (1 - keep) * confidence_B.mean().item()
        if len(confidence_B) > 1:
            self.variance = keep * self.variance + (1 - keep) * confidence_B.var().item()
        below_B = (confidence_B - self.mean).clamp(max=0)
        weights_B = torch.exp(-(below_B.square()) * self.config.n_sigma**2 / max(2 * self.variance, 1e-12))
        return pseudo_labels.PseudoLabels(weights_B > 0, probs_BK.argmax(dim=1), weights_B)

    def _aligned(self, probs_BK: torch.Tensor) -> torch.Tensor:
        now_K, keep = probs_BK.mean(dim=0), self.config.momentum
        self.usual_K = now_K if self.usual_K is None else keep * self.usual_K + (1 - keep) * now_K
        lifted_BK = probs_BK * (1 / self.classes + 1e-6) / (self.usual_K + 1e-6)
        return lifted_BK / lifted_BK.sum(dim=1, keepdim=True)
