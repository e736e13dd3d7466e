"""What a pseudo-label rule returns: which images it accepts, as what, and how strongly."""

from __future__ import annotations

from typing import NamedTuple

import torch


class PseudoLabels(NamedTuple):
    """The verdict of one rule over a batch of B unlabelled images.

    mask_B is true where the pseudo-label is accepted; targets_B holds the class index of every image, accepted or not;
    weights_B is the factor of each image's loss, 0 where it is not accepted.
    """

    mask_B: torch.Tensor
    targets_B: torch.Tensor
    weights_B: torch.Tensor


def mean_probs(log_probs_BSK: torch.Tensor) -> torch.Tensor:
    """The posterior mean, as float32 probabilities of shape (B, K)."""
    return log_probs_BSK.float().exp().mean(dim=1)


def accept(mask_B: torch.Tensor, targets_B: torch.Tensor) -> PseudoLabels:
    """Accepted images weigh 1, the others nothing."""
    return PseudoLabels(mask_B, targets_B, mask_B.float())
