"""Creatures drawn from a generator: a patterned body with head, eye, beak or snout, wing, tail and legs, in the open.

No kind is meant, and none is copied: proportions, colours and marks are drawn at random, as far apart as living things.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

Points = NDArray[np.float64]
Colour = tuple[int, int, int]
Texture = Callable[[], Image.Image]  # one more surface of the creature's own colours, at the canvas's size
_FINE = 2  # drawn at so many times the size: smooth edges


def draw(canvas: Image.Image, rng: np.random.Generator, own: Sequence[Sequence[float]], texture: Texture) -> None:
    """Put one creature or several of its kind on the canvas, in place, with what it stands on and what hides a part."""
    seed, size = int(rng.integers(2**32)), rng.uniform(0.13, 0.4) * canvas.width
    flock = int(rng.integers(2, 6)) if rng.random() < 0.12 else 1
    skins = [texture() for _ in range(3)]
    for at in range(flock):
        middle = rng.uniform(0.3, 0.7, 2) * canvas.size if flock == 1 else rng.uniform(0.1, 0.9, 2) * canvas.size
        turn = rng.normal(0, 0.35) if rng.random() < 0.8 else rng.uniform(-np.pi, np.pi)
        scale = size / (1 + 0.5 * (flock > 1)) * rng.uniform(0.8, 1.2)
        pen = _Pen(canvas, middle, scale, turn, mirrored=bool(rng.random() < 0.5))
        if at == 0 and rng.random() < 0.6:
            _perch(pen, rng)
        same = np.random.default_rng(seed)
        _body(pen, same, _Coat(same, own, skins))
    if rng.random() < 0.3:
        _before(canvas, rng)


class _Pen:
    """Draws in the creature's own coordinates: its body is about 2 long, x towards the head, y up."""

    def __init__(self, canvas: Image.Image, middle: Points, scale: float, turn: float, *, mirrored: bool) -> None:
        self.canvas, self.middle, self.scale = canvas, middle, scale
        cos, sin = np.cos(turn), np.sin(turn)
        self.axes = np.array([[cos, sin], [sin, -cos]]) * ([-1.0 if mirrored else 1.0, 1.0])

    def place(self, points: Points) -> list[tuple[float, float]]:
        moved = np.asarray(points, dtype=np.float64) @ self.axes * self.scale + self.middle
        return [(x, y) for x, y in moved.tolist()]

    def fill(
        self, points: Points, surface: Image.Image | Colour, *, within: Points | None = None, soft: float = 0.6
    ) -> None:
        """Lay a surface inside an edge (and inside another one)."""
        mask = self._mask(points)
        if within is not None:
            mask = ImageChops.multiply(mask, self._mask(within))
        if soft > 0.6:
            mask = mask.filter(ImageFilter.GaussianBlur(soft))
        self.canvas.paste(surface, (0, 0, *self.canvas.size), mask)

    def line(self, points: Points, colour: Colour, width: float) -> None:
        ImageDraw.Draw(self.canvas).line(
            self.place(points), fill=colour, width=max(1, round(width * self.scale)), joint="curve"
        )

    def _mask(self, points: Points) -> Image.Image:
        fine = Image.new("L", (self.canvas.width * _FINE, self.canvas.height * _FINE))
        ImageDraw.Draw(fine).polygon([(x * _FINE, y * _FINE) for x, y in self.place(points)], fill=255)
        return fine.resize(self.canvas.size, Image.Resampling.BOX)


def _oval(x: float, y: float, long: float, high: float, *, turn: float = 0.0, egg: float = 0.0) -> Points:
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    px, py = long * np.cos(angle), high * np.sin(angle) * (1 + egg * np.cos(angle))
    return np.stack([x + np.cos(turn) * px - np.sin(turn) * py, y + np.sin(turn) * px + np.cos(turn) * py], 1)


class _Coat:
    """The colours and surfaces of one creature, given out at random."""

    def __init__(self, rng: np.random.Generator, own: Sequence[Sequence[float]], skins: list[Image.Image]) -> None:
        self.rng, self.own, self.skins = rng, own, skins

    def colour(self) -> Colour:
        return _rgb(np.asarray(self.own[int(self.rng.integers(len(self.own)))]) * 255)

    def any(self) -> Image.Image | Colour:
        return self.skins[int(self.rng.integers(len(self.skins)))] if self.rng.random() < 0.5 else self.colour()


