"""Pretrained weights of our own variants: where their files lie, what stands in them, loading them.

Imports torch only to load: what a file says of itself is read by processes that have no torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors

from model import errors

if TYPE_CHECKING:
    from torch import nn

    from model import config as configs

FOLDER = Path(__file__).resolve().parents[1] / "bundled"
FORMAT = "raum-backbone-1"


def bundled(variant: str) -> Path:
    """Where the program's own weights of a variant lie, if there are any."""
    return FOLDER / f"{variant}.safetensors"


def user_cache() -> Path:
    """The folder of weights that all workspaces of a person share: RAUM_CACHE, or raum/ in the system's own place."""
    if os.environ.get("RAUM_CACHE"):
        return Path(os.environ["RAUM_CACHE"]).expanduser().absolute()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "raum" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "raum"
    shared = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(shared) if os.path.isabs(shared) else Path.home() / ".cache") / "raum"


def find(variant: str, folders: Iterable[Path] = ()) -> Path | None:
    """The file that a variant starts from: in one of `folders`, else in the person's cache, else in the program."""
    places = [folder / f"{variant}.safetensors" for folder in (*folders, user_cache())]
    return next((path for path in [*places, bundled(variant)] if path.is_file()), None)


def start(config: configs.NetworkConfig) -> Path | None:
    """The file that such a network starts from; None where its weights are its seed's own (or an `hf:` model's)."""
    if not config.pretrained:
        return None
    return Path(config.weights) if config.weights else find(config.backbone)


def mark(config: configs.NetworkConfig) -> str:
    """A short name of the weights that such a network starts from; "" where they are its seed's own."""
    path = start(config)
    if path is None:
        return ""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()[:8]


def describe(path: str | Path) -> dict[str, Any]:
    """The header: variant, image_size, mean, std, and how and from what it was made. Raises BadCheckpoint by name."""
    try:
        with safetensors.safe_open(str(path), framework="numpy") as file:
            described: Any = json.loads((file.metadata() or {}).get("raum", "{}"))
    except (OSError, ValueError, RecursionError, safetensors.SafetensorError) as problem:
        raise errors.BadCheckpoint(f"cannot read the backbone {path}: {problem}") from problem
    found = described.get("format") if isinstance(described, dict) else None
    if found != FORMAT:
        raise errors.BadCheckpoint(
            f"{path} is no backbone of this program (its format is {found!r}, not {FORMAT!r}); "
            "make one with launch.py pretrain, or take one over with launch.py weights import"
        )
    return dict(described)


def pixels(path: str | Path, variant: str) -> dict[str, Any]:
    """What a file says of the pixels that its weights know, image_size, mean, std, and of their pooling.

    Raises BadCheckpoint, WrongVariant."""
    from model import config as configs

    described = describe(path)
    if described.get("variant") != variant:
        raise errors.WrongVariant(f"{path} holds {described.get('variant')}, not {variant}")
    size, numbers = described.get("image_size"), {name: described.get(name) for name in ("mean", "std")}
    sound = isinstance(size, int) and 1 <= size <= 4096 and all(map(_three_numbers, numbers.values()))
    if not sound:
        raise errors.BadCheckpoint(f"{path} does not say which pixels its weights know (size {size!r}, {numbers})")
    pooling = described.get("pooling", configs.MEAN)
    if pooling not in configs.POOLINGS:
        raise errors.BadCheckpoint(f"{path} wants the pooling {str(pooling)[:40]!r}, which this version does not know")
    numbers = {name: tuple(map(float, three)) for name, three in numbers.items()}
    return {"image_size": size, "pooling": pooling, **numbers}


def load(backbone: nn.Module, path: str | Path, config: configs.NetworkConfig) -> dict[str, Any]:
    """Fill `backbone` in place and return the header.

    Raises WrongVariant naming both, BadConfig where the config feeds other pixels than the weights know, BadCheckpoint.
    """
    import safetensors.torch

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


def _three_numbers(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(isinstance(each, (int, float)) for each in value)
