"""The map of what speaks for a class: an exact split of a linear logit over the cells."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from model.network import bayesian_head


def evidence(features_BDHW: Any, pooling_BHW: Any, directions_KD: Any, classes_BJ: Any) -> Tensor:
    """(B, J, H, W), fp32: cell i adds pooling_i * (direction_c . f_i) to the logit of class c.

    The map of a class sums to direction_c . embedding, since the embedding is the pooled features: it is signed,
    class-specific, and holds nothing but what the logit holds. Takes tensors or arrays; classes_BJ are class indices.
    """
    features = torch.as_tensor(features_BDHW).float()
    pooling = torch.as_tensor(pooling_BHW).float()
    directions_BJD = torch.as_tensor(directions_KD).float()[torch.as_tensor(classes_BJ).long()]
    maps_BJL = torch.bmm(directions_BJD, features.flatten(2))
    return maps_BJL.view(*directions_BJD.shape[:2], *pooling.shape[1:]) * pooling[:, None]


@torch.no_grad()
def class_map(
    features_BHWD: Tensor, pooling_BHW: Tensor, head: bayesian_head.BayesianHead, classes_B: Tensor
) -> Tensor:
    """(B, H, W): the evidence for one class of each image in a head that reads the pooled features, up to the head's
    positive scale. For a mean over the cells this is the class activation map (Zhou et al., CVPR 2016)."""
    directions_KD, _, _ = head.linear_form(features_BHWD.new_zeros(1, features_BHWD.shape[-1]))
    return evidence(features_BHWD.permute(0, 3, 1, 2), pooling_BHW, directions_KD, classes_B[:, None])[:, 0]
