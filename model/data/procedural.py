"""Pictures drawn from a number, in great variety: what a network may see of the world where no photographs are at hand.

Dead leaves (things in front of each other, in sizes that follow a power law) have the edges, textures and scale
statistics of photographs; Baradad et al., "Learning to see by looking at noise" (NeurIPS 2021, arXiv 2106.05963), found
features learnt on such pictures to carry far. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from model.data import procedural_creature

SIDE = 256
Picture = NDArray[np.uint8]
Floats = NDArray[np.float32]
Palette = NDArray[np.float32]
_SMALL = 128  # textures are made at this side and scaled up


def draw(seed: int) -> Picture:
    """The picture of this number, uint8 (256, 256, 3); the same on every call."""
    rng = np.random.default_rng([0x9A17, seed])
    colours = _palette(rng)
    canvas = _texture(rng, colours)
    scene = SCENES[int(rng.choice(len(SCENES), p=_SHARES))]
    canvas = _finish(scene(canvas, rng, colours), rng)
    return np.asarray(canvas, dtype=np.uint8)


def _palette(rng: np.random.Generator) -> Palette:
    """(8, 3) colours in 0..1: a few hues of nature or of things, from dark to light, some nearly grey."""
    hues = (rng.random() + rng.normal(0, rng.choice([0.03, 0.1, 0.3]), 8)) % 1.0
    saturation = np.clip(rng.beta(1.5, 2.5) + rng.normal(0, 0.15, 8), 0, 1)
    value = np.clip(np.linspace(rng.uniform(0.02, 0.3), rng.uniform(0.6, 1.0), 8) + rng.normal(0, 0.06, 8), 0, 1)
    if rng.random() < 0.3:  # one colour that stands out
        hues[-2], saturation[-2], value[-2] = rng.random(), rng.uniform(0.6, 1), rng.uniform(0.5, 1)
    angles = (hues[:, None] * 6 + np.array([5.0, 3.0, 1.0])) % 6
    dips = np.clip(np.minimum(angles, 4 - angles), 0, 1)
    return (value[:, None] * (1 - saturation[:, None] * dips)).astype(np.float32)


def _coloured(field: Floats, colours: Palette, rng: np.random.Generator) -> Floats:
    """A field in 0..1 to colours along a path through the palette; (H, W) to (H, W, 3)."""
    path = colours if rng.random() < 0.5 else colours[rng.permutation(8)[: int(rng.integers(2, 6))]]
    table = np.stack([np.interp(np.linspace(0, 1, 256), np.linspace(0, 1, len(path)), path[:, c]) for c in range(3)], 1)
    return table.astype(np.float32)[np.clip(field * 255, 0, 255).astype(np.uint8)]


def _spread(field: NDArray[np.floating]) -> Floats:
    """Any field stretched to 0..1."""
    low, high = float(field.min()), float(field.max())
    return ((field - low) / max(high - low, 1e-6)).astype(np.float32)


def _grid(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Coordinates in -1..1, turned and stretched at random."""
    y, x = np.mgrid[-1 : 1 : _SMALL * 1j, -1 : 1 : _SMALL * 1j].astype(np.float32)
    turn, stretch = rng.uniform(0, 2 * np.pi), np.exp(rng.normal(0, 0.3))
    return (np.cos(turn) * x + np.sin(turn) * y) * stretch, (np.cos(turn) * y - np.sin(turn) * x) / stretch


def _cloud(rng: np.random.Generator) -> Floats:
    """Noise whose power falls with frequency, smooth or rough, often stretched in one direction."""
    fy, fx = np.fft.fftfreq(_SMALL)[:, None], np.fft.rfftfreq(_SMALL)[None]
    turn, stretch = rng.uniform(0, np.pi), np.exp(rng.normal(0, 0.7))
    radius = np.hypot(
        (np.cos(turn) * fx + np.sin(turn) * fy) * stretch, (np.cos(turn) * fy - np.sin(turn) * fx) / stretch
    )
    radius = np.maximum(radius, 1 / _SMALL)
    phases = np.exp(2j * np.pi * rng.random(radius.shape))
    field = np.fft.irfft2(phases * radius ** -rng.uniform(0.8, 2.6), s=(_SMALL, _SMALL))
    if rng.random() < 0.25:
        field = np.abs(field - field.mean())  # ridges, as in marble
    return _spread(field)


