"""In which numbers a training computes: fp32, or half precision where the device gains by it."""

from __future__ import annotations

from typing import Any

import torch

from model import config as configs
from model import errors, half

_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}


def chosen(name: str, device: torch.device) -> str:
    """What "auto" means on a device: on a GPU bf16 where it has units for that, else fp16; on a CPU fp32."""
    if name not in configs.PRECISIONS:
        raise errors.UnknownName("precision", name, configs.PRECISIONS)
    if name != "auto":
        return name
    if device.type != "cuda":
        return "fp32"
    return "bf16" if half.has_units(device) else "fp16"


def computing(name: str, device: torch.device) -> Any:
    """The context for forward passes: matrices in half precision, what is delicate (scans, norms, losses) in fp32."""
    return torch.autocast(device.type, _HALF.get(name, torch.bfloat16), enabled=name in _HALF)


def scaler(name: str, device: torch.device) -> torch.amp.GradScaler:
    """What keeps the gradients of fp16 above its smallest number; for the others it does nothing."""
    return torch.amp.GradScaler(device.type, enabled=name == "fp16")
