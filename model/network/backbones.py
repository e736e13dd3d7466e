"""Our own backbones by name; they have one face: `dim`, `stage_dims`, `features(x_BCHW, generator, after_stage)`."""

from __future__ import annotations

from torch import nn

from model import errors
from model.network import resnet, vgg, vmamba


def build(name: str, seed: int = 0) -> nn.Module:
    """A backbone without a classifier, with fresh weights from this seed."""
    if name in vmamba.VARIANTS:
        return vmamba.build(name, num_classes=0, seed=seed)
    for family in (resnet, vgg):
        if name in family.VARIANTS:
            return family.build(name, seed)
    raise errors.UnknownName("backbone", name, [*vmamba.VARIANTS, *resnet.VARIANTS, *vgg.VARIANTS])