def _stripes(rng: np.random.Generator) -> Floats:
    """Bands, straight or bent by a cloud, soft or hard."""
    x, y = _grid(rng)
    phase = x * rng.uniform(2, 25) + rng.choice([0.0, 2.0, 6.0]) * _cloud(rng) + rng.choice([0.0, 1.0]) * y * y
    return _hardened(np.sin(phase * np.pi), rng)


def _dots(rng: np.random.Generator) -> Floats:
    """A lattice of spots or checks, with or without disorder."""
    x, y = _grid(rng)
    bend = rng.choice([0.0, 0.1, 0.4]) * _cloud(rng)
    count = rng.uniform(2, 14)
    a, b = np.sin((x + bend) * count * np.pi), np.sin((y - bend) * count * np.pi)
    return _hardened(a * b if rng.random() < 0.5 else np.minimum(a, b), rng)


def _rings(rng: np.random.Generator) -> Floats:
    """Rings, rays or a spiral about a point."""
    x, y = _grid(rng)
    x, y = x - rng.uniform(-1, 1), y - rng.uniform(-1, 1)
    rays = float(rng.integers(0, 12))
    phase = np.hypot(x, y) * rng.uniform(1, 20) + np.arctan2(y, x) * rays / np.pi + rng.choice([0.0, 2.0]) * _cloud(rng)
    return _hardened(np.sin(phase * np.pi), rng)


def _slope(rng: np.random.Generator) -> Floats:
    """Light that falls off across the picture, straight or from a point."""
    x, y = _grid(rng)
    return _spread(x if rng.random() < 0.5 else -np.hypot(x - rng.uniform(-1, 1), y - rng.uniform(-1, 1)))


def _cells(rng: np.random.Generator) -> Floats:
    """Cells about random points: distance to the nearest, or which one it is."""
    points = rng.random((int(rng.integers(4, 40)), 2)).astype(np.float32)
    y, x = np.mgrid[0:1:64j, 0:1:64j].astype(np.float32)
    squared = (x[..., None] - points[:, 0]) ** 2 + (y[..., None] - points[:, 1]) ** 2
    field = squared.min(-1) ** 0.5 if rng.random() < 0.5 else (squared.argmin(-1) * 0.618) % 1.0
    method = Image.Resampling.BILINEAR if rng.random() < 0.5 else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(_spread(field)).resize((_SMALL, _SMALL), method), dtype=np.float32)


def _hardened(wave: NDArray[np.floating], rng: np.random.Generator) -> Floats:
    """A wave in -1..1 to 0..1, from soft to nearly two colours."""
    return (0.5 + 0.5 * np.tanh(wave * rng.choice([0.7, 2.0, 8.0]) + rng.uniform(-0.5, 0.5))).astype(np.float32)


FIELDS: list[Callable[[np.random.Generator], Floats]] = [_cloud, _cloud, _slope, _stripes, _dots, _rings, _cells]


def _texture(rng: np.random.Generator, colours: Palette) -> Image.Image:
    """One whole surface: a coloured field, often lit or roughened by a second one."""
    surface = _coloured(FIELDS[int(rng.integers(len(FIELDS)))](rng), colours, rng)
    if rng.random() < 0.6:
        light = FIELDS[int(rng.integers(3))](rng)[..., None]
        surface = surface * (1 + rng.uniform(0.2, 1.2) * (light - 0.5))
    small = Image.fromarray((np.clip(surface, 0, 1) * 255).astype(np.uint8))
    window = rng.uniform(0.35, 1.0) * _SMALL  # a part of it only: the same texture at many scales
    left, top = rng.uniform(0, _SMALL - window, 2)
    return small.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=(left, top, left + window, top + window))


