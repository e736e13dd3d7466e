"""Draws leaves and blades of grass for the demo pool: as litter on the ground and in front of the beetle."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]
Outline = list[float]


def paint_occluders(canvas: Image.Image, mark: Box, *, rng: np.random.Generator) -> float:
    """Lay blades of grass and leaves over `canvas` (in place); returns the share of the mark's box they hide.

    In about one image of ten one of them crosses the mark; all others keep clear of it.
    """
    cross = rng.random() < 0.10
    hidden = 0.0
    for number in range(int(rng.integers(1, 4)) if rng.random() < 0.6 or cross else 0):
        for _ in range(6):
            aim = _inside(mark, rng) if cross and number == 0 else None
            outline, spine, colour = _occluder(rng, canvas.width, aim)
            share = _covered(outline, mark)
            if (0.08 < share < 0.5) if aim is not None else share == 0:
                paint(canvas, outline, spine, colour)
                hidden += share
                break
    return hidden


def blade(root: NDArray[np.float64], tip: NDArray[np.float64], *, width: float, bend: float) -> tuple[Outline, Outline]:
    """Outline and spine of a pointed leaf from root to tip, `width` being its half width in pixels."""
    part = np.linspace(0, 1, 13)[:, None]
    along = tip - root
    across = np.array([-along[1], along[0]])
    spine = root + along * part + across * bend * np.sin(math.pi * part)
    unit = across / max(float(np.hypot(*across)), 1e-6)
    swell = width * np.sin(math.pi * np.clip(part * 0.92 + 0.08, 0, 1)) ** 0.7
    outline = np.concatenate([spine + unit * swell, (spine - unit * swell)[::-1]])
    return outline.ravel().tolist(), spine.ravel().tolist()


def paint(canvas: Image.Image, outline: Outline, spine: Outline, colour: Colour) -> None:
    pencil = ImageDraw.Draw(canvas, "RGBA")
    pencil.polygon([v + 7 for v in outline], fill=(10, 10, 6, 70))
    pencil.polygon(outline, fill=colour)
    half = len(outline) // 2
    pencil.polygon([*outline[:half], *_backwards(spine)], fill=(255, 255, 230, 34))
    pencil.line(spine, fill=(250, 250, 210, 110), width=2)


def _occluder(rng: np.random.Generator, side: int, aim: NDArray[np.float64] | None) -> tuple[Outline, Outline, Colour]:
    """A blade of grass or a leaf that grows in from an edge; through the point `aim` when given."""
    edge = rng.uniform(0, 2 * math.pi)
    root = side * (0.5 + 0.75 * np.array([math.cos(edge), math.sin(edge)]))
    target = aim if aim is not None else side * rng.uniform(0.1, 0.9, size=2)
    tip = target + (target - root) * rng.uniform(0.1, 0.5)
    slim = aim is not None or rng.random() < 0.7
    width = side * (rng.uniform(0.012, 0.028) if slim else rng.uniform(0.05, 0.09))
    outline, spine = blade(root, tip, width=width, bend=rng.uniform(-0.12, 0.12))
    options = ((96, 142, 54), (124, 156, 70), (70, 118, 58), (168, 150, 84), (140, 110, 60))
    return outline, spine, options[int(rng.integers(len(options)))]


def _backwards(flat: Outline) -> Outline:
    return np.asarray(flat).reshape(-1, 2)[::-1].ravel().tolist()


def _covered(outline: Outline, box: Box) -> float:
    """Share of a box that a polygon covers, on a 24 x 24 raster."""
    points = np.asarray(outline).reshape(-1, 2)
    cell = max(box[2] - box[0], box[3] - box[1]) / 24
    mask = Image.new("L", (24, 24), 0)
    ImageDraw.Draw(mask).polygon(((points - box[:2]) / cell).ravel().tolist(), fill=1)
    return float(np.asarray(mask).mean())


def _inside(box: Box, rng: np.random.Generator) -> NDArray[np.float64]:
    low, high = np.array(box[:2]), np.array(box[2:])
    point: NDArray[np.float64] = low + (high - low) * rng.uniform(0.1, 0.9, size=2)
    return point
