"""Batched image augmentation in plain torch: uint8 in, one normalised view of each image out."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from model import noise
from model.data import occlusion

MIDDLE = 0.75  # of a picture's side
_LUMA = (0.299, 0.587, 0.114)


@dataclasses.dataclass(frozen=True)
class Strength:
    """How far a view may stray from the picture; every share is a probability, every angle in degrees.

    `crop` and `widest` are the least and the largest side of the crop as a share of the picture's, `stretch` the largest
    ratio of its sides to a square's, `rotate`
    and `shear` the largest turns, `flip` how often left and right change places; `brightness`, `contrast`, `saturation`
    are largest relative changes, `hue` the largest turn of the colour circle, `grey` and `blur` how often those happen;
    `occlude` is how often something is hidden, `occlusion` the share of the area (least, most).
    """

    crop: float = 1.0
    widest: float = 1.0
    stretch: float = 1.0
    rotate: float = 0.0
    shear: float = 0.0
    flip: float = 0.5
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    grey: float = 0.0
    blur: float = 0.0
    occlude: float = 0.0
    occlusion: tuple[float, float] = (0.1, 0.3)


WEAK = Strength(crop=0.85, rotate=8.0)
LABELLED = Strength(crop=0.8, stretch=1.15, rotate=15.0, brightness=0.3, contrast=0.3, saturation=0.3, hue=15.0)
STRONG = Strength(
    crop=0.7, stretch=1.2, rotate=20.0, shear=5.0, brightness=0.4, contrast=0.4, saturation=0.5, hue=30.0, grey=0.1,
    blur=0.2, occlude=0.5,
)  # fmt: skip


def view(
    images_BHWC: torch.Tensor,
    strength: Strength,
    *,
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    generator: noise.Source,
    theta_B23: torch.Tensor | None = None,
) -> torch.Tensor:
    """One random view of each uint8 image, (B, 3, size, size) float32, normalised; what is hidden becomes 0, the mean.

    All randomness comes from `generator` (on the CPU), so a seed gives the same views on every device, and Rows of a batch
    (model/noise.py) the views that they have in the whole one. `theta_B23` is the
    `geometry` where the caller has drawn it, to know what lies where.
    """
    views_BCHW = cut(images_BHWC, strength, size=size, generator=generator, theta_B23=theta_B23)
    views_BCHW = tint(views_BCHW, strength, generator=generator)
    return _occlude(_normalise(views_BCHW, mean, std), strength, generator)


def cut(
    images_BHWC: torch.Tensor,
    strength: Strength,
    *,
    size: int,
    generator: noise.Source,
    theta_B23: torch.Tensor | None = None,
) -> torch.Tensor:
    """One random piece of each uint8 image, turned and mirrored: (B, 3, size, size) float32 in [0, 1], colours kept."""
    pixels_BCHW = _as_float(images_BHWC)
    count = len(pixels_BCHW)
    theta_B23 = geometry(count, strength, generator) if theta_B23 is None else theta_B23
    grid = F.affine_grid(theta_B23.to(pixels_BCHW.device), [count, 3, size, size], align_corners=False)
    return F.grid_sample(pixels_BCHW, grid, padding_mode="reflection", align_corners=False)


def boxes(boxes_B4: torch.Tensor, theta_B23: torch.Tensor, *, grid: tuple[int, int]) -> torch.Tensor:
    """Share of each of a view's grid cells that lies in a box of the picture, (B, h, w) in 0..1.

    Boxes are x, y, w, h in shares of the picture; a box of NaN, or one that the view leaves out, covers nothing.
    """
    height, width = grid
    fine = 4  # points a side of a cell
    points = F.affine_grid(theta_B23.float(), [len(theta_B23), 1, fine * height, fine * width], align_corners=False)
    places_BHW2 = (points + 1) / 2
    low_B112, size_B112 = boxes_B4[:, None, None, :2].float(), boxes_B4[:, None, None, 2:].float()
    inside_BHW = ((places_BHW2 >= low_B112) & (places_BHW2 <= low_B112 + size_B112)).all(dim=3)  # never, of NaN
    return F.avg_pool2d(inside_BHW.float()[:, None], fine)[:, 0]


def tint(views_BCHW: torch.Tensor, strength: Strength, *, generator: noise.Source) -> torch.Tensor:
    """Views in [0, 1] with other colours and some of them blurred; what is where stays. May change its input."""
    views_BCHW = _blur(views_BCHW, strength, generator)
    matrix_B33, contrast_B1 = _colour(len(views_BCHW), strength, generator)
    return _recolour(views_BCHW, matrix_B33.to(views_BCHW.device), contrast_B1.to(views_BCHW.device))


def shown(views_BCHW: torch.Tensor, *, size: int, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Views in [0, 1] as a network wants them: (B, 3, size, size), normalised; the input stays as it was."""
    if views_BCHW.shape[-1] == size and views_BCHW.shape[-2] == size:
        return _normalise(views_BCHW.clone(), mean, std)
    return _normalise(F.interpolate(views_BCHW, size=(size, size), mode="bilinear", antialias=True), mean, std)