def _outline(rng: np.random.Generator, radius: float) -> list[tuple[float, float]]:
    """The edge of a blob, polygon, star, ellipse or box about a random place."""
    kind, (cx, cy), turn = int(rng.integers(5)), rng.uniform(-20, SIDE + 20, 2), rng.uniform(0, 2 * np.pi)
    if kind == 0:
        angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
        waves = sum(rng.normal(0, 0.35 / k) * np.cos(k * angle + rng.uniform(0, 6.3)) for k in (1, 2, 3, 5))
        reach = radius * np.clip(1 + waves, 0.2, 2)
    elif kind == 1:
        angle = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 9))))
        reach = radius * rng.uniform(0.6, 1.2, len(angle))
    elif kind == 2:
        points = int(rng.integers(4, 10))
        angle = np.linspace(0, 2 * np.pi, 2 * points, endpoint=False)
        reach = radius * np.where(np.arange(2 * points) % 2, rng.uniform(0.3, 0.8), 1.0)
    elif kind == 3:
        angle, reach = np.linspace(0, 2 * np.pi, 40, endpoint=False), np.full(40, radius)
    else:
        angle, reach = np.pi / 4 + np.pi / 2 * np.arange(4), np.full(4, radius)
    narrow = np.exp(-abs(rng.normal(0, 0.6)))
    x, y = reach * np.cos(angle), reach * np.sin(angle) * narrow
    xs, ys = cx + np.cos(turn) * x - np.sin(turn) * y, cy + np.sin(turn) * x + np.cos(turn) * y
    return list(zip(xs.tolist(), ys.tolist(), strict=True))


def _put(canvas: Image.Image, edge: list[tuple[float, float]], surface: Image.Image | tuple[int, int, int]) -> None:
    """Lay a surface on the canvas inside an edge, with a smooth rim."""
    xs, ys = zip(*edge, strict=True)
    left, top = max(0, int(min(xs)) - 2), max(0, int(min(ys)) - 2)
    right, bottom = min(SIDE, int(max(xs)) + 3), min(SIDE, int(max(ys)) + 3)
    if right <= left or bottom <= top:
        return
    mask = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in edge], fill=255)
    box = (left, top, right, bottom)
    canvas.paste(
        surface.crop(box) if isinstance(surface, Image.Image) else surface, box, mask.filter(ImageFilter.BoxBlur(0.7))
    )


def _plain(rng: np.random.Generator, colours: Palette) -> tuple[int, int, int]:
    red, green, blue = (
        (np.clip(colours[int(rng.integers(8))] + rng.normal(0, 0.05, 3), 0, 1) * 255).astype(int).tolist()
    )
    return red, green, blue


def _leaves(canvas: Image.Image, rng: np.random.Generator, colours: Palette) -> Image.Image:
    """Things before each other, far ones first and perhaps out of focus, sizes by a power law."""
    surfaces = [_texture(rng, colours if rng.random() < 0.6 else _palette(rng)) for _ in range(int(rng.integers(2, 4)))]
    count, least = int(rng.choice([12, 30, 60])), float(rng.choice([4.0, 10.0, 20.0]))
    focus = int(count * rng.uniform(0.2, 1.0)) if rng.random() < 0.5 else -1
    for at in range(count):
        radius = min(least / (1 - rng.random()) ** 0.6, 120.0)
        surface = surfaces[int(rng.integers(len(surfaces)))] if radius > 14 else _plain(rng, colours)
        _put(canvas, _outline(rng, radius), surface)
        if at == focus:
            canvas = canvas.filter(ImageFilter.BoxBlur(rng.uniform(1, 6)))
    return canvas


def _object(canvas: Image.Image, rng: np.random.Generator, colours: Palette) -> Image.Image:
    """One large thing of several parts before a soft background, with a shadow and a light side."""
    if rng.random() < 0.7:
        canvas = canvas.filter(ImageFilter.BoxBlur(rng.uniform(2, 10)))
    own = _palette(rng)
    surfaces = [_texture(rng, own) for _ in range(2)]
    middle, size = rng.uniform(70, SIDE - 70, 2), rng.uniform(35, 90)
    for part in range(int(rng.integers(2, 9))):
        edge = np.array(_outline(rng, size * (1.0 if part == 0 else rng.uniform(0.15, 0.7))))
        edge += middle - edge.mean(0) + (0 if part == 0 else rng.normal(0, size * 0.5, 2))
        if part == 0:
            _shadow(canvas, edge + rng.uniform(-15, 15, 2))
        _put(canvas, [(x, y) for x, y in edge.tolist()], surfaces[part % 2] if part < 4 else _plain(rng, own))
    return canvas


