"""The map of what speaks for a class: an exact split of a linear logit over the cells."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


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
