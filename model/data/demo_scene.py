"""Draws what surrounds the demo pool's beetle: backgrounds, light, blur and noise."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from model.data import demo_leaf

Colour = tuple[int, int, int]


def background(rng: np.random.Generator, *, side: int) -> Image.Image:
    """One of the backgrounds, RGB of `side` x `side` pixels."""
    painters = list(_BACKGROUNDS.values())
    return painters[int(rng.integers(len(painters)))](rng, side)


def develop(canvas: Image.Image, *, side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The photograph of a canvas: scaled to `side`, lit unevenly, a little blurred and noisy; uint8 (H, W, 3)."""
    photo = canvas.reduce(canvas.width // side)
    blur = rng.uniform(-0.5, 0.8)
    if blur > 0.15:
        photo = photo.filter(ImageFilter.GaussianBlur(blur))
    pixels = np.asarray(photo, dtype=np.float32)
    light = _upscaled(rng.uniform(0.82, 1.12, size=(3, 3)) * rng.uniform(0.80, 1.15), side)
    tint = rng.uniform(0.94, 1.06, size=3).astype(np.float32)
    grain = rng.standard_normal((side, side), dtype=np.float32) * np.float32(rng.uniform(1.0, 6.0))
    lit = pixels * light[:, :, None]
    lit *= tint
    lit += grain[:, :, None]
    return np.asarray(np.clip(lit, 0, 255, out=lit), dtype=np.uint8)


def _leaf(rng: np.random.Generator, side: int) -> Image.Image:
    """A leaf's surface with its veins."""
    base = _pick(rng, ((74, 124, 52), (98, 140, 60), (52, 104, 62), (132, 150, 70)))
    canvas = _mottled(rng, side, base, rough=0.10, cells=9)
    pencil = ImageDraw.Draw(canvas, "RGBA")
    angle, pale = rng.uniform(0, math.pi), (225, 235, 170, 90)
    along = np.array([math.cos(angle), math.sin(angle)])
    middle = np.array([side, side]) * rng.uniform(0.3, 0.7, size=2)
    ends = np.concatenate([middle - along * side * 1.5, middle + along * side * 1.5])
    pencil.line(ends.tolist(), fill=pale, width=round(side * 0.02))
    for step in np.arange(-1.4, 1.4, rng.uniform(0.14, 0.22)):
        root = middle + along * side * step
        for turn in (-0.9, 0.9):
            tip = root + np.array([math.cos(angle + turn), math.sin(angle + turn)]) * side
            pencil.line([*root.tolist(), *tip.tolist()], fill=(225, 235, 170, 60), width=round(side * 0.008))
    return canvas


def _sand(rng: np.random.Generator, side: int) -> Image.Image:
    """Sand with pebbles."""
    base = _pick(rng, ((196, 170, 128), (176, 156, 130), (210, 190, 150)))
    canvas = _mottled(rng, side, base, rough=0.09, cells=side // 3)
    pencil = ImageDraw.Draw(canvas, "RGBA")
    for _ in range(int(rng.integers(8, 26))):
        x, y = rng.uniform(0, side, size=2)
        wide, high = rng.uniform(0.01, 0.05, size=2) * side
        grey = int(rng.integers(110, 200))
        pencil.ellipse([x - wide + 3, y - high + 5, x + wide + 3, y + high + 5], fill=(60, 45, 30, 90))
        pencil.ellipse([x - wide, y - high, x + wide, y + high], fill=(grey, grey - 10, grey - 25, 255))
        pencil.ellipse([x - wide * 0.7, y - high * 0.8, x + wide * 0.3, y + high * 0.1], fill=(255, 250, 235, 50))
    return canvas


def _bark(rng: np.random.Generator, side: int) -> Image.Image:
    """Bark: long grain one way, cracks along it."""
    base = _pick(rng, ((112, 84, 60), (134, 112, 90), (90, 74, 62), (150, 128, 104)))
    upright = rng.random() < 0.5
    canvas = _mottled(rng, side, base, rough=0.22, cells=(4, 60) if upright else (60, 4))
    pencil = ImageDraw.Draw(canvas, "RGBA")
    for _ in range(int(rng.integers(10, 22))):
        at, start = rng.uniform(0, side), rng.uniform(-0.3, 0.9) * side
        walk = at + np.cumsum(rng.normal(0, side * 0.008, size=8))
        run = start + np.arange(8) * side * 0.06
        line = np.stack([walk, run] if upright else [run, walk], 1)
        pencil.line(line.ravel().tolist(), fill=(30, 20, 14, 130), width=int(rng.integers(2, 6)))
    return canvas


def _water(rng: np.random.Generator, side: int) -> Image.Image:
    """Still water: bands of sky in it and soft glints."""
    canvas = _mottled(rng, side, _pick(rng, ((70, 116, 140), (88, 132, 132), (60, 90, 128))), rough=0.20, cells=(18, 3))
    pencil = ImageDraw.Draw(canvas, "RGBA")
    for _ in range(int(rng.integers(6, 16))):
        x, y = rng.uniform(0, side, size=2)
        wide = rng.uniform(0.05, 0.22) * side
        x_line = np.linspace(x - wide, x + wide, 9)
        y_line = y + np.sin(np.linspace(0, 6, 9)) * side * 0.006
        pencil.line(np.stack([x_line, y_line], 1).ravel().tolist(), fill=(235, 248, 255, 70), width=3)
    return canvas


def _stone(rng: np.random.Generator, side: int) -> Image.Image:
    """Stone with rosettes of lichen."""
    canvas = _mottled(rng, side, _pick(rng, ((128, 126, 122), (104, 108, 114), (150, 142, 132))), rough=0.12, cells=40)
    pencil = ImageDraw.Draw(canvas, "RGBA")
    colours = ((190, 180, 90), (150, 170, 150), (200, 150, 80), (90, 96, 90))
    for _ in range(int(rng.integers(3, 8))):
        x, y = rng.uniform(0, side, size=2)
        colour = _pick(rng, colours)
        for radius, x_off, y_off in rng.uniform((0.01, -0.06, -0.06), (0.04, 0.06, 0.06), size=(7, 3)) * side:
            at = (x + x_off, y + y_off)
            pencil.ellipse([at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius], fill=(*colour, 110))
    return canvas


def _litter(rng: np.random.Generator, side: int) -> Image.Image:
    """Fallen leaves over dark ground."""
    canvas = _mottled(rng, side, (70, 54, 40), rough=0.2, cells=30)
    tones = ((150, 96, 48), (176, 128, 66), (120, 72, 44), (134, 120, 60), (98, 84, 56))
    for _ in range(int(rng.integers(9, 15))):
        middle, angle = rng.uniform(-0.05, 1.05, size=2) * side, rng.uniform(0, 2 * math.pi)
        half = rng.uniform(0.12, 0.26) * side * np.array([math.cos(angle), math.sin(angle)])
        width, bend = rng.uniform(0.05, 0.10) * side, rng.uniform(-0.2, 0.2)
        outline, spine = demo_leaf.blade(middle - half, middle + half, width=width, bend=bend)
        demo_leaf.paint(canvas, outline, spine, _pick(rng, tones))
    return canvas


def _petal(rng: np.random.Generator, side: int) -> Image.Image:
    """A flower out of focus: a smooth change between two soft colours."""
    colours = ((214, 150, 170), (232, 200, 110), (170, 150, 205), (226, 224, 214), (196, 120, 96), (150, 180, 110))
    first, second = (np.array(_pick(rng, colours), dtype=np.float32) for _ in range(2))
    half = side // 2
    part = _upscaled(rng.uniform(0, 1, size=(3, 3)), half)[:, :, None]
    folds = 1 + np.float32(0.05) * np.sin(_upscaled(rng.uniform(0, 16, size=(3, 3)), half))[:, :, None]
    return _doubled((first * part + second * (1 - part)) * folds)


_BACKGROUNDS: dict[str, Callable[[np.random.Generator, int], Image.Image]] = {
    "leaf": _leaf,
    "sand": _sand,
    "bark": _bark,
    "water": _water,
    "stone": _stone,
    "litter": _litter,
    "petal": _petal,
}


def _mottled(
    rng: np.random.Generator, side: int, base: Colour, *, rough: float, cells: int | tuple[int, int]
) -> Image.Image:
    """A colour with coarse and fine variation; rough is the fine part's share of brightness."""
    half = side // 2
    fine = _upscaled(rng.uniform(-rough, rough, size=(cells, cells) if isinstance(cells, int) else cells), half)
    coarse = _upscaled(rng.uniform(-0.18, 0.18, size=(4, 4)), half)
    pixels = np.array(base, dtype=np.float32) * (1 + fine + coarse)[:, :, None]
    return _doubled(pixels)


def _doubled(pixels: NDArray[np.float32]) -> Image.Image:
    """An RGB image of twice the size, from float levels 0..255."""
    small = Image.fromarray(np.clip(pixels, 0, 255, out=pixels).astype(np.uint8))
    return small.resize((small.width * 2, small.height * 2), Image.Resampling.BILINEAR)


def _upscaled(values: NDArray[np.float64], side: int) -> NDArray[np.float32]:
    field = Image.fromarray(values.astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(field, dtype=np.float32)


def _pick(rng: np.random.Generator, options: tuple[Colour, ...]) -> Colour:
    return options[int(rng.integers(len(options)))]
