"""The demo pool: procedurally drawn beetles of eight look-alike species that differ in one mark on the back."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from model.data import demo_beetle, demo_leaf, demo_marks, demo_scene

CLASS_NAMES = (
    "Barred Chafer",
    "Ringed Chafer",
    "Crossed Chafer",
    "Chevron Chafer",
    "Twin-spot Chafer",
    "Diamond Chafer",
    "Crescent Chafer",
    "Arrow Chafer",
)
SIDE = 256
UNUSABLE = -1
UNUSABLE_SHARE = 0.03
CLASSES_FILE = "classes.txt"
TRUTH_FILE = "truth.csv"
SORTED_FILE = "metadata.csv"

_CANVAS = SIDE * 2  # drawn at twice the size, halved once at the end: smooth edges
_MARKS = tuple(demo_marks.FIGURES)
_FAULTS = ("black", "blurred", "absent")


@dataclass(frozen=True)
class DemoImage:
    """One drawn image: uint8 (256, 256, 3), class index or -1 when unusable, evidence box x0 y0 x1 y1 in pixels."""

    image: NDArray[np.uint8]
    class_index: int
    region: tuple[int, int, int, int]


def draw(seed: int, class_index: int | None) -> DemoImage:
    """Draw one image. With None the seed decides the class, and makes 3 % unusable; same arguments, same pixels.

    Everything but the mark is drawn before the class is looked at, so nothing else can tell the classes apart.
    """
    rng = np.random.default_rng([0xBEE71E, seed])
    unusable, any_class = rng.random() < UNUSABLE_SHARE, int(rng.integers(len(CLASS_NAMES)))
    if class_index is None:
        class_index = UNUSABLE if unusable else any_class
    if class_index == UNUSABLE:
        return _unusable(rng)
    return _beetle(rng, class_index)


def make(
    folder: Path, *, count: int = 600, seed: int = 0, progress: Callable[[float, str], None] | None = None
) -> None:
    """Write `count` JPEGs with neutral names into `folder`, with classes.txt and truth.csv (which ingest ignores).

    truth.csv has file, class, x, y, w, h (empty class for an unusable image) and is written last: where it stands,
    the pool is complete.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, count])
    rows: list[list[str | int]] = []
    for number, class_index in enumerate(_classes(count, rng)):
        drawn = draw(seed * 1_000_003 + number, class_index)
        name = f"beetle_{number:05d}.jpg"
        Image.fromarray(drawn.image).save(folder / name, quality=90)
        rows.append(_truth_row(name, drawn))
        if progress is not None and (number % 10 == 9 or number == count - 1):
            progress((number + 1) / count, f"drawn {number + 1} of {count} demo images")
    (folder / CLASSES_FILE).write_text("\n".join(CLASS_NAMES) + "\n", encoding="utf-8")
    _write_truth(folder / TRUTH_FILE, rows)


def make_sorted(folder: Path, *, train: int = 600, test: int = 400) -> None:
    """Write images into a folder a class, and metadata.csv with file, split and x, y, w, h; classes as even as can be.

    metadata.csv is written last. Other images than `make` draws.
    """
    rows: list[list[str | int]] = []
    for number in range(train + test):
        drawn = draw(9_000_011 + number, number % len(CLASS_NAMES))
        file = f"{CLASS_NAMES[drawn.class_index]}/{number:05d}.jpg"
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn.image).save(folder / file, quality=90)
        x0, y0, x1, y1 = drawn.region
        rows.append([file, "train" if number < train else "test", x0, y0, x1 - x0, y1 - y0])
    with (folder / SORTED_FILE).open("w", newline="", encoding="utf-8") as out:
        csv.writer(out).writerows([["file", "split", "x", "y", "w", "h"], *rows])


def _classes(count: int, rng: np.random.Generator) -> list[int]:
    """A class index for each image: 3 % unusable, the rest as even as can be, shuffled."""
    unusable = round(count * UNUSABLE_SHARE)
    even = [number % len(CLASS_NAMES) for number in range(count - unusable)]
    order = np.array(even + [UNUSABLE] * unusable)
    return [int(index) for index in rng.permutation(order)]


def _beetle(rng: np.random.Generator, class_index: int) -> DemoImage:
    pose = demo_beetle.random_pose(rng, side=_CANVAS)
    livery = demo_beetle.random_livery(rng)
    turn = rng.uniform(0, 2 * np.pi)
    light = (float(np.cos(turn)), float(np.sin(turn)))
    mark = _MARKS[class_index]
    canvas = demo_scene.background(rng, side=_CANVAS)
    demo_beetle.paint_shadow(canvas, pose, light=light)
    demo_beetle.paint_body(canvas, pose, livery, light=light, rng=rng)
    demo_beetle.paint_mark(canvas, pose, mark, livery.mark)
    demo_leaf.paint_occluders(canvas, demo_beetle.mark_box(pose), rng=rng)
    left, top, right, bottom = (round(edge / 2) for edge in demo_beetle.mark_box(pose, mark))
    return DemoImage(demo_scene.develop(canvas, side=SIDE, rng=rng), class_index, (left, top, right, bottom))


def _unusable(rng: np.random.Generator) -> DemoImage:
    """A black frame, a hopeless blur, or a background with nobody on it."""
    fault = _FAULTS[int(rng.integers(len(_FAULTS)))]
    if fault == "black":
        pixels = rng.integers(0, 12, size=(SIDE, SIDE, 3)).astype(np.uint8)
    elif fault == "blurred":
        sharp = Image.fromarray(_beetle(rng, int(rng.integers(len(CLASS_NAMES)))).image)
        pixels = np.asarray(sharp.filter(ImageFilter.GaussianBlur(SIDE / 14)))
    else:
        canvas = demo_scene.background(rng, side=_CANVAS)
        demo_leaf.paint_occluders(canvas, (0.0, 0.0, 1.0, 1.0), rng=rng)
        pixels = demo_scene.develop(canvas, side=SIDE, rng=rng)
    return DemoImage(pixels, UNUSABLE, (0, 0, 0, 0))


def _truth_row(name: str, drawn: DemoImage) -> list[str | int]:
    if drawn.class_index == UNUSABLE:
        return [name, "", "", "", "", ""]
    left, top, right, bottom = drawn.region
    return [name, CLASS_NAMES[drawn.class_index], left, top, right - left, bottom - top]


def _write_truth(path: Path, rows: list[list[str | int]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "class", "x", "y", "w", "h"])
        writer.writerows(rows)
