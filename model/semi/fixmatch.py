"""FixMatch: believe the most probable class where its probability reaches tau (Sohn et al. 2020)."""

from __future__ import annotations

import torch

from model.semi import pseudo_labels


def select(log_probs_BSK: torch.Tensor, *, tau: float, kappa: float) -> pseudo_labels.PseudoLabels:
    """Accept where max_k p_k >= tau, p the mean over the S passes given (S = 1 in the paper); kappa is not used."""
    confidence_B, targets_B = pseudo_labels.mean_probs(log_probs_BSK).max(dim=1)
    return pseudo_labels.accept(confidence_B >= tau, targets_B)