def _rgb(values: Points) -> Colour:
    red, green, blue = np.clip(values, 0, 255).astype(int).tolist()
    return red, green, blue


def _body(pen: _Pen, rng: np.random.Generator, coat: _Coat) -> None:
    """Far parts first: legs, tail, trunk with its marks, head, wing."""
    long, high, egg = rng.uniform(0.75, 1.1), rng.uniform(0.3, 0.62), rng.uniform(-0.2, 0.3)
    trunk = _oval(0, 0, long, high, egg=egg)
    _legs(pen, rng, coat, long, high)
    reach, fork, lift = long + rng.uniform(0.3, 1.5), rng.uniform(0.05, 0.35), rng.normal(0, 0.3)
    notch = [-long - (reach - long) * rng.uniform(0.7, 1), lift]
    root = [-long * 0.6, high * 0.35]
    tail = [root, [-reach, lift + fork], notch, [-reach, lift - fork], [root[0], -root[1]]]
    pen.fill(np.array(tail), coat.any())
    pen.fill(trunk, coat.any())
    if rng.random() < 0.7:  # the underside
        under = _oval(rng.uniform(0, 0.3), -high * rng.uniform(0.4, 0.9), long * rng.uniform(0.5, 1), high * 0.65)
        pen.fill(under, coat.any(), within=trunk, soft=rng.uniform(0.6, 4))
    if rng.random() < 0.4:  # a band across
        band = _oval(long * rng.uniform(0.2, 0.8), 0, rng.uniform(0.08, 0.3), high * 1.2, turn=rng.normal(0, 0.4))
        pen.fill(band, coat.colour(), within=trunk, soft=rng.uniform(0.6, 3))
    _head(pen, rng, coat, long, high)
    _wing(pen, rng, coat, long, high)


def _legs(pen: _Pen, rng: np.random.Generator, coat: _Coat, long: float, high: float) -> None:
    count = int(rng.choice([0, 2, 2, 2, 4]))
    for at in range(count):
        x = rng.uniform(-0.2, 0.3) if count == 2 else (-0.6, -0.45, 0.4, 0.55)[at] * long
        foot = -high - rng.uniform(0.2, 0.8)
        path = [[x, -high * 0.5], [x + rng.normal(0, 0.1), foot * 0.8], [x + rng.normal(0, 0.12), foot]]
        pen.line(np.array(path), coat.colour(), rng.uniform(0.03, 0.12))


def _head(pen: _Pen, rng: np.random.Generator, coat: _Coat, long: float, high: float) -> None:
    """Neck, skull, beak or snout, cap, stripe, crest, eye."""
    up, forth, skull = rng.uniform(0.1, 0.9), long * rng.uniform(0.75, 1.15), rng.uniform(0.2, 0.42)
    head, face = _oval(forth, up, skull * rng.uniform(1, 1.35), skull, turn=rng.normal(0, 0.3)), coat.any()
    neck = [[forth - skull * 0.9, up + skull * 0.3], [long * 0.2, high * 0.8], [long * 0.8, -high * 0.4]]
    pen.fill(np.array([*neck, [forth + skull * 0.6, up - skull * 0.5]]), face)
    pen.fill(head, face)
    beak, thick = rng.uniform(0.1, 1.0) * rng.uniform(0.3, 1), skull * rng.uniform(0.2, 0.7)
    tip, root = [forth + skull + beak, up - rng.uniform(-0.1, 0.4) * beak], forth + skull * 0.8
    pen.fill(np.array([[root, up + thick], tip, [root, up - thick]]), coat.colour())
    if rng.random() < 0.5:  # cap
        pen.fill(_oval(forth, up + skull * rng.uniform(0.5, 0.9), skull * 1.2, skull * 0.6), coat.colour(), within=head)
    if rng.random() < 0.4:  # stripe through the eye, cheek, throat
        stripe = _oval(forth, up + rng.normal(0, 0.3) * skull, skull * 1.2, skull * rng.uniform(0.1, 0.4))
        pen.fill(stripe, coat.colour(), within=head)
    if rng.random() < 0.15:  # crest, ear, horn
        top = [forth - skull * rng.uniform(-0.3, 1), up + skull * rng.uniform(1.4, 2.6)]
        crest = [[forth - skull * 0.6, up + skull * 0.6], top, [forth + skull * 0.3, up + skull * 0.9]]
        pen.fill(np.array(crest), coat.any())
    x, y, spot = forth + skull * rng.uniform(0.1, 0.5), up + skull * rng.uniform(0, 0.3), skull * rng.uniform(0.1, 0.25)
    if rng.random() < 0.5:
        pen.fill(_oval(x, y, spot * 1.7, spot * 1.7), coat.colour())
    pen.fill(_oval(x, y, spot, spot), (8, 8, 10))
    pen.fill(_oval(x + spot * 0.3, y + spot * 0.4, spot * 0.3, spot * 0.3), (240, 240, 240))


