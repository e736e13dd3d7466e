"""What a pseudo-label rule is and returns: which images teach, as what, and how strongly."""

from __future__ import annotations

from typing import NamedTuple

import torch

from model import config as configs


class PseudoLabels(NamedTuple):
    """The verdict of one rule over a batch of B unlabelled images.

    mask_B is true where the strong view teaches something; targets_B holds the class index of every image, believed or
    not; weights_B is the factor of each image's cross-entropy, 0 where the pseudo-label is not believed. negatives_BK is
    true for classes that an image is said not to be, None where a rule says no such thing.
    """

    mask_B: torch.Tensor
    targets_B: torch.Tensor
    weights_B: torch.Tensor
    negatives_BK: torch.Tensor | None = None

    def taken(self) -> PseudoLabels:
        """The same for the images that teach alone."""
        return PseudoLabels(*(each if each is None else each[self.mask_B] for each in self))


class Rule:
    """A method's rule. What it remembers lives as long as one run, and depends on nothing but what it was shown."""

    def __init__(self, config: configs.TrainConfig, *, classes: int, images: int) -> None:
        """`config` is settled (methods.settled); there are `classes` classes and `images` unlabelled images."""
        self.config, self.classes, self.images = config, classes, images

    def judge(self, log_probs_BSK: torch.Tensor, images_B: torch.Tensor) -> PseudoLabels:
        """The verdict from S posterior draws (or one pass) over weak views; images_B: which of the images they show."""
        raise NotImplementedError

    def beside(self, logits_BK: torch.Tensor, verdict: PseudoLabels) -> torch.Tensor:
        """A further loss, a scalar, from the logits of the strong views; `verdict` is taken()."""
        return logits_BK.new_zeros(())


def mean_probs(log_probs_BSK: torch.Tensor) -> torch.Tensor:
    """The posterior mean, as float32 probabilities of shape (B, K)."""
    return log_probs_BSK.float().exp().mean(dim=1)


def spread(probs_BSK: torch.Tensor) -> torch.Tensor:
    """The unbiased deviation of each probability over the draws, (B, K); one draw has none."""
    return probs_BSK.std(dim=1) if probs_BSK.shape[1] > 1 else torch.zeros_like(probs_BSK[:, 0])


def accept(mask_B: torch.Tensor, targets_B: torch.Tensor) -> PseudoLabels:
    """Accepted images weigh 1, the others nothing."""
    return PseudoLabels(mask_B, targets_B, mask_B.float())
