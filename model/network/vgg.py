"""VGG-16 and VGG-19 without their classifier: the structure, names and shapes of torchvision's published weights.

Simonyan, Zisserman, "Very deep convolutional networks for large-scale image recognition", arXiv 1409.1556.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model import errors, noise
from model.network import stages

VARIANTS = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}  # convolutions in each of the five stages
WIDTHS = (64, 128, 256, 512, 512)
CLASSIFIER = tuple(f"classifier.{index}.{part}" for index in (0, 3, 6) for part in ("weight", "bias"))


def build(name: str, seed: int = 0) -> VGG:
    """A variant by name with fresh weights from this seed; the global random state is left as it was."""
    if name not in VARIANTS:
        raise errors.UnknownName("VGG variant", name, VARIANTS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VGG(VARIANTS[name])


class VGG(nn.Module):
    """`features` gives the map before the last pool, an input's side over 16: what CAM and RA-CNN pool (their conv5).

    The last pool has no weights and would only make the map coarser.
    """

    def __init__(self, depths: tuple[int, ...]) -> None:
        super().__init__()
        *self.stage_dims, self.dim = WIDTHS
        layers: list[nn.Module] = []
        given = 3
        for depth, width in zip(depths, WIDTHS, strict=True):
            for _ in range(depth):
                layers += [nn.Conv2d(given, width, 3, padding=1), nn.ReLU(inplace=True)]
                given = width
            layers.append(nn.MaxPool2d(2))
        self.features = Layers(*layers[:-1])
        stages.init_convolutions(self)


class Layers(nn.Sequential):
    """All layers; a module of its own only for the name that torchvision's weights have."""

    def forward(
        self, x_BCHW: Tensor, generator: noise.Source | None = None, after_stage: stages.After | None = None
    ) -> Tensor:
        """(B, H, W, D). Nothing here is random: the generator is not used. after_stage: as stages.py says."""
        x, stage = x_BCHW.contiguous(memory_format=torch.channels_last), 0
        for layer in self:
            if isinstance(layer, nn.MaxPool2d):
                x, stage = stages.passed(after_stage, stage, x), stage + 1
            x = layer(x)
        return x.permute(0, 2, 3, 1)
