"""When a network computes in bfloat16: where the device has units for it, for networks that gain by it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from model.network import vmamba

LEAST_DIM = 384  # of a last map: the layers of vmamba_nano are too small to gain by it


def has_units(device: torch.device) -> bool:
    """Whether a GPU or this CPU computes in bfloat16 itself."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def looking(backbone: nn.Module) -> Any:
    """The context for passes without gradients. `hf:` models stay in fp32: what they lose by it is not known.

    Scans and the classifier's softmax are computed in fp32 all the same; `bench network --images` measures what is lost.
    """
    device = next(backbone.parameters()).device
    wanted = isinstance(backbone, vmamba.VMamba) and backbone.dim >= LEAST_DIM
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted and has_units(device))
