"""FlexMatch: FixMatch with a threshold of its own for each class, low while the class is little learned."""

from __future__ import annotations

import torch

from model import config as configs
from model.semi import pseudo_labels


class FlexMatch(pseudo_labels.Rule):
    """Accept where max_k p_k >= tau b_y / (2 - b_y), y = argmax_k p_k (Zhang et al., NeurIPS 2021, arXiv 2110.08263).

        b_c = s_c / max(max_c s_c, unused)

    with s_c the number of unlabelled images whose last confident (p >= tau) look said c and `unused` the number of
    those that never had one: curriculum pseudo-labelling with threshold warm-up and the convex map, as in the authors'
    code. tau .95, lambda_u 1. At the very start every threshold is 0 and every pseudo-label is believed. A short run
    sees most images too seldom for the counts to fill (the paper: 2^20 steps).
    """

    def __init__(self, config: configs.TrainConfig, *, classes: int, images: int) -> None:
        super().__init__(config, classes=classes, images=images)
        self.said_N = torch.full((images,), -1)
        self.learned_K = torch.zeros(classes)

    def judge(self, log_probs_BSK: torch.Tensor, images_B: torch.Tensor) -> pseudo_labels.PseudoLabels:
        """The thresholds are those before this batch; then the batch is counted."""
        confidence_B, targets_B = pseudo_labels.mean_probs(log_probs_BSK).max(dim=1)
        learned_B = self.learned_K.to(confidence_B)[targets_B]
        verdict = pseudo_labels.accept(confidence_B >= self.config.tau * learned_B / (2 - learned_B), targets_B)
        self._count(images_B, (confidence_B >= self.config.tau).cpu(), targets_B.cpu())
        return verdict

    def _count(self, images_B: torch.Tensor, sure_B: torch.Tensor, targets_B: torch.Tensor) -> None:
        self.said_N[images_B[sure_B]] = targets_B[sure_B]
        counts_K = torch.bincount(self.said_N[self.said_N >= 0], minlength=self.classes)
        unused = (self.said_N < 0).sum()
        self.learned_K = counts_K / torch.maximum(counts_K.max(), unused).clamp(min=1)
