"""What a lesson of pretraining is about: pieces of pictures at several scales, in other colours, at times overlaid."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model import config as configs
from model.data import augment


@dataclasses.dataclass(frozen=True)
class Group:
    """Pictures, uint8 (N, H, W, 3), of which a share of every batch is taken."""

    images_NHWC: NDArray[np.uint8]
    share: float


def crops(
    groups: Sequence[Group],
    config: configs.PretrainConfig,
    *,
    size: int,
    device: torch.device,
    generator: torch.Generator,
) -> Tensor:
    """(B, 3, size, size) in [0, 1]: `crops` pieces of each of B / crops pictures, the n-th at the n-th range of scales."""
    pictures = _pictures(groups, config.batch // config.crops, generator)
    edges = np.geomspace(config.crop, 1.0, config.crops + 1).tolist()
    strengths = [_piece(least, most) for least, most in itertools.pairwise(edges)]
    by_size: dict[tuple[int, ...], list[int]] = {}
    for at, picture in enumerate(pictures):
        by_size.setdefault(picture.shape, []).append(at)
    crops_BCHW = torch.empty(config.batch, 3, size, size, device=device)
    for places in by_size.values():  # groups may hold pictures of different sizes
        images_BHWC = torch.from_numpy(np.stack([pictures[at] for at in places])).to(device)
        for part, strength in enumerate(strengths):
            rows = [part * len(pictures) + at for at in places]
            crops_BCHW[rows] = augment.cut(images_BHWC, strength, size=size, generator=generator)
    crops_BCHW = augment.tint(crops_BCHW, _piece(1.0, 1.0), generator=generator)
    if torch.rand(1, generator=generator).item() < config.mix:
        crops_BCHW = crops_BCHW.lerp(crops_BCHW.roll(1, 0), 0.5 * torch.rand(1, generator=generator).item())
    return crops_BCHW


def _pictures(groups: Sequence[Group], count: int, generator: torch.Generator) -> list[NDArray[np.uint8]]:
    """`count` pictures, each from a group chosen by its share."""
    shares = torch.tensor([group.share for group in groups], dtype=torch.float64)
    chosen = torch.multinomial(shares, count, replacement=True, generator=generator).tolist()
    places = torch.rand(count, generator=generator, dtype=torch.float64).tolist()
    held = [groups[g].images_NHWC for g in chosen]
    return [images[int(place * len(images))] for images, place in zip(held, places, strict=True)]


def _piece(least: float, most: float) -> augment.Strength:
    """A crop of that range of sides, aspect 3/4 to 4/3, with strong changes of colour."""
    return augment.Strength(
        crop=least, widest=most, stretch=4 / 3, rotate=20.0, shear=5.0, brightness=0.4, contrast=0.4, saturation=0.5,
        hue=25.0, grey=0.1, blur=0.15,
    )  # fmt: skip
