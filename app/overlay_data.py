"""Images with known classes and, where somebody drew them, true boxes: what maps are measured on."""

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app import errors
from model import errors as model_errors
from model.data import datasets, demo, pixels

Progress = Callable[[float, str], None]
BOX = ("x", "y", "w", "h")
TEST_SHARE = 0.4  # where a folder has no split of its own


@dataclasses.dataclass(frozen=True)
class Material:
    """Images (N, side, side, 3); label -1 where an image is of no class; labelled_N, unlabelled_N (to train on) and test_N
    are positions; boxes_N4 in shares of the image, NaN where nobody drew one."""

    name: str
    class_names: list[str]
    images_NHWC: NDArray[np.uint8]
    labels_N: NDArray[np.int64]
    boxes_N4: NDArray[np.float64]
    labelled_N: NDArray[np.int64]
    unlabelled_N: NDArray[np.int64]
    test_N: NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Sizes:
    """How many images are labelled, unlabelled (0: all that are left) and tested, at most."""

    labelled: int
    unlabelled: int
    test: int


def from_demo(sizes: Sizes, *, side: int, progress: Progress) -> Material:
    """Freshly drawn beetles; the box is that of the mark on the back, the one thing that tells the classes apart."""
    known, unknown = sizes.labelled, sizes.unlabelled or 4 * sizes.labelled
    total = known + unknown + sizes.test
    images, labels_N, boxes_N4 = np.empty((total, side, side, 3), np.uint8), np.empty(total, np.int64), _none(total)
    for at in range(total):
        free = known <= at < known + unknown  # as a pool is: any class, or none
        drawn = demo.draw(7_000_003 + at, None if free else at % len(demo.CLASS_NAMES))
        square = Image.fromarray(drawn.image).resize((side, side), Image.Resampling.BICUBIC)
        images[at], labels_N[at] = np.asarray(square), drawn.class_index
        if drawn.class_index != demo.UNUSABLE:
            boxes_N4[at] = np.array(drawn.region) / demo.SIDE
        if at % 20 == 0:
            progress(at / total, f"drawing {at:,} of {total:,} images")
    parts = np.split(np.arange(total), [known, known + unknown])
    return Material("demo pool", list(demo.CLASS_NAMES), images, labels_N, boxes_N4, *parts)


def from_folder(folder: Path, sizes: Sizes, *, side: int, seed: int, progress: Progress) -> Material:
    """One folder a class; metadata.csv with file and x, y, w, h, img_w, img_h gives boxes, with split the split."""
    data, rng = datasets.folder(folder), np.random.default_rng(seed)
    train_N, test_N = datasets.split(data, rng=rng, test_share=TEST_SHARE)
    ratio = min(1.0, sizes.labelled / max(1, len(train_N)))
    labelled_N = train_N[datasets.labelled_part(data.labels_N[train_N], ratio, rng=rng)]
    rest_N = rng.permutation(np.setdiff1d(train_N, labelled_N))[: sizes.unlabelled or None]
    parts = [labelled_N, np.sort(rest_N), np.sort(rng.permutation(test_N)[: sizes.test])]
    kept, images, at_N = [], [], []
    for part, positions in enumerate(parts):
        for position in positions:
            try:
                images.append(pixels.decode(data.paths[position], size=side))
            except model_errors.UnreadableImage as problem:
                print(f"left out: {problem}")
                continue
            kept.append(int(position))
            at_N.append(part)
            if len(kept) % 50 == 0:
                progress(len(kept) / sum(map(len, parts)), f"decoding {len(kept):,} images of {folder.name}")
    boxes_N4 = _boxes(folder, [data.paths[position] for position in kept])
    if not images or set(at_N) < {0, 2}:
        raise errors.BadRequest(f"{folder} needs readable images to train on and to test")
    places = [np.flatnonzero(np.array(at_N) == part) for part in range(3)]
    return Material(folder.name, data.class_names, np.stack(images), data.labels_N[kept], boxes_N4, *places)


def _none(count: int) -> NDArray[np.float64]:
    return np.full((count, 4), np.nan)


def _boxes(folder: Path, paths: list[Path]) -> NDArray[np.float64]:
    """Boxes in shares of each image; NaN where the metadata has none."""
    found, boxes_N4 = {}, _none(len(paths))
    if (folder / datasets.METADATA).is_file():
        with (folder / datasets.METADATA).open(newline="", encoding="utf-8") as file:
            found = {row["file"]: row for row in csv.DictReader(file) if row.get("file")}
    for at, path in enumerate(paths):
        row = found.get(path.relative_to(folder).as_posix(), {})
        try:
            x, y, w, h = (float(row[name]) for name in BOX)
            width, height = float(row["img_w"]), float(row["img_h"])
        except (KeyError, TypeError, ValueError):
            continue
        boxes_N4[at] = (x / width, y / height, (x + w) / width, (y + h) / height)
    return boxes_N4
