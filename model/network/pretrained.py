"""Pretrained weights of our own variants: where the program keeps them, what stands in their file, loading them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import nn

from model import config as configs
from model import errors

FOLDER = Path(__file__).resolve().parents[1] / "bundled"
FORMAT = "raum-backbone-1"


def bundled(variant: str) -> Path:
    """Where the program's own weights of a variant lie, if there are any."""
    return FOLDER / f"{variant}.safetensors"


def mark(config: configs.NetworkConfig) -> str:
    """A short name of the weights that such a network starts from; "" where they are its seed's own."""
    path = bundled(config.backbone)
    if not config.pretrained or not path.is_file():
        return ""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]


def describe(path: str | Path) -> dict[str, Any]:
    """The header: variant, image_size, mean, std, and how and from what it was made. Raises BadCheckpoint by name."""
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            described: dict[str, Any] = json.loads((file.metadata() or {}).get("raum", "{}"))
    except (OSError, ValueError, safetensors.SafetensorError) as problem:
        raise errors.BadCheckpoint(f"cannot read the backbone {path}: {problem}") from problem
    if described.get("format") != FORMAT:
        raise errors.BadCheckpoint(
            f"{path} is no backbone of this program (its format is {described.get('format')!r}, not {FORMAT!r}); "
            "make one with launch.py pretrain"
        )
    return described


def load(backbone: nn.Module, path: str | Path, config: configs.NetworkConfig) -> dict[str, Any]:
    """Fill `backbone` in place and return the header.

    Raises WrongVariant naming both, BadConfig where the config feeds other pixels than the weights know, BadCheckpoint.
    """
    described = describe(path)
    if described["variant"] != config.backbone:
        raise errors.WrongVariant(f"{path} holds {described['variant']}, the network is {config.backbone}")
    for name in ("mean", "std"):
        if list(described[name]) != list(getattr(config, name)):
            wanted = list(getattr(config, name))
            raise errors.BadConfig(f"{path} was trained on pixels with {name} {described[name]}, not {wanted}")
    try:
        tensors = safetensors.torch.load_file(str(path))
        backbone.load_state_dict(tensors)
    except (OSError, RuntimeError, safetensors.SafetensorError) as problem:
        raise errors.BadCheckpoint(f"cannot load the backbone {path}: {problem}") from problem
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise errors.NotFinite(f"the weight {name} of {path} holds NaN or infinity; use another file")
    return described
