"""What a simulation runs on: images with known truth, their pixels, their embeddings (kept on disk) and their split."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app import errors
from model.data import demo, pixels

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]
Progress = Callable[[float, str], None]
Embed = Callable[[NDArray[np.uint8]], Floats]

IMAGE_TYPES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
POOL, TEST = 0, 1
POOL_SHARE = 0.6  # of each class, where the folder has no split of its own
UNUSABLE = -1  # the truth of an image that the oracle rejects
DEMO_TEST_IMAGES = 2000


@dataclasses.dataclass(frozen=True)
class Material:
    """All images of a simulation: class index (or UNUSABLE) each, and the side of the split when it is given.

    `images_NHWC` are uint8 squares, None when only kept embeddings are used.
    """

    name: str
    class_names: list[str]
    labels_N: Ints
    split_N: Ints | None
    images_NHWC: NDArray[np.uint8] | None
    embeddings_ND: Floats

    def split(self, seed: int) -> tuple[Ints, Ints]:
        """(pool, test) positions: the given split, else 60 % of every class, drawn by `seed`."""
        if self.split_N is not None:
            return np.flatnonzero(self.split_N == POOL), np.flatnonzero(self.split_N == TEST)
        rng, pool = np.random.default_rng([0x5917, seed]), np.zeros(len(self.labels_N), dtype=bool)
        for label in np.unique(self.labels_N):
            members = rng.permutation(np.flatnonzero(self.labels_N == label))
            pool[members[: round(POOL_SHARE * len(members))]] = True
        return np.flatnonzero(pool), np.flatnonzero(~pool & (self.labels_N != UNUSABLE))


def from_folder(
    folder: Path, *, key: str, side: int, cache: Path, keep_pixels: bool, embed: Embed, progress: Progress
) -> Material:
    """An ImageFolder (one folder per class); metadata.csv with columns file and split (train, test) sets the split."""
    files, names = image_folder(folder)
    if len(names) < 2:
        raise errors.BadRequest(
            f"{folder} holds {len(names)} class folders with images; a simulation needs at least two"
        )
    labels_N = np.array([names.index(file.parent.name) for file in files], dtype=np.int64)
    digest = hashlib.sha256(
        "\n".join([key, *(f"{file}|{file.stat().st_size}|{file.stat().st_mtime_ns}" for file in files)]).encode()
    ).hexdigest()[:16]
    kept = cache / f"simulate-{folder.name}-{digest}.npy"
    if kept.exists() and not keep_pixels:
        embeddings_ND = np.load(kept, allow_pickle=False)
        return Material(folder.name, names, labels_N, _split_of(folder, files), None, embeddings_ND)
    images = _decode(files, side, progress)
    embeddings_ND = embed(images)
    cache.mkdir(parents=True, exist_ok=True)
    partial = kept.with_name(f"tmp-{kept.name}")
    np.save(partial, embeddings_ND)
    partial.rename(kept)
    return Material(folder.name, names, labels_N, _split_of(folder, files), images, embeddings_ND)


def from_demo(*, count: int, side: int, seed: int, embed: Embed, progress: Progress) -> Material:
    """A demo pool of `count` drawn images (3 % unusable) and 2,000 freshly drawn test images."""
    total = count + DEMO_TEST_IMAGES
    images, labels_N = np.empty((total, side, side, 3), np.uint8), np.empty(total, np.int64)
    for at in range(total):
        in_test = at >= count
        drawn = demo.draw((seed + 1) * 10_000_019 + at, at % len(demo.CLASS_NAMES) if in_test else None)
        square = Image.fromarray(drawn.image).resize((side, side), Image.Resampling.BICUBIC)
        images[at], labels_N[at] = np.asarray(square), drawn.class_index
        if at % 50 == 0:
            progress(at / total, "drawing demo images")
    split_N = np.where(np.arange(total) < count, POOL, TEST).astype(np.int64)
    return Material("demo pool", list(demo.CLASS_NAMES), labels_N, split_N, images, embed(images))


def image_folder(folder: Path) -> tuple[list[Path], list[str]]:
    """Image files in folders named by their class, sorted, and the class names, sorted."""
    if not folder.is_dir():
        raise errors.BadRequest(f"{folder} is no folder")
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    files = [f for entry in classes for f in sorted(entry.iterdir()) if f.suffix.lower() in IMAGE_TYPES]
    return files, sorted({file.parent.name for file in files})


def _decode(files: list[Path], side: int, progress: Progress) -> NDArray[np.uint8]:
    images = np.empty((len(files), side, side, 3), dtype=np.uint8)
    for at, file in enumerate(files):
        images[at] = pixels.decode(file, size=side)
        if at % 20 == 0:
            progress(at / len(files), f"decoding {len(files)} images")
    return images


def _split_of(folder: Path, files: list[Path]) -> Ints | None:
    table = folder / "metadata.csv"
    if not table.exists():
        return None
    with table.open(encoding="utf-8", newline="") as handle:
        sides = {row["file"]: row.get("split", "") for row in csv.DictReader(handle)}
    named = [sides.get(file.relative_to(folder).as_posix(), "") for file in files]
    if "test" not in named or "train" not in named:
        return None
    return np.array([{"train": POOL, "test": TEST}.get(side, -1) for side in named], dtype=np.int64)