def _wing(pen: _Pen, rng: np.random.Generator, coat: _Coat, long: float, high: float) -> None:
    """Folded along the body or spread; with feathers along it and bars across it."""
    root = np.array([long * rng.uniform(0.3, 0.6), high * rng.uniform(0, 0.5)])
    if rng.random() < 0.2:
        tip, back = np.array([rng.normal(-0.3, 0.4), rng.uniform(1, 2.2)]), np.array([-long * 0.5, high * 0.3])
        front = (root + tip) / 2 + [0.3, 0.2]
    else:
        tip = np.array([-long * rng.uniform(0.7, 1.5), -high * rng.uniform(-0.3, 0.4)])
        back, front = ((root + tip) / 2 + [0, high * rng.uniform(*way)] for way in ((-0.9, -0.4), (0.1, 0.5)))
    pen.fill(np.array([root, front, tip, back]), coat.any())
    feathers, bars, middle = coat.colour(), coat.colour(), (root + tip) / 2
    for share in np.linspace(0.1, 0.9, int(rng.integers(0, 9))):
        pen.line(np.array([root + (back - root) * share * 0.5, tip + (back - tip) * share * 0.7]), feathers, 0.02)
    for share in rng.uniform(0.2, 0.8, int(rng.integers(0, 3))):
        along = root + (tip - root) * share
        pen.line(np.array([along + (each - middle) * 0.8 for each in (front, back)]), bars, rng.uniform(0.03, 0.12))


def _perch(pen: _Pen, rng: np.random.Generator) -> None:
    """A branch with twigs, or the ground below."""
    dark = _rgb(rng.uniform(20, 120) * np.array([1.0, rng.uniform(0.7, 1), rng.uniform(0.4, 0.9)]))
    y = -rng.uniform(0.6, 1.2)
    if rng.random() < 0.6:
        xs = np.linspace(-4, 4, 6)
        branch = np.stack([xs, y + rng.normal(0, 0.08, 6) + xs * rng.normal(0, 0.1)], 1)
        pen.line(branch, dark, rng.uniform(0.04, 0.4))
        for x in rng.uniform(-2, 2, int(rng.integers(0, 4))):
            twig = [[x, y], [x + rng.normal(0, 0.8), y + rng.normal(0, 1)]]
            pen.line(np.array(twig), dark, rng.uniform(0.02, 0.12))
    else:
        ground = [[-6, y], [0, y + rng.normal(0, 0.15)], [6, y], [6, -6], [-6, -6]]
        pen.fill(np.array(ground), dark, soft=rng.uniform(0.6, 6))


def _before(canvas: Image.Image, rng: np.random.Generator) -> None:
    """Blades that hide a part."""
    pen, green = ImageDraw.Draw(canvas), rng.uniform([20, 60, 10], [120, 190, 80])
    for _ in range(int(rng.integers(3, 25))):
        x, tall, lean = rng.uniform(0, canvas.width), rng.uniform(0.1, 0.7) * canvas.height, rng.normal(0, 25)
        path = [(x, canvas.height), (x + lean * 0.4, canvas.height - tall * 0.6), (x + lean, canvas.height - tall)]
        pen.line(path, fill=_rgb(green * rng.uniform(0.6, 1.4)), width=int(rng.integers(1, 5)))