def weak(images_BHWC: torch.Tensor, *, size: int, mean: Sequence[float], std: Sequence[float],
         generator: noise.Source) -> torch.Tensor:  # fmt: skip
    """The mild view a pseudo-label is read from: small shift and turn, mirrored or not."""
    return view(images_BHWC, WEAK, size=size, mean=mean, std=std, generator=generator)


def strong(images_BHWC: torch.Tensor, *, size: int, mean: Sequence[float], std: Sequence[float],
           generator: noise.Source) -> torch.Tensor:  # fmt: skip
    """The view that must agree with the pseudo-label: crop, turn, colour, blur and occlusion."""
    return view(images_BHWC, STRONG, size=size, mean=mean, std=std, generator=generator)


def center(images_BHWC: torch.Tensor, *, size: int, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """The plain view to predict from: the whole picture at `size`, normalised, nothing random."""
    return shown(_as_float(images_BHWC), size=size, mean=mean, std=std)


def middle(views_BCHW: torch.Tensor, *, size: int) -> torch.Tensor:
    """The middle of each view of size x size, MIDDLE of its sides, mirrored and as large as the whole."""
    side = round(size * MIDDLE)
    edge = (size - side) // 2
    part_BCHW = views_BCHW[:, :, edge : edge + side, edge : edge + side].flip(3)
    return F.interpolate(part_BCHW, size=(size, size), mode="bilinear", align_corners=False)


def _as_float(images_BHWC: torch.Tensor) -> torch.Tensor:
    """uint8 (B, H, W, 3) to float32 (B, 3, H, W) in [0, 1]."""
    return images_BHWC.permute(0, 3, 1, 2).contiguous().float().div_(255.0)


def _normalise(pixels_BCHW: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """(x - mean) / std per channel, in place."""
    centre = pixels_BCHW.new_tensor(mean).view(1, 3, 1, 1)
    return pixels_BCHW.sub_(centre).div_(pixels_BCHW.new_tensor(std).view(1, 3, 1, 1))


def _span(count: int, reach: float, generator: noise.Source) -> torch.Tensor:
    """`count` numbers uniform in [-reach, reach]."""
    return (noise.rand(count, source=generator) * 2 - 1) * reach


def _chance(count: int, share: float, generator: noise.Source) -> torch.Tensor:
    """`count` floats, 1 with probability `share`, else 0."""
    return (noise.rand(count, source=generator) < share).float()


def geometry(count: int, strength: Strength, generator: noise.Source) -> torch.Tensor:
    """Maps (B, 2, 3) from the view's coordinates to the picture's, both in [-1, 1]."""
    side_B = strength.crop + (strength.widest - strength.crop) * noise.rand(count, source=generator)
    stretch_B = torch.exp(_span(count, math.log(strength.stretch) / 2, generator))
    turn_B = torch.deg2rad(_span(count, strength.rotate, generator))
    shear_B = torch.tan(torch.deg2rad(_span(count, strength.shear, generator)))
    mirror_B = 1 - 2 * _chance(count, strength.flip, generator)
    shift_B2 = (noise.rand(count, 2, source=generator) * 2 - 1) * (1 - side_B)[:, None]
    wide_B, high_B = side_B * stretch_B * mirror_B, side_B / stretch_B
    cos_B, sin_B = torch.cos(turn_B), torch.sin(turn_B)
    top_B3 = torch.stack([cos_B * wide_B, (cos_B * shear_B - sin_B) * high_B, shift_B2[:, 0]], dim=1)
    bottom_B3 = torch.stack([sin_B * wide_B, (sin_B * shear_B + cos_B) * high_B, shift_B2[:, 1]], dim=1)
    return torch.stack([top_B3, bottom_B3], dim=1)


def _colour(count: int, strength: Strength, generator: noise.Source) -> tuple[torch.Tensor, torch.Tensor]:
    """One colour matrix (B, 3, 3) for hue, saturation, grey and brightness together, and the contrast (B, 1)."""
    luma = torch.tensor(_LUMA).expand(3, 3)
    turn_B = torch.deg2rad(_span(count, strength.hue, generator)).view(-1, 1, 1)
    axis = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]) / math.sqrt(3.0)
    third = torch.full((3, 3), 1 / 3)
    hue_B33 = torch.cos(turn_B) * (torch.eye(3) - third) + third + torch.sin(turn_B) * axis
    keep_B = (1 + _span(count, strength.saturation, generator)) * (1 - _chance(count, strength.grey, generator))
    saturation_B33 = luma + keep_B.view(-1, 1, 1) * (torch.eye(3) - luma)
    brightness_B = 1 + _span(count, strength.brightness, generator)
    contrast_B1 = 1 + _span(count, strength.contrast, generator).view(-1, 1)
    return brightness_B.view(-1, 1, 1) * (saturation_B33 @ hue_B33), contrast_B1


