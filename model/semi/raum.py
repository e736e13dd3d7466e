"""The Bayesian filter of RAUM-Net: believe a class that is probable in the mean and stable over the posterior draws."""

from __future__ import annotations

import torch

from model.semi import pseudo_labels


def select(log_probs_BSK: torch.Tensor, *, tau: float, kappa: float) -> pseudo_labels.PseudoLabels:
    """Accept where mean_s p_s[y] >= tau and std_s p_s[y] <= kappa, y = argmax_k mean_s p_s[k].

    The paper says only that Bayesian inference filters the pseudo-labels; this is the positive rule of UPS (Rizve et
    al. 2021) with its unbiased deviation. One draw has no spread: then the mean alone decides.
    """
    probs_BSK = log_probs_BSK.float().exp()
    confidence_B, targets_B = probs_BSK.mean(dim=1).max(dim=1)
    if probs_BSK.shape[1] == 1:
        return pseudo_labels.accept(confidence_B >= tau, targets_B)
    spread_B = probs_BSK.std(dim=1).gather(1, targets_B[:, None])[:, 0]
    return pseudo_labels.accept((confidence_B >= tau) & (spread_B <= kappa), targets_B)
