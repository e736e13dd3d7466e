"""Where an image comes from when a path alone does not say it: a box in a picture, a file that must be fetched first."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Box = tuple[int, int, int, int]  # left, top, width, height in pixels of the upright picture
MARGIN = 0.1  # of the box's longer side, on every side of it: edges of the animal, and what it stands on


@dataclass(frozen=True, slots=True)
class Source:
    """`path` is what errors name; `box` the part that is the image, if not all of it; `fetch` gives the file to open."""

    path: str
    box: Box | None = None
    fetch: Callable[[], str | Path] | None = None

    def __str__(self) -> str:
        return self.path

    def file(self) -> str | Path:
        """The file that holds it; raises what `fetch` raises."""
        return self.path if self.fetch is None else self.fetch()


Where = str | Path | Source


def crop_of(box: Box, width: int, height: int) -> Box:
    """What is cut out of an upright picture for a box: the box and its margin, as far as the picture goes.

    Raises ValueError for a box that does not lie in a picture of this size: it is another picture than the box was
    drawn on.
    """
    x, y, w, h = box
    if w < 1 or h < 1 or x < 0 or y < 0 or x + w > width or y + h > height:
        raise ValueError(f"the box {x},{y},{w},{h} does not lie in a picture of {width} x {height} pixels")
    margin = math.ceil(MARGIN * max(w, h))
    left, top = max(0, x - margin), max(0, y - margin)
    return left, top, min(width, x + w + margin) - left, min(height, y + h + margin) - top
