"""ResNet-18 and ResNet-50 without their classifier: the structure, names and shapes of torchvision's published weights.

He, Zhang, Ren, Sun, "Deep residual learning for image recognition", arXiv 1512.03385; as in torchvision, a bottleneck
halves the grid in its 3x3 convolution.
"""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model import errors, noise
from model.network import stages


@dataclasses.dataclass(frozen=True)
class Variant:
    """depths: blocks per stage; expansion: channels that a block gives over those it computes with (1: a basic block)."""

    depths: tuple[int, int, int, int]
    expansion: int


VARIANTS = {"resnet18": Variant((2, 2, 2, 2), 1), "resnet50": Variant((3, 4, 6, 3), 4)}
WIDTHS = (64, 128, 256, 512)
CLASSIFIER = ("fc.weight", "fc.bias")


def build(name: str, seed: int = 0) -> ResNet:
    """A variant by name with fresh weights from this seed; the global random state is left as it was."""
    if name not in VARIANTS:
        raise errors.UnknownName("ResNet variant", name, VARIANTS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ResNet(VARIANTS[name])


class ResNet(nn.Module):
    """`features` gives the map after the last block, an input's side over 32."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.variant = variant
        *self.stage_dims, self.dim = (width * variant.expansion for width in WIDTHS)
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        given = WIDTHS[0]
        for index, width in enumerate(WIDTHS):
            blocks = [Block(given, width, variant.expansion, 1 if index == 0 else 2)]
            given = width * variant.expansion
            blocks += [Block(given, width, variant.expansion, 1) for _ in range(variant.depths[index] - 1)]
            self.add_module(f"layer{index + 1}", nn.Sequential(*blocks))
        stages.init_convolutions(self)

    def features(
        self, x_BCHW: Tensor, generator: noise.Source | None = None, after_stage: stages.After | None = None
    ) -> Tensor:
        """(B, H, W, D). Nothing here is random: the generator is not used. after_stage: as stages.py says."""
        x = F.relu(self.bn1(self.conv1(x_BCHW.contiguous(memory_format=torch.channels_last))))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        for index in range(3):
            x = stages.passed(after_stage, index, getattr(self, f"layer{index + 1}")(x))
        return self.layer4(x).permute(0, 2, 3, 1)


class Block(nn.Module):
    """relu(x + convolutions of x): two of 3x3, or with an expansion 1x1, 3x3, 1x1; each with a batch norm."""

    def __init__(self, given: int, width: int, expansion: int, stride: int) -> None:
        super().__init__()
        basic = expansion == 1
        kernels, strides = ((3, 3), (stride, 1)) if basic else ((1, 3, 1), (1, stride, 1))
        widths = (given, *(width for _ in kernels[1:]), width * expansion)
        self.count = len(kernels)
        for index, (kernel, step) in enumerate(zip(kernels, strides, strict=True)):
            padding, name = kernel // 2, index + 1
            convolution = nn.Conv2d(widths[index], widths[name], kernel, stride=step, padding=padding, bias=False)
            self.add_module(f"conv{name}", convolution)
            self.add_module(f"bn{name}", nn.BatchNorm2d(widths[name]))
        if stride > 1 or given != widths[-1]:
            shortcut = nn.Conv2d(given, widths[-1], 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(widths[-1]))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for name in range(1, self.count + 1):
            y = getattr(self, f"bn{name}")(getattr(self, f"conv{name}")(y))
            y = F.relu(y) if name < self.count else y
        return F.relu(y + (self.downsample(x) if hasattr(self, "downsample") else x))