def _recolour(views_BCHW: torch.Tensor, matrix_B33: torch.Tensor, contrast_B1: torch.Tensor) -> torch.Tensor:
    """Colour matrix, then contrast about each view's own mean brightness, clipped to [0, 1]."""
    flat_BCP = views_BCHW.flatten(2)
    mean_BC = torch.bmm(matrix_B33, flat_BCP.mean(dim=2, keepdim=True))[:, :, 0]
    level_B1 = (mean_BC * mean_BC.new_tensor(_LUMA)).sum(dim=1, keepdim=True) * (1 - contrast_B1)
    offset_BC1 = level_B1[:, :, None].expand(-1, 3, 1)
    changed_BCP = torch.baddbmm(offset_BC1, matrix_B33 * contrast_B1[:, :, None], flat_BCP)
    return changed_BCP.clamp_(0, 1).view_as(views_BCHW)


def _blur(views_BCHW: torch.Tensor, strength: Strength, generator: noise.Source) -> torch.Tensor:
    """Two passes of a 3 x 3 mean (about a Gaussian of deviation 1.2 pixels) over a random share of the views."""
    if strength.blur == 0:
        return views_BCHW
    chosen_C = _chance(len(views_BCHW), strength.blur, generator).nonzero()[:, 0].to(views_BCHW.device)
    if len(chosen_C):
        views_BCHW[chosen_C] = _softened(_softened(views_BCHW[chosen_C]))
    return views_BCHW


def _softened(views_CCHW: torch.Tensor) -> torch.Tensor:
    """The mean of each pixel and its neighbours, 3 x 3, fewer at an edge: avg_pool2d's numbers, five times as fast on a CPU."""
    height, width = views_CCHW.shape[2:]
    framed = F.pad(views_CCHW, (1, 1, 1, 1))
    total = torch.zeros_like(views_CCHW)
    for down in range(3):
        for across in range(3):
            total += framed[:, :, down : down + height, across : across + width]
    inside = F.pad(views_CCHW.new_ones(height, width), (1, 1, 1, 1))
    return total.div_(F.conv2d(inside[None, None], inside.new_ones(1, 1, 3, 3))[0, 0])


def _occlude(views_BCHW: torch.Tensor, strength: Strength, generator: noise.Source) -> torch.Tensor:
    """Set to 0 (the mean colour) a sector or box in a random share of the normalised views."""
    if strength.occlude == 0:
        return views_BCHW
    least, most = strength.occlusion
    source, count, rows = noise.whole(len(views_BCHW), generator)
    chosen_C = _chance(count, strength.occlude, source).nonzero()[:, 0]
    fractions_C = least + (most - least) * torch.rand(len(chosen_C), generator=source)
    hidden_CHW = occlusion.masks(
        len(chosen_C),
        size=views_BCHW.shape[-1],
        fractions_B=fractions_C,
        generator=source,
        device=views_BCHW.device,
    )
    covers_BHW = hidden_CHW.new_zeros(count, *hidden_CHW.shape[1:])
    covers_BHW[chosen_C.to(hidden_CHW.device)] = hidden_CHW
    return views_BCHW.masked_fill_(covers_BHW[rows][:, None], 0.0)
