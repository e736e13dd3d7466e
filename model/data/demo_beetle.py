"""Draws the demo pool's beetle: one body plan for every class, and the one mark that tells the classes apart."""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from model.data import demo_marks

Points = NDArray[np.float64]
Colour = tuple[int, int, int]

MARK_CENTRE = (0.0, 0.17)  # body units: x to the beetle's right, y towards its tail, 1 = body length
MARK_HALF = 0.17


@dataclass(frozen=True)
class Pose:
    """Where the beetle sits on the canvas; length in canvas pixels, angle in radians, mirror +1 or -1."""

    x: float
    y: float
    length: float
    angle: float
    mirror: int

    def place(self, points: Points) -> Points:
        """Body units (P, 2) to canvas pixels (P, 2)."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        across, along = points[:, 0] * self.mirror, points[:, 1]
        return np.stack(
            [self.x + self.length * (cos * across - sin * along), self.y + self.length * (sin * across + cos * along)],
            1,
        )


@dataclass(frozen=True)
class Livery:
    """Colours and pattern of one beetle, drawn without looking at its class."""

    shell: Colour
    neck: Colour
    limb: Colour
    mark: Colour
    stripes: int
    shoulder_spots: int
    rim: bool


def random_pose(rng: np.random.Generator, *, side: int) -> Pose:
    """A pose that keeps the whole body on a canvas of `side` pixels."""
    length = side * rng.uniform(0.64, 0.80)
    return Pose(
        side * rng.uniform(0.44, 0.56),
        side * rng.uniform(0.45, 0.54),
        length,
        math.radians(rng.uniform(-40, 40)),
        1 if rng.random() < 0.5 else -1,
    )


def random_livery(rng: np.random.Generator) -> Livery:
    """Body colours over the whole colour circle; the mark is always pale, so that it stays clear at 96 px."""
    hue = rng.random()
    shell = _hsv(hue, rng.uniform(0.45, 0.85), rng.uniform(0.30, 0.58))
    neck = _hsv(hue + rng.uniform(-0.12, 0.12), rng.uniform(0.4, 0.9), rng.uniform(0.22, 0.5))
    limb = _hsv(rng.uniform(0.02, 0.12), rng.uniform(0.3, 0.7), rng.uniform(0.10, 0.24))
    mark = _hsv(rng.uniform(0.08, 0.17), rng.uniform(0.05, 0.45), rng.uniform(0.93, 1.0))
    return Livery(shell, neck, limb, mark, int(rng.integers(2, 6)), int(rng.integers(0, 3)), bool(rng.random() < 0.4))


def mark_box(pose: Pose, mark: str | None = None) -> tuple[float, float, float, float]:
    """Bounding box on the canvas (x0, y0, x1, y1) of a mark with its edge; of the room for any mark with None."""
    outlines = [_square(1.0)] if mark is None else demo_marks.FIGURES[mark]
    placed = pose.place(np.concatenate(outlines) * (MARK_HALF * 1.05) + MARK_CENTRE)
    low, high = placed.min(0), placed.max(0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def paint_shadow(canvas: Image.Image, pose: Pose, *, light: tuple[float, float]) -> None:
    """Darken `canvas` (RGB, in place) where the body keeps the light away."""
    small = 4
    mask = Image.new("L", (canvas.width // small, canvas.height // small), 0)
    pencil = ImageDraw.Draw(mask)
    shift = np.array(light) * pose.length * -0.045
    for outline in (_elytra(), _neck(), _head()):
        pencil.polygon(_flat((pose.place(outline * 1.03) + shift) / small), fill=150)
    soft = mask.filter(ImageFilter.BoxBlur(4)).resize(canvas.size, Image.Resampling.BILINEAR)
    canvas.paste((12, 10, 8), (0, 0), soft)


def paint_body(
    canvas: Image.Image, pose: Pose, livery: Livery, *, light: tuple[float, float], rng: np.random.Generator
) -> None:
    """Paint legs, feelers, head, neck shield and wing cases onto `canvas` (RGB, in place), without the mark."""
    pencil = ImageDraw.Draw(canvas, "RGBA")
    _paint_limbs(pencil, pose, livery.limb, rng=rng)
    _paint_dome(pencil, pose, _head(), (0.0, -0.40), livery.limb, light=light, steps=5)
    _paint_dome(pencil, pose, _neck(), (0.0, -0.26), livery.neck, light=light, steps=8)
    _paint_dome(pencil, pose, _elytra(), (0.0, 0.15), livery.shell, light=light, steps=12)
    _paint_pattern(pencil, pose, livery)


def paint_mark(canvas: Image.Image, pose: Pose, mark: str, colour: Colour) -> None:
    """Paint the class mark onto `canvas` (RGB, in place): a pale figure with a dark edge."""
    left, top, right, bottom = mark_box(pose)
    corner = (round(left) - 8, round(top) - 8)
    mask = Image.new("L", (round(right) + 8 - corner[0], round(bottom) + 8 - corner[1]), 0)
    pencil = ImageDraw.Draw(mask)
    for figure in demo_marks.FIGURES[mark]:
        pencil.polygon(_flat(pose.place(figure * MARK_HALF + MARK_CENTRE) - corner), fill=255)
    canvas.paste(_mix(colour, (14, 10, 8), 0.88), corner, mask.filter(ImageFilter.BoxBlur(3)).point(_edge_levels()))
    canvas.paste(colour, corner, mask)


def _edge_levels() -> list[int]:
    """Point table that turns a blurred mask into the mask grown by its edge."""
    return [255 if level > 24 else 0 for level in range(256)]


def _square(half: float) -> Points:
    return np.array([[-half, -half], [half, -half], [half, half], [-half, half]])


def _half_turn(widths: list[tuple[float, float]]) -> Points:
    """A symmetric outline from (y, half width) pairs, head to tail."""
    right = np.array([[w, y] for y, w in widths])
    return np.concatenate([right, right[::-1] * (-1, 1)])


def _elytra() -> Points:
    y = np.linspace(0, 1, 20)
    width = 0.272 * np.sin(math.pi * (0.20 + 0.80 * y)) ** 0.62
    return _half_turn([(-0.155 + 0.655 * float(t), float(w)) for t, w in zip(y, width, strict=True)])


def _neck() -> Points:
    y = np.linspace(0, 1, 12)
    width = 0.13 + 0.085 * np.sin(math.pi * (0.05 + 0.72 * y))
    return _half_turn([(-0.365 + 0.205 * float(t), float(w)) for t, w in zip(y, width, strict=True)])


def _head() -> Points:
    turn = np.linspace(0, 2 * math.pi, 25)[:-1]
    return demo_marks.circle(turn, 1.0) * (0.105, 0.085) + (0.0, -0.405)


def _paint_dome(
    pencil: ImageDraw.ImageDraw,
    pose: Pose,
    outline: Points,
    centre: tuple[float, float],
    colour: Colour,
    *,
    light: tuple[float, float],
    steps: int,
) -> None:
    """A shaded dome: nested outlines that shrink towards the light, dark rim to bright top."""
    middle = pose.place(np.array([centre]))[0]
    placed = pose.place(outline)
    pencil.polygon(_flat(middle + (placed - middle) * 1.015), fill=_mix(colour, (8, 6, 5), 0.75))
    for step in range(steps):
        part = step / (steps - 1)
        shift = np.array(light) * pose.length * 0.06 * part
        tone = _mix(_mix(colour, (8, 6, 5), 0.45), _mix(colour, (255, 250, 235), 0.26), part**1.1)
        pencil.polygon(_flat(middle + (placed - middle) * (0.97 - 0.72 * part) + shift), fill=tone)


def _paint_pattern(pencil: ImageDraw.ImageDraw, pose: Pose, livery: Livery) -> None:
    """Seam, grooves, shoulder spots and rim: decoration that says nothing of the class."""
    thin = max(1, round(pose.length * 0.006))
    dark = (*_mix(livery.shell, (5, 4, 3), 0.8), 110)
    y = np.linspace(-0.13, 0.46, 14)
    bulge = np.sin(math.pi * np.clip((y + 0.155) / 0.655 * 0.8 + 0.2, 0, 1)) ** 0.62
    for groove in range(1, livery.stripes + 1):
        for side in (-1, 1):
            x = side * 0.262 * groove / (livery.stripes + 1) * bulge
            pencil.line(_flat(pose.place(np.stack([x, y], 1))), fill=dark, width=thin)
    pencil.line(_flat(pose.place(np.array([[0.0, -0.15], [0.0, 0.49]]))), fill=(*dark[:3], 220), width=thin + 1)
    tone = (*_mix(livery.shell, livery.mark, 0.45), 200)
    turn = np.linspace(0, 2 * math.pi, 15)[:-1]
    for spot in range(livery.shoulder_spots):
        for side in (-1, 1):
            spot_at = (side * (0.15 - 0.075 * spot), -0.065 - 0.03 * spot)
            pencil.polygon(_flat(pose.place(demo_marks.circle(turn, 0.024) + spot_at)), fill=tone)
    if livery.rim:
        neck = _neck()[:12] * (0.94, 1.0)
        for side in (-1, 1):
            pencil.line(_flat(pose.place(neck * (side, 1))), fill=tone, width=thin * 3)
    for shine_x, shine_y, reach in ((-0.13, 0.0, 0.11), (-0.09, -0.29, 0.04)):
        shine = demo_marks.circle(turn, 1.0) * (0.022, reach) + (shine_x, shine_y)
        pencil.polygon(_flat(pose.place(shine)), fill=(255, 255, 250, 46))


def _paint_limbs(pencil: ImageDraw.ImageDraw, pose: Pose, colour: Colour, *, rng: np.random.Generator) -> None:
    """Six jointed legs and two clubbed feelers, each with its own bend."""
    thick = pose.length * 0.03
    hips = ((-0.22, -0.30, -0.16), (0.0, 0.04, 0.16), (0.16, 0.30, 0.50))
    for side in (-1, 1):
        for hip, knee, foot in hips:
            bend = rng.uniform(-0.045, 0.045, size=(3, 2))
            joints = np.array(
                [
                    [0.20 * side, hip],
                    [0.35 * side, knee],
                    [0.40 * side, foot],
                    [0.45 * side, foot + (foot - knee) * 0.35],
                ]
            )
            joints[1:] += bend
            placed = pose.place(joints)
            for part, width in enumerate((1.35, 1.0, 0.6)):
                pencil.line(_flat(placed[part : part + 2]), fill=colour, width=round(thick * width))
                _dot(pencil, placed[part + 1], thick * width * 0.5, colour)
        sweep = rng.uniform(-0.05, 0.05)
        feeler = np.array([[0.05, -0.46], [0.12, -0.52], [0.19 + sweep, -0.56], [0.25 + sweep, -0.55 - sweep]]) * (
            side,
            1,
        )
        placed = pose.place(feeler)
        pencil.line(_flat(placed), fill=colour, width=round(thick * 0.5), joint="curve")
        for end in (placed[-1], placed[-1] * 0.7 + placed[-2] * 0.3):
            _dot(pencil, end, thick * 0.55, colour)


def _dot(pencil: ImageDraw.ImageDraw, at: Points, radius: float, colour: Colour) -> None:
    pencil.ellipse([at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius], fill=colour)


def _flat(points: Points) -> list[float]:
    flat: list[float] = points.ravel().tolist()
    return flat


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _mix(first: Colour, second: Colour, part: float) -> Colour:
    red, green, blue = (round(a + (b - a) * part) for a, b in zip(first, second, strict=True))
    return red, green, blue
