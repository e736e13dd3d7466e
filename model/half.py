"""When a network computes in bfloat16: where the device has units for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def has_units(device: torch.device) -> bool:
    """Whether a GPU or this CPU computes in bfloat16 itself; an older CPU with AVX-512 only imitates it, slowly."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    if device.type != "cpu" or not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    return not torch.backends.cpu.get_cpu_capability().startswith("AVX") or bool(torch.cpu._is_avx512_bf16_supported())


def looking(backbone: nn.Module) -> Any:
    """The context for passes without gradients.

    Scans and the classifier's softmax are computed in fp32 all the same. `bench network --images` measures what VMamba loses.
    """
    device = next(backbone.parameters()).device
    return torch.autocast(device.type, torch.bfloat16, enabled=has_units(device))
