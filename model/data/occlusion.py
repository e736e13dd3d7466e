"""Occluders that hide an exact share of an image: circular sectors, as RAUM-Net's figure draws them, and boxes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from model import errors

SHAPES = ("sector", "box")
GREY = 128  # what covers a test image: neither a network's mean nor any data's


def masks(
    count: int,
    *,
    size: int,
    fractions_B: torch.Tensor,
    generator: torch.Generator,
    shapes: tuple[str, ...] = SHAPES,
    device: torch.device | str = "cpu",
) -> torch.Tensor:
    """Draw `count` masks (B, size, size), true where an image is hidden; each shape of `shapes` equally often.

    `fractions_B` is the share of the area to hide in [0, 1]. Every shape is the level set of a score that grows from a
    random place, so the share is met to the pixel by cutting the score at its order statistic: no search, no
    rejection. The generator is one of the CPU, `device` where the masks are made and stay.
    """
    if count == 0:
        return torch.zeros(0, size, size, dtype=torch.bool, device=device)
    across_P, down_P = _grid(size, device)
    centre_B2 = (torch.rand(count, 2, generator=generator) * 2 - 1).to(device)
    x_BP, y_BP = across_P - centre_B2[:, :1], down_P - centre_B2[:, 1:]
    scores_SBP = torch.stack([_SCORES[name](x_BP, y_BP, generator) for name in shapes])
    chosen_B = torch.randint(len(shapes), (count,), generator=generator)
    score_BP = scores_SBP[chosen_B.to(device), torch.arange(count, device=device)]
    return _cut(score_BP, fractions_B).view(count, size, size)


def cover(
    images_NHWC: NDArray[np.uint8], rate: float, *, ids: Sequence[str], shapes: tuple[str, ...] = SHAPES
) -> NDArray[np.uint8]:
    """The square images, each with a grey shape over the share `rate` of its area.

    Shape and place come from the image's id alone: the same image is covered in the same way in every set, order, run
    and method, and a larger rate covers what a smaller one did. Raises BadInput for a rate that is no share.
    """
    if not 0 <= rate <= 1 or len(ids) != len(images_NHWC):
        raise errors.BadInput(
            f"a share of {rate} over {len(images_NHWC)} images with {len(ids)} ids; shares are 0 to 1"
        )
    covered, fraction_B = images_NHWC.copy(), torch.tensor([rate])
    for image_HWC, name in zip(covered if rate > 0 else (), ids, strict=False):
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "little")
        generator = torch.Generator().manual_seed(seed)
        hide(image_HWC, fraction_B, GREY, generator=generator, shapes=shapes)
    return covered


def hide(
    image_HWC: NDArray[np.uint8],
    fraction_B: torch.Tensor,
    colour: NDArray[np.uint8] | int,
    *,
    generator: torch.Generator,
    shapes: tuple[str, ...] = SHAPES,
) -> None:
    """Paint one shape over that share of the image, in place; exact where the image is square."""
    high, wide = image_HWC.shape[:2]
    mask_BHW = masks(1, size=max(high, wide), fractions_B=fraction_B, generator=generator, shapes=shapes)
    image_HWC[mask_BHW[0, :high, :wide].numpy()] = colour


def _grid(size: int, device: torch.device | str) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixel centres in [-1, 1] as two vectors of size*size: across and down."""
    line = (torch.arange(size, device=device) + 0.5) / size * 2 - 1
    return line.repeat(size), line.repeat_interleave(size)


def _sector(x_BP: torch.Tensor, y_BP: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Score whose level sets are wedges about the apex: they grow in radius and, past what fits, in angle."""
    draws_B2 = torch.rand(len(x_BP), 2, generator=generator).to(x_BP.device)
    heading_B1 = draws_B2[:, :1] * 2 * math.pi
    half_angle_B1 = math.pi * (0.15 + 0.35 * draws_B2[:, 1:])
    along_BP = x_BP * torch.cos(heading_B1) + y_BP * torch.sin(heading_B1)
    beside_BP = y_BP * torch.cos(heading_B1) - x_BP * torch.sin(heading_B1)
    turn_BP = torch.atan2(beside_BP.abs(), along_BP)
    return torch.maximum(turn_BP / half_angle_B1, torch.hypot(x_BP, y_BP))


def _box(x_BP: torch.Tensor, y_BP: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Score whose level sets are rectangles about the centre, sides up to 1 : 2; a sliver of x + y breaks ties."""
    stretch_B1 = torch.exp((torch.rand(len(x_BP), 1, generator=generator) - 0.5) * math.log(4.0) / 2).to(x_BP.device)
    sliver_BP = (x_BP + 1.7 * y_BP) * 1e-4
    return torch.maximum(x_BP.abs() * stretch_B1, y_BP.abs() / stretch_B1) + sliver_BP


def _cut(score_BP: torch.Tensor, fractions_B: torch.Tensor) -> torch.Tensor:
    """True for each row's lowest scores, so many as the fraction asks (rounded to whole pixels)."""
    pixels = score_BP.shape[1]
    wanted_B = (fractions_B.clamp(0, 1) * pixels).round().long()
    last_B = (wanted_B - 1).clamp(min=0)
    if score_BP.device.type == "cpu":
        rows = zip(score_BP.numpy(), last_B.tolist(), strict=True)
        limits_B = torch.tensor([np.partition(row_P, last)[last] for row_P, last in rows])  # a tenth of kthvalue's time
    else:  # one call for all rows
        limits_B = score_BP.sort(dim=1).values.gather(1, last_B.to(score_BP.device)[:, None])[:, 0]
    return (score_BP <= limits_B[:, None]) & (wanted_B > 0).to(score_BP.device)[:, None]


_SCORES = {"sector": _sector, "box": _box}
