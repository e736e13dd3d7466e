"""The file a round leaves: the network's weights (safetensors) and what they mean (JSON in its header)."""

from __future__ import annotations

import dataclasses
import json
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch

from model import config as configs
from model import errors
from model.network import raum_net

FORMAT = "raum-checkpoint-1"
MOST_PIXELS_A_SIDE = 4096


class Loaded(NamedTuple):
    """The network in eval mode on the CPU, the ids of its classes in the order of its logits, and the round's own facts."""

    net: raum_net.RaumNet
    class_ids: list[int]
    meta: dict[str, Any]


def save(path: str | Path, net: raum_net.RaumNet, *, class_ids: Sequence[int], meta: dict[str, Any]) -> None:
    """Write beside the target, flush to disk, rename: a reader finds the old file or the new one, never half of one.

    Raises BadInput where class_ids do not fit the head, NotFinite naming the first weight that is NaN or infinite.
    """
    if len(class_ids) != net.config.num_classes or len(set(class_ids)) != len(class_ids):
        raise errors.BadInput(
            f"{len(set(class_ids))} distinct class ids for a head of {net.config.num_classes} classes"
        )
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    _check_finite(tensors, "the network")
    described = {
        "format": FORMAT,
        "config": configs.to_dict(net.config),
        "backbone": raum_net.describe_backbone(net),
        "class_ids": [int(value) for value in class_ids],
        "meta": meta,
    }
    header = {"raum": json.dumps(described, allow_nan=False)}
    write(Path(path), safetensors.torch.save(tensors, metadata=header))


def describe(path: str | Path) -> dict[str, Any]:
    """The header alone (config, backbone, class_ids, meta). Raises BadCheckpoint for a file that is none of ours."""
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
    except (OSError, safetensors.SafetensorError) as problem:
        raise errors.BadCheckpoint(f"cannot read the checkpoint {path}: {problem}") from problem
    try:
        described: dict[str, Any] = json.loads(header.get("raum", "{}"))
    except (ValueError, RecursionError) as problem:
        raise errors.BadCheckpoint(
            f"the header of {path} is damaged: {problem}; use an earlier checkpoint"
        ) from problem
    found = described.get("format") if isinstance(described, dict) else None
    if found != FORMAT:
        raise errors.BadCheckpoint(
            f"{path} is not a checkpoint of this program (its format is {found!r}, not {FORMAT!r}); use one that it saved"
        )
    return described


def load(path: str | Path) -> Loaded:
    """Rebuild the network. Raises BadCheckpoint naming every missing, unknown or misshapen weight, NotFinite for NaN."""
    described = describe(path)
    try:
        tensors = safetensors.torch.load_file(str(path))
    except (OSError, safetensors.SafetensorError) as problem:
        raise errors.BadCheckpoint(f"cannot read the checkpoint {path}: {problem}") from problem
    try:
        config, net = _built(described)
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError, TypeError, ValueError) as problem:
        raise errors.BadCheckpoint(f"{path} describes no network: {problem}; use an earlier checkpoint") from problem
    net.config = config
    _check_shapes(net.state_dict(), tensors, str(path))
    _check_finite(tensors, str(path))
    net.load_state_dict(tensors)
    return Loaded(net.eval(), described["class_ids"], described["meta"])


def _built(described: dict[str, Any]) -> tuple[configs.NetworkConfig, raum_net.RaumNet]:
    """The network that the header describes, with fresh weights; what it says is believed as little as the rest."""
    config, settings, ids = configs.from_dict(described["config"]), described["backbone"], described["class_ids"]
    if not isinstance(ids, list) or not len(set(ids)) == len(ids) == config.num_classes:
        raise ValueError(f"its {config.num_classes} classes have the ids {str(ids)[:60]}")
    if not isinstance(config.image_size, int) or not 1 <= config.image_size <= MOST_PIXELS_A_SIDE:
        raise ValueError(f"its images are {str(config.image_size)[:60]} pixels wide")
    if config.backbone.startswith(configs.HF_PREFIX) and not isinstance(settings, dict):
        raise ValueError("its backbone's settings are missing")  # they are never fetched by the name it gives
    bare = dataclasses.replace(config, pretrained=False)  # the file holds every weight: none comes from elsewhere
    return config, raum_net.build(bare, backbone_settings=settings)


def _check_shapes(wanted: dict[str, torch.Tensor], found: dict[str, torch.Tensor], source: str) -> None:
    problems = [f"{name} is missing" for name in wanted if name not in found]
    problems += [f"{name} is not part of the network" for name in found if name not in wanted]
    problems += [
        f"{name} is {tuple(found[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in found and found[name].shape != tensor.shape
    ]
    problems += [
        f"{name} is {found[name].dtype}, not {tensor.dtype}"
        for name, tensor in wanted.items()
        if name in found and found[name].dtype != tensor.dtype
    ]
    if problems:
        more = f" (and {len(problems) - 5} more)" if len(problems) > 5 else ""
        raise errors.BadCheckpoint(f"{source} does not fit its own description: {'; '.join(problems[:5])}{more}")


def _check_finite(tensors: dict[str, torch.Tensor], source: str) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise errors.NotFinite(f"the weight {name} of {source} holds NaN or infinity; use an earlier checkpoint")


def write(path: Path, content: bytes) -> None:
    """The file whole or not at all: beside the target, flushed to disk, renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if os.name == "posix":
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """A rename is durable only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
