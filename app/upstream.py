"""Upstream's own VMamba (MzeroMiko/VMamba, its one-file form), run beside ours to compare; none of it is kept here.

Its file wants three packages that it does not need for a forward pass on a CPU; where they are missing, stand-ins with
the few names that it imports take their place for the time of the import.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import torch
from torch import nn

from app import errors

NAMES = {  # ours: upstream's
    "vmamba_tiny": "vmamba_tiny_s1l8",
    "vmamba_tiny_s2l5": "vmamba_tiny_s2l5",
    "vmamba_small": "vmamba_small_s2l15",
    "vmamba_small_s1l20": "vmamba_small_s1l20",
    "vmamba_base": "vmamba_base_s2l15",
    "vmamba_base_s1l20": "vmamba_base_s1l20",
}


def build(checkout: Path, backbone: str) -> nn.Module:
    """Upstream's network of that name with fresh weights. Raises BadRequest where the checkout is none."""
    if backbone not in NAMES:
        raise errors.BadRequest(f"upstream has no {backbone!r}; it has {', '.join(NAMES)}")
    file = checkout / "vmamba.py"
    if not file.is_file():
        raise errors.BadRequest(f"{file} does not exist; clone https://github.com/MzeroMiko/VMamba and give its folder")
    spec = importlib.util.spec_from_file_location("upstream_vmamba", file)
    if spec is None or spec.loader is None:
        raise errors.BadRequest(f"{file} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    added = _stand_ins()
    try:
        spec.loader.exec_module(module)
    finally:
        for name in added:
            del sys.modules[name]
    torch.manual_seed(1)
    net: nn.Module = getattr(module, NAMES[backbone])()
    return net


def _stand_ins() -> list[str]:
    """Put a module in the place of each package that is missing; returns their names."""

    def same(function: Any = None, *_: Any, **__: Any) -> Any:
        return function if callable(function) else same

    wanted: dict[str, dict[str, Any]] = {
        "triton": {"jit": same},
        "triton.language": {"constexpr": int, "tensor": object},
        "timm": {},
        "timm.models": {"register_model": same},
        "timm.models.layers": {"DropPath": _DropPath, "trunc_normal_": nn.init.trunc_normal_},
        "fvcore": {},
        "fvcore.nn": dict.fromkeys(("FlopCountAnalysis", "flop_count_str", "flop_count", "parameter_count")),
    }
    added = []
    missing = {root for root in ("triton", "timm", "fvcore") if importlib.util.find_spec(root) is None}
    for name, held in wanted.items():
        if name.split(".")[0] in missing:
            sys.modules[name] = types.ModuleType(name)
            added.append(name)
            for key, value in held.items():
                setattr(sys.modules[name], key, value)
            parent, _, own = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], own, sys.modules[name])
    return added


class _DropPath(nn.Module):
    """Does nothing: whole residual branches are dropped only in long training runs, which are not compared."""

    def __init__(self, drop_prob: float = 0.0) -> None:
        super().__init__()
        self.drop_prob = drop_prob

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x
