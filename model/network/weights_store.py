"""Takes a file of a backbone's weights over into a folder: checked whole, under the variant's name, in this program's form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
from torch import nn

from model import checkpoint, errors
from model import config as configs
from model.network import backbones, pretrained, vmamba, weights, weights_torchvision

LICENCE = "MIT, the VMamba authors (github.com/MzeroMiko/VMamba); trained on ImageNet-1K"


class Stored(NamedTuple):
    """What a file held, and where it lies now."""

    variant: str
    path: Path


def take(source: Path, folder: Path, *, wanted: str | None = None, origin: str) -> Stored:
    """Read a file (VMamba's as released in any style, torchvision's, or a backbone that `pretrain` wrote), check every
    weight, and write it into `folder`. `origin` is told in the new file.

    Raises BadCheckpoint for a file that is none, WrongVariant where it holds another one than `wanted`, NotFinite.
    """
    variant, described, backbone = _ours(source) if _is_ours(source) else _official(source, origin)
    if wanted is not None and variant != wanted:
        raise errors.WrongVariant(f"{source} holds {variant}, not {wanted}")
    tensors = {name: tensor.contiguous() for name, tensor in backbone.state_dict().items()}
    path = folder / f"{variant}.safetensors"
    header = {"raum": json.dumps(described, allow_nan=False)}
    checkpoint.write(path, safetensors.torch.save(tensors, metadata=header))
    return Stored(variant, path)


def _is_ours(source: Path) -> bool:
    if source.suffix != ".safetensors":
        return False
    try:
        pretrained.describe(source)
    except errors.BadCheckpoint:
        return False  # official weights as safetensors; reading them tells what else is wrong
    return True


def _ours(source: Path) -> tuple[str, dict[str, Any], nn.Module]:
    described = pretrained.describe(source)
    variant = str(described.get("variant"))
    backbone = backbones.build(variant)
    network = configs.NetworkConfig(variant, num_classes=1, **pretrained.pixels(source, variant))
    pretrained.load(backbone, source, network)
    return variant, described, backbone


def _official(source: Path, origin: str) -> tuple[str, dict[str, Any], nn.Module]:
    tensors = weights_torchvision.read(source)
    if weights_torchvision.are(tensors):
        licence = weights_torchvision.LICENCE
        variant, backbone = weights_torchvision.load(tensors, source=str(source))
    else:
        licence, variant = LICENCE, weights.variant_of(source)
        backbone = vmamba.build(variant, num_classes=0)
        weights.load_official(backbone, source)
    described = {
        "format": pretrained.FORMAT,
        "variant": variant,
        "image_size": configs.NATIVE_IMAGE_SIZES[variant],
        "mean": configs.IMAGENET_MEAN,
        "std": configs.IMAGENET_STD,
        "origin": origin,
        "licence": licence,
    }
    return variant, described, backbone
