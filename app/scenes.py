"""Boxes as images of their own: how one is called, and where it lies in pixels."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from model.data import sources

_NAMED = re.compile(r"(?s)(.*)#xywh=(\d{1,9}),(\d{1,9}),(\d{1,9}),(\d{1,9})")  # a W3C media fragment
_SLACK, _SLACK_SHARE = 2.0, 0.005  # pixels, or this share of a side, by which a rounded box may reach outside


class Raw(NamedTuple):
    """A box as a file gives it: `number` is its place there, `box` left, top, width and height in shares of the picture
    (`relative`) or in pixels of one of `size`; `problem` says why it cannot be used; `category` is its file's name for it."""

    number: int
    box: tuple[float, float, float, float]
    relative: bool
    size: tuple[int, int] | None = None
    problem: str | None = None
    category: str = ""


def named(scene: str, box: sources.Box) -> str:
    """The path that a box's image has in the store."""
    return f"{scene}#xywh={','.join(map(str, box))}"


def unusable_name(scene: str, raw: Raw) -> str:
    """The path under which a box that cannot be used stands in quarantine."""
    return f"{scene}#box={raw.number}"


def parted(path: str) -> tuple[str, sources.Box | None]:
    """A path and the box in it, None where it names a whole file."""
    found = _NAMED.fullmatch(path)
    if found is None:
        return path, None
    x, y, w, h = map(int, found.groups()[1:])
    return found[1], (x, y, w, h)


def in_pixels(raw: Raw, width: int, height: int) -> sources.Box:
    """The box in whole pixels of the upright picture of this size; raises ValueError saying why there is none.

    What reaches outside by a rounding is cut off, more is refused: such a box belongs to another picture.
    """
    if raw.problem:
        raise ValueError(raw.problem)
    told = ", ".join(f"{each:g}" for each in raw.box)
    if not all(map(math.isfinite, raw.box)):
        raise ValueError(f"the box [{told}] is not of numbers")
    x, y, w, h = raw.box
    if w <= 0 or h <= 0:
        raise ValueError(f"the box [{told}] has no area")
    if raw.size is not None and raw.size != (width, height):
        raise ValueError(
            f"its box was drawn on a picture of {raw.size[0]} x {raw.size[1]} pixels, this one has {width} x {height}"
        )
    across, down = (width, height) if raw.relative else (1, 1)
    ends = []
    for start, long, side in ((x * across, w * across, width), (y * down, h * down, height)):
        slack = max(_SLACK, _SLACK_SHARE * side)
        if start < -slack or start + long > side + slack:
            raise ValueError(f"the box [{told}] reaches outside the picture of {width} x {height} pixels")
        ends.append((max(0, round(start)), min(side, round(start + long))))
    (left, right), (top, bottom) = ends
    if right <= left or bottom <= top:
        raise ValueError(f"the box [{told}] is smaller than a pixel")
    return left, top, right - left, bottom - top