def _shadow(canvas: Image.Image, edge: NDArray[np.floating]) -> None:
    mask = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(mask).polygon([(x, y) for x, y in edge.tolist()], fill=130)
    canvas.paste((10, 10, 14), (0, 0, SIDE, SIDE), mask.filter(ImageFilter.BoxBlur(5)))


def _lines(canvas: Image.Image, rng: np.random.Generator, colours: Palette) -> Image.Image:
    """Strokes, twigs and strings over a surface."""
    pen = ImageDraw.Draw(canvas)
    for _ in range(int(rng.integers(5, 60))):
        steps = rng.normal(0, rng.uniform(5, 40), (int(rng.integers(2, 10)), 2)) + rng.normal(0, 15, 2)
        path = rng.uniform(0, SIDE, 2) + np.cumsum(steps, 0)
        pen.line(
            [(x, y) for x, y in path.tolist()], fill=_plain(rng, colours), width=int(rng.integers(1, 9)), joint="curve"
        )
    return canvas


def _again(canvas: Image.Image, rng: np.random.Generator, colours: Palette) -> Image.Image:
    """One thing many times in rows, a little different each time, like goods on a shelf."""
    thing, step = _outline(rng, 1.0), int(rng.choice([32, 48, 64, 86]))
    unit = np.array(thing) - np.mean(thing, 0)
    surfaces = [_texture(rng, _palette(rng)) for _ in range(2)]
    shift, spread = rng.uniform(0, step, 2), rng.uniform(0.3, 0.7) * step
    for top in range(-step, SIDE + step, step):
        for left in range(-step, SIDE + step, step):
            edge = unit * spread * rng.uniform(0.8, 1.2) + (left, top) + shift + rng.normal(0, step * 0.06, 2)
            _put(canvas, [(x, y) for x, y in edge.tolist()], surfaces[int(rng.random() < 0.3)])
    return canvas


def _bare(canvas: Image.Image, rng: np.random.Generator, colours: Palette) -> Image.Image:
    """Two surfaces that meet, or one alone."""
    if rng.random() < 0.7:
        _put(canvas, _outline(rng, rng.uniform(60, 180)), _texture(rng, colours))
    return canvas


def _creature(canvas: Image.Image, rng: np.random.Generator, colours: Palette) -> Image.Image:
    """Something that lives, before what is out of focus: a surface, leaves, or sky over ground."""
    kind = rng.random()
    if kind < 0.4:
        canvas = _leaves(canvas, rng, colours)
    elif kind < 0.6:
        sky = _coloured(_spread(np.linspace(0, 1, _SMALL)[:, None] + np.zeros((1, _SMALL))), _palette(rng), rng)
        canvas = Image.fromarray((np.clip(sky, 0, 1) * 255).astype(np.uint8)).resize((SIDE, SIDE))
    if rng.random() < 0.85:
        canvas = canvas.filter(ImageFilter.GaussianBlur(rng.uniform(1, 9)))
    own = _palette(rng)
    procedural_creature.draw(canvas, rng, own.tolist(), lambda: _texture(rng, own))
    return canvas


SCENES = [_leaves, _object, _lines, _again, _bare, _creature]
_SHARES = [0.25, 0.2, 0.05, 0.05, 0.1, 0.35]


def _finish(canvas: Image.Image, rng: np.random.Generator) -> Image.Image:
    """What a camera adds: light from one side, softness, grain."""
    pixels = np.asarray(canvas, dtype=np.float32)
    if rng.random() < 0.5:
        fall = np.linspace(1 - rng.uniform(0, 0.5), 1, SIDE, dtype=np.float32)
        fall = fall if rng.random() < 0.5 else fall[::-1]
        pixels = pixels * (fall[None, :, None] if rng.random() < 0.5 else fall[:, None, None])
    if rng.random() < 0.4:
        grain = rng.standard_normal((SIDE, SIDE), dtype=np.float32)[..., None]
        pixels = pixels + grain * rng.uniform(1, 9)
    answer = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return answer.filter(ImageFilter.BoxBlur(rng.uniform(0.5, 2))) if rng.random() < 0.25 else answer
