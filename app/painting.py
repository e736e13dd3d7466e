"""An image with a map over it, as a picture for people: the page's tint, contour, frame and greyed cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

Floats = NDArray[np.floating[Any]]
HUE, LINE, DARK, BLANK = (255, 140, 0), (255, 190, 92), (0, 0, 0), (118, 118, 118)
FAINT = 0.12  # values below are not tinted
OPACITY = 0.55
CONTOUR = 0.5  # share of the map's maximum


def paint(
    pixels_HWC: NDArray[np.uint8],
    map_HW: Floats,
    *,
    frame_only: bool = False,
    box: tuple[float, ...] | None = None,
    erased_HW: NDArray[np.bool_] | None = None,
) -> Image.Image:
    """`map_HW` in 0..1 on any grid over the whole picture; `box` in shares of it. With `frame_only` neither tint nor
    contour is drawn, and what is in the frame stands enlarged on the right."""
    picture = Image.fromarray(pixels_HWC)
    if erased_HW is not None and erased_HW.any():
        mask = Image.fromarray(np.where(erased_HW, 235, 0).astype(np.uint8)).resize(
            picture.size, Image.Resampling.NEAREST
        )
        picture.paste(BLANK, mask=mask)
    if not frame_only:
        _tint(picture, map_HW)
    if box is None:
        return picture
    framed = picture.copy()
    left, top, right, bottom = _inside(box, picture.size)
    pen, line = ImageDraw.Draw(framed), max(1, min(picture.size) // 160)
    pen.rectangle((left, top, right, bottom), outline=DARK, width=3 * line)
    pen.rectangle((left + line, top + line, right - line, bottom - line), outline=LINE, width=line)
    return _beside(framed, picture.crop((left, top, right, bottom))) if frame_only else framed


def _inside(box: tuple[float, ...], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The frame in pixels, at least a few wide."""
    left, top, right, bottom = (round(share * (size[at % 2] - 1)) for at, share in enumerate(box))
    right, bottom = max(right, left + 8), max(bottom, top + 8)
    return left - max(0, right - size[0] + 1), top - max(0, bottom - size[1] + 1), right, bottom


def _beside(picture: Image.Image, piece: Image.Image) -> Image.Image:
    height = picture.height
    width = max(1, round(piece.width * height / piece.height))
    both = Image.new("RGB", (picture.width + 6 + width, height), "white")
    both.paste(picture)
    both.paste(piece.resize((width, height), Image.Resampling.BICUBIC), (picture.width + 6, 0))
    return both


def _tint(picture: Image.Image, map_HW: Floats) -> None:
    """Tint and contour, in place."""
    grid = Image.fromarray(np.nan_to_num(map_HW).astype(np.float32))
    smooth_HW = np.asarray(grid.resize(picture.size, Image.Resampling.BICUBIC)).clip(0.0, 1.0)
    share_HW = np.clip((smooth_HW - FAINT) / (1 - FAINT), 0.0, 1.0)
    alpha_HW = 255 * OPACITY * share_HW**2 * (3 - 2 * share_HW)
    picture.paste(HUE, mask=Image.fromarray(alpha_HW.astype(np.uint8)))
    if smooth_HW.max() <= 0:
        return
    above = Image.fromarray(np.where(smooth_HW > CONTOUR * smooth_HW.max(), 200, 0).astype(np.uint8))
    line = max(1, min(picture.size) // 160)
    for colour, width in ((DARK, 4 * line + 1), (LINE, 2 * line + 1)):
        wider, narrower = above.filter(ImageFilter.MaxFilter(width)), above.filter(ImageFilter.MinFilter(width))
        picture.paste(colour, mask=ImageChops.subtract(wider, narrower))
