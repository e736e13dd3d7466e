"""The rule that believes no pseudo-label: training sees the labels alone."""

from __future__ import annotations

import torch

from model.semi import pseudo_labels


def select(log_probs_BSK: torch.Tensor, *, tau: float, kappa: float) -> pseudo_labels.PseudoLabels:
    """Accept nothing; tau and kappa are not used."""
    targets_B = pseudo_labels.mean_probs(log_probs_BSK).argmax(dim=1)
    return pseudo_labels.accept(torch.zeros_like(targets_B, dtype=torch.bool), targets_B)
