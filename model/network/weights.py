"""Reads official VMamba weights: released or single-file style, wrapped or bare; never unpickles arbitrary objects."""

from __future__ import annotations

import collections
import dataclasses
import pickle
import re
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from model import errors
from model.network import cross_scan, raum_net, vmamba

WRAPPERS = ("model", "model_ema", "state_dict")
PREFIXES = ("module.", "backbone.")
HEAD = ("classifier.head.weight", "classifier.head.bias")
# training scripts save their settings object beside the weights: it is read as the plain mapping that it is
SETTINGS_AS_PLAIN = (collections.OrderedDict, "yacs.config.CfgNode")
_PER_DIRECTION = {"op.x_proj.weight": "op.x_proj_weight", "op.dt_projs.weight": "op.dt_projs_weight"}
_LINEAR = re.compile(r"\.(in_proj|out_proj|fc1|fc2)\.weight$|^classifier\.head\.weight$")
_DETECTION_NORM = re.compile(r"^outnorm\d\.")


@dataclasses.dataclass(frozen=True)
class Report:
    """variant: its name; loaded: how many tensors were taken; dropped: those that the network has no place for."""

    variant: str
    loaded: int
    dropped: tuple[str, ...]


def load_official(net: vmamba.VMamba | raum_net.RaumNet, path: str | Path) -> Report:
    """Fill the backbone in place. A head for another number of classes, or of a RAUM-Net, keeps its own weights.

    Raises BadCheckpoint for a file that is none of VMamba's or is broken, WrongVariant naming both variants, NotFinite.
    """
    backbone = net.backbone if isinstance(net, raum_net.RaumNet) else net
    if not isinstance(backbone, vmamba.VMamba):
        raise errors.BadConfig(f"official VMamba weights do not fit a {type(backbone).__name__}")
    tensors = canonical(read(path), source=str(path))
    found, wanted = infer_variant(tensors, source=str(path)), vmamba.shape_of(backbone.variant)
    if found != wanted:
        raise errors.WrongVariant(
            f"{path} holds {_name(found)}, the network is {_name(wanted)}; build the network that fits the file"
        )
    target = backbone.state_dict()
    dropped = [name for name in tensors if _DETECTION_NORM.match(name)]
    dropped += [name for name in HEAD if name in tensors and not _same_shape(name, tensors, target)]
    kept = {name: tensor for name, tensor in tensors.items() if name not in dropped}
    _check(kept, target, source=str(path))
    backbone.load_state_dict(kept, strict=False)
    return Report(_name(found), len(kept), tuple(sorted(dropped)))


def variant_of(path: str | Path) -> str:
    """The name of the variant that a file holds. Raises BadCheckpoint, also for one that has no name here."""
    found = infer_variant(canonical(read(path), source=str(path)), source=str(path))
    name = _name(found)
    if name not in vmamba.VARIANTS:
        raise errors.BadCheckpoint(f"{path} holds {name}; known are {', '.join(vmamba.VARIANTS)}")
    return name


def read(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file or of a torch file, out of whatever wraps them, by their names as stored."""
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(str(path))
        with path.open("rb") as file:
            if not file.read(2).startswith((b"PK", b"\x80")):
                raise errors.BadCheckpoint(f"{path} is no file of weights: neither safetensors nor what torch saves")
        with torch.serialization.safe_globals([SETTINGS_AS_PLAIN]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as problem:
        raise errors.BadCheckpoint(
            f"{path} holds objects that are not tensors and could run code when loaded, so it is not read; "
            "where you trust it, save only its 'model' entry as safetensors and load that"
        ) from problem
    except (OSError, RuntimeError, EOFError, safetensors.SafetensorError) as problem:
        raise errors.BadCheckpoint(f"cannot read the weights {path}: {problem}") from problem
    return _unwrap(content, str(path))


def canonical(stored: dict[str, Tensor], *, source: str) -> dict[str, Tensor]:
    """Names and shapes of the released style out of every style that upstream has used for this family."""
    tensors = {}
    for name, tensor in stored.items():
        for prefix in PREFIXES:
            name = name.removeprefix(prefix)
        if _LINEAR.search(name) and tensor.dim() == 4 and tensor.shape[2:] == (1, 1):
            tensor = tensor.flatten(1)  # a linear written as a 1x1 convolution
        for single_file, released in _PER_DIRECTION.items():
            if name.endswith(single_file):
                name = name.removesuffix(single_file) + released
                tensor = tensor.unflatten(0, (cross_scan.DIRECTIONS, -1))
        tensors[name] = tensor
    if "patch_embed.5.weight" not in tensors or "layers.0.blocks.0.op.x_proj_weight" not in tensors:
        old = any("self_attention." in name or name.startswith("patch_embed.proj") for name in tensors)
        which = "is of VMamba's first family (v0)" if old else "is not a VMamba"
        raise errors.BadCheckpoint(f"{source} {which}; files named vssm_*_0229/0230 or vssm1_*_0229s/0230s fit")
    return tensors


def infer_variant(tensors: dict[str, Tensor], *, source: str) -> vmamba.Shape:
    """What the shapes say: dims, depths and ssm_ratio. Raises BadCheckpoint where a stage is missing."""
    depths, dims = [], []
    for stage in range(4):
        blocks = {int(m[1]) for name in tensors if (m := re.match(rf"layers\.{stage}\.blocks\.(\d+)\.", name))}
        norm = tensors.get(f"layers.{stage}.blocks.0.norm.weight")
        if norm is None:
            raise errors.BadCheckpoint(f"{source} has no layers.{stage}.blocks.0.norm.weight; the file is incomplete")
        depths.append(len(blocks))
        dims.append(len(norm))
    inner = tensors["layers.0.blocks.0.op.x_proj_weight"].shape[2]
    return vmamba.Shape(tuple(dims), tuple(depths), inner / dims[0])


def _unwrap(content: Any, source: str) -> dict[str, Tensor]:
    for key in WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    tensors = {k: v for k, v in content.items() if isinstance(v, Tensor)} if isinstance(content, dict) else {}
    if not tensors:
        raise errors.BadCheckpoint(f"{source} holds no tensors under {', '.join(WRAPPERS)} or at its top")
    return tensors


def _check(tensors: dict[str, Tensor], target: dict[str, Tensor], *, source: str) -> None:
    problems = [f"{name} is missing" for name in target if name not in tensors and name not in HEAD]
    problems += [f"{name} is unknown" for name in tensors if name not in target]
    problems += [
        f"{name} is {tuple(tensor.shape)}, not {tuple(target[name].shape)}"
        for name, tensor in tensors.items()
        if name in target and not _same_shape(name, tensors, target)
    ]
    if problems:
        more = f" (and {len(problems) - 5} more)" if len(problems) > 5 else ""
        raise errors.BadCheckpoint(f"{source} does not fit: {'; '.join(problems[:5])}{more}")
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise errors.NotFinite(f"the weight {name} of {source} holds NaN or infinity")


def _same_shape(name: str, tensors: dict[str, Tensor], target: dict[str, Tensor]) -> bool:
    return name in target and tensors[name].shape == target[name].shape


def _name(shape: vmamba.Shape) -> str:
    """The variant's name, or its numbers where it has none."""
    for name, variant in vmamba.VARIANTS.items():
        if vmamba.shape_of(variant) == shape:
            return name
    return f"a VMamba with dims {shape.dims}, depths {shape.depths} and ssm_ratio {shape.ssm_ratio:g}"
