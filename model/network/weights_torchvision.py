"""Reads weights of ResNet and VGG under torchvision's names, from a torch file or as safetensors (timm's have them too)."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from model import errors
from model.network import backbones, resnet, vgg, weights

NAMES = (*resnet.VARIANTS, *vgg.VARIANTS)
LICENCE = "BSD-3-Clause, the torchvision authors (github.com/pytorch/vision); trained on ImageNet-1K"
_COUNTER = "num_batches_tracked"  # of a batch norm; files older than 2018 have none, and nothing needs it


def are(tensors: dict[str, Tensor]) -> bool:
    """Whether these are weights of such a network, going by the name of the first convolution."""
    return any(name in tensors for name in ("layer1.0.conv1.weight", "features.0.weight"))


def load(tensors: dict[str, Tensor], *, source: str) -> tuple[str, nn.Module]:
    """The variant's name, found out by names and shapes, and its backbone; the classifier is left out.

    Raises BadCheckpoint for a network that is none of ours, NotFinite.
    """
    classifiers = (*resnet.CLASSIFIER, *vgg.CLASSIFIER)
    kept = {name: tensor for name, tensor in tensors.items() if name not in classifiers}
    for variant in resnet.VARIANTS if "conv1.weight" in kept else vgg.VARIANTS:
        backbone = backbones.build(variant)
        if _shapes(backbone.state_dict()) == _shapes(kept):
            break
    else:
        raise errors.BadCheckpoint(f"{source} holds a network with torchvision's names, but none of {', '.join(NAMES)}")
    for name, tensor in kept.items():
        if not tensor.isfinite().all():
            raise errors.NotFinite(f"the weight {name} of {source} holds NaN or infinity")
    backbone.load_state_dict(kept, strict=False)
    return variant, backbone


def read(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a file; a training script's "module." is taken off. Raises BadCheckpoint."""
    return {name.removeprefix("module."): tensor for name, tensor in weights.read(path).items()}


def _shapes(tensors: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items() if not name.endswith(_COUNTER)}
