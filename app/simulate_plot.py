"""The curves of a simulation as a picture: mean and 95 % band of each strategy, one panel for each condition."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import stats

Floats = NDArray[np.float64]
Point = tuple[float, float]

SCALE = 3  # drawn larger and reduced: smooth lines and letters
ONE, SMALL = (1200, 760), (640, 500)  # size of a single panel and of each of several, in pixels
COLUMNS = 3
LEFT, TOP, RIGHT, BOTTOM = 64, 66, 24, 58
RANDOM = "#5f6368"
# Okabe and Ito 2008: told apart with every common colour blindness; marks tell them apart once more
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKS = ("disc", "square", "triangle", "diamond", "ring")
INK, FAINT, GRID = "#202124", "#5f6368", "#e3e5e8"


@dataclasses.dataclass(frozen=True)
class Curve:
    """Mean and 95 % band (Student's t over seeds) at the budgets of its panel."""

    name: str
    mean_B: Floats
    half_B: Floats
    area: float


@dataclasses.dataclass(frozen=True)
class Panel:
    title: str
    labels_B: list[int]
    curves: list[Curve]
    target: float | None


def draw(results: Sequence[dict[str, Any]], file: Path) -> None:
    """Write the curves of one result, or of several side by side, as a PNG."""
    panels = [_panel(result) for result in results]
    width, height = ONE if len(panels) == 1 else SMALL
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    picture = Image.new("RGB", (width * columns, height * rows), "white")
    for at, panel in enumerate(panels):
        drawn = _Sheet(panel, width, height).draw()
        picture.paste(drawn, (width * (at % columns), height * (at // columns)))
    file.parent.mkdir(parents=True, exist_ok=True)
    picture.save(file, format="PNG", optimize=True)


def _panel(result: dict[str, Any]) -> Panel:
    curves = []
    for name, told in result["strategies"].items():
        curves_SB = np.array(told["curves"])
        seeds = len(curves_SB)
        spread_B = curves_SB.std(axis=0, ddof=1) / math.sqrt(seeds) if seeds > 1 else np.zeros(curves_SB.shape[1])
        half_B = spread_B * (float(stats.t.ppf(0.975, seeds - 1)) if seeds > 1 else 0.0)
        curves.append(Curve(name, curves_SB.mean(axis=0), half_B, told["aubc"]))
    title = f"{result['name']}, {result['conditions']}, {result['seeds']} seeds"
    return Panel(title, result["labels"], curves, result["target"])


class _Sheet:
    """One panel while it is drawn; coordinates in pixels of the finished picture."""

    def __init__(self, panel: Panel, width: int, height: int) -> None:
        self.panel, self.width, self.height = panel, width, height
        self.image = Image.new("RGB", (width * SCALE, height * SCALE), "white")
        self.pen = ImageDraw.Draw(self.image)
        self.left, self.right = float(panel.labels_B[0]), float(max(panel.labels_B[-1], panel.labels_B[0] + 1))
        lows = [float((c.mean_B - c.half_B).min()) for c in panel.curves]
        highs = [float((c.mean_B + c.half_B).max()) for c in panel.curves]
        step = _nice((max(highs) - min(lows)) / 5)
        self.ticks = np.arange(math.floor(min(lows) / step), math.ceil(max(highs) / step) + 1) * step
        self.low, self.high = float(self.ticks[0]), float(self.ticks[-1])

    def draw(self) -> Image.Image:
        self._axes()
        for at, curve in enumerate(self.panel.curves):
            self._band(curve, self._look(at, curve)[0])
        for at, curve in reversed(list(enumerate(self.panel.curves))):
            colour, mark = self._look(at, curve)
            points = self._points(curve.mean_B)
            _polyline(self.pen, points, colour, 2.0, dashed=curve.name == "random")
            every = max(1, len(points) // 12)
            for point in points[::every]:
                _mark(self.pen, mark, point, colour)
        self._legend()
        return self.image.resize((self.width, self.height), Image.Resampling.LANCZOS)

    def _look(self, at: int, curve: Curve) -> tuple[str, str]:
        if curve.name == "random":
            return RANDOM, "disc"
        place = at - 1
        return COLOURS[place % len(COLOURS)], MARKS[(place // len(COLOURS) + place) % len(MARKS)]

    def _x(self, labels: float) -> float:
        return LEFT + (labels - self.left) / (self.right - self.left) * (self.width - LEFT - RIGHT)

    def _y(self, accuracy: float) -> float:
        share = (accuracy - self.low) / max(self.high - self.low, 1e-9)
        return self.height - BOTTOM - share * (self.height - TOP - BOTTOM)

    def _points(self, values_B: Floats) -> list[Point]:
        return [(self._x(b), self._y(float(v))) for b, v in zip(self.panel.labels_B, values_B, strict=True)]

    def _axes(self) -> None:
        _text(self.pen, (LEFT, 12), self.panel.title, 17, INK)
        _text(self.pen, (LEFT, 37), "test accuracy: mean and 95 % band over seeds", 13, FAINT)
        for tick in self.ticks:
            y = self._y(float(tick))
            _polyline(self.pen, [(LEFT, y), (self.width - RIGHT, y)], GRID, 1.0)
            digits = 2 if abs(self.ticks[1] - self.ticks[0]) < 0.0999 else 1
            _text(self.pen, (LEFT - 9, y), f"{tick:.{digits}f}", 13, INK, anchor="rm")
        bottom = self.height - BOTTOM
        step = max(1, _nice((self.right - self.left) / 8))
        for labels in np.arange(math.ceil(self.left / step), math.floor(self.right / step) + 1) * step:
            x = self._x(float(labels))
            _polyline(self.pen, [(x, bottom), (x, bottom + 5)], INK, 1.0)
            _text(self.pen, (x, bottom + 16), f"{labels:.0f}", 13, INK, anchor="mm")
        _polyline(self.pen, [(LEFT, bottom), (self.width - RIGHT, bottom)], INK, 1.2)
        _text(
            self.pen, ((LEFT + self.width - RIGHT) / 2, self.height - 16), "answers of the oracle", 14, INK, anchor="mm"
        )
        target = self.panel.target
        if target is not None and self.low < target < self.high:
            ends = [(float(LEFT), self._y(target)), (float(self.width - RIGHT), self._y(target))]
            _polyline(self.pen, ends, FAINT, 1.2, dashed=True)
            _text(self.pen, (LEFT + 6, self._y(target) - 10), f"target {target:.3g}", 13, FAINT, anchor="lm")

    def _band(self, curve: Curve, colour: str) -> None:
        upper, lower = self._points(curve.mean_B + curve.half_B), self._points(curve.mean_B - curve.half_B)
        mask = Image.new("L", self.image.size, 0)
        outline = [(x * SCALE, y * SCALE) for x, y in [*upper, *reversed(lower)]]
        if len(upper) > 1:
            ImageDraw.Draw(mask).polygon(outline, fill=46)
        self.image.paste(Image.new("RGB", self.image.size, colour), (0, 0), mask)

    def _legend(self) -> None:
        rows, line = self.panel.curves, 21
        font = _font(14)
        widest = max(font.getlength(f"{c.name}  {c.area:.3f}") / SCALE for c in rows)
        left, top = self.width - RIGHT - widest - 62, self.height - BOTTOM - 16 - line * (len(rows) + 1)
        box = [left - 10, top - 6, self.width - RIGHT - 6, self.height - BOTTOM - 10]
        self.pen.rounded_rectangle([v * SCALE for v in box], 6 * SCALE, fill="#ffffff", outline=GRID, width=SCALE)
        _text(self.pen, (self.width - RIGHT - 14, top + 9), "AUBC", 12, FAINT, anchor="rm")
        order = sorted(range(len(rows)), key=lambda at: -rows[at].area)
        for place, at in enumerate(order, start=1):
            y, curve = top + 9 + line * place, rows[at]
            colour, mark = self._look(at, curve)
            _polyline(self.pen, [(left, y), (left + 34, y)], colour, 2.0, dashed=curve.name == "random")
            _mark(self.pen, mark, (left + 17, y), colour)
            _text(self.pen, (left + 42, y), curve.name, 14, INK, anchor="lm")
            _text(self.pen, (self.width - RIGHT - 14, y), f"{curve.area:.3f}", 14, INK, anchor="rm")


def _nice(step: float) -> float:
    """The next of 1, 2, 5, 10 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(max(step, 1e-6)))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step * 0.999)


def _font(size: int) -> Any:
    return ImageFont.load_default(size * SCALE)


def _text(pen: ImageDraw.ImageDraw, at: Point, words: str, size: int, colour: str, anchor: str = "la") -> None:
    pen.text((at[0] * SCALE, at[1] * SCALE), words, fill=colour, font=_font(size), anchor=anchor)


def _polyline(
    pen: ImageDraw.ImageDraw, points: Sequence[Point], colour: str, width: float, *, dashed: bool = False
) -> None:
    scaled = [(x * SCALE, y * SCALE) for x, y in points]
    for piece in _dashes(scaled, 7.0 * SCALE, 5.0 * SCALE) if dashed else [scaled]:
        pen.line(piece, fill=colour, width=round(width * SCALE), joint="curve")


def _dashes(points: list[Point], on: float, off: float) -> list[list[Point]]:
    """Pieces of a line, `on` long with `off` between them."""
    pieces: list[list[Point]] = [[points[0]]]
    drawing, left = True, on
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        length, gone = math.hypot(x1 - x0, y1 - y0), 0.0
        while length - gone > left:
            gone += left
            point = (x0 + (x1 - x0) * gone / length, y0 + (y1 - y0) * gone / length)
            if drawing:
                pieces[-1].append(point)
            else:
                pieces.append([point])
            drawing, left = not drawing, off if drawing else on
        left -= length - gone
        if drawing:
            pieces[-1].append((x1, y1))
    return [piece for piece in pieces if len(piece) > 1]


def _mark(pen: ImageDraw.ImageDraw, mark: str, at: Point, colour: str) -> None:
    x, y, r = at[0] * SCALE, at[1] * SCALE, 4.2 * SCALE
    if mark == "disc":
        pen.ellipse([x - r, y - r, x + r, y + r], fill=colour)
    elif mark == "ring":
        pen.ellipse([x - r, y - r, x + r, y + r], fill="white", outline=colour, width=2 * SCALE)
    elif mark == "square":
        pen.rectangle([x - r * 0.9, y - r * 0.9, x + r * 0.9, y + r * 0.9], fill=colour)
    elif mark == "triangle":
        pen.polygon([(x, y - r * 1.25), (x + r * 1.15, y + r * 0.8), (x - r * 1.15, y + r * 0.8)], fill=colour)
    else:
        pen.polygon([(x, y - r * 1.3), (x + r * 1.3, y), (x, y + r * 1.3), (x - r * 1.3, y)], fill=colour)
