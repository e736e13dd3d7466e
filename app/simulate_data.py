"""What a simulation runs on: images with known truth, their embeddings, where there are any their pixels, and their split."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app import errors, simulate_boxes
from model.data import demo, pixels, sources

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

    `images_NHWC` are uint8 squares, None when only kept embeddings are used. Images of one of `groups_N` are always on
    the same side of a split that is drawn.
    """

    name: str
    class_names: list[str]
    labels_N: Ints
    split_N: Ints | None
    images_NHWC: NDArray[np.uint8] | None
    embeddings_ND: Floats
    features: str = ""  # what the embeddings are, in words
    groups_N: Ints | None = None

    def split(self, seed: int) -> tuple[Ints, Ints]:
        """(pool, test) positions: the given split, else 60 % of every class, by groups nearly so, drawn by `seed`."""
        if self.split_N is not None:
            return np.flatnonzero(self.split_N == POOL), np.flatnonzero(self.split_N == TEST)
        rng, pool = np.random.default_rng([0x5917, seed]), np.zeros(len(self.labels_N), dtype=bool)
        if self.groups_N is not None:
            pool = _by_groups(self.labels_N, self.groups_N, rng)
        for label in np.unique(self.labels_N) if self.groups_N is None else ():
            members = rng.permutation(np.flatnonzero(self.labels_N == label))
            pool[members[: round(POOL_SHARE * len(members))]] = True
        return np.flatnonzero(pool), np.flatnonzero(~pool & (self.labels_N != UNUSABLE))


def _by_groups(labels_N: Ints, groups_N: Ints, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Whether each image is in the pool: whole groups in random order, as long as the pool lacks images of their classes."""
    lacking_K = POOL_SHARE * np.bincount(labels_N - UNUSABLE)
    pool = np.zeros(len(labels_N), dtype=bool)
    order_N = np.argsort(groups_N, kind="stable")
    parts = np.split(order_N, np.flatnonzero(np.diff(groups_N[order_N])) + 1)
    for at in rng.permutation(len(parts)):
        counts_K = np.bincount(labels_N[parts[at]] - UNUSABLE, minlength=len(lacking_K))
        if counts_K @ lacking_K > 0:
            pool[parts[at]] = True
            lacking_K = lacking_K - counts_K
    return pool


def from_folder(
    folder: Path,
    *,
    key: str,
    side: int,
    cache: Path,
    keep_pixels: bool,
    embed: Embed,
    progress: Progress,
    decode: Callable[[Path, int], NDArray[np.uint8]] | None = None,
    boxed: simulate_boxes.Boxed | None = None,
) -> Material:
    """An ImageFolder (one folder per class), or `boxed`, boxes in its pictures; metadata.csv with columns file and split
    (train, test) sets the split.

    `decode` makes a square of a file and its side (default: of the whole picture); `key` says what makes embeddings differ.
    """
    files, names = (boxed.files, sorted(set(filter(None, boxed.classes)))) if boxed else image_folder(folder)
    if len(names) < 2:
        what = "classes of boxes" if boxed else "class folders with images"
        raise errors.BadRequest(f"{folder} holds {len(names)} {what}; a simulation needs at least two")
    said = boxed.classes if boxed else [file.parent.name for file in files]
    labels_N = np.array([names.index(name) if name else UNUSABLE for name in said], dtype=np.int64)
    places: Sequence[Any] = boxed.places if boxed else files
    stats = [
        f"{place}|{file.stat().st_size}|{file.stat().st_mtime_ns}" for place, file in zip(places, files, strict=True)
    ]
    digest = hashlib.sha256("\n".join([key, str(side), *stats]).encode()).hexdigest()[:16]
    kept = cache / f"simulate-{folder.name}-{digest}.npy"
    images = None if kept.exists() and not keep_pixels else _decode(places, side, progress, decode or _whole)
    if not kept.exists():
        assert images is not None
        cache.mkdir(parents=True, exist_ok=True)
        partial = kept.with_name(f"tmp-{kept.name}")
        np.save(partial, embed(images))
        partial.rename(kept)
    embeddings_ND = np.load(kept, allow_pickle=False)
    groups_N = boxed.groups_N if boxed else None
    return Material(folder.name, names, labels_N, split_of(folder, files), images, embeddings_ND, groups_N=groups_N)


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


def from_digits() -> Material:
    """Scikit-learn's bundled digits: 1,797 images of ten classes, the 64 raw pixel values as embedding, no split."""
    try:
        from sklearn import datasets
    except ImportError as missing:
        raise errors.BadRequest(
            "the digits come with scikit-learn, which is not installed: pip install scikit-learn"
        ) from missing
    data = datasets.load_digits()
    names = [str(digit) for digit in range(10)]
    return Material(
        "digits", names, data.target.astype(np.int64), None, None, data.data.astype(np.float32), "raw pixels"
    )


def from_embeddings(file: Path) -> Material:
    """A saved .npz file; BadRequest says what is wrong with it.

    embeddings_ND: numbers, a row for each image. labels_N: class index of each, -1 for an image that the oracle
    rejects. Optional: class_names, a name for each index; split, for each image 0 in the pool, 1 in the test, -1 in
    neither (without it 60 % of every class are the pool, drawn by the seed). Never a pickle.
    """
    arrays = _arrays(file)
    for name in ("embeddings_ND", "labels_N"):
        if name not in arrays:
            raise errors.BadRequest(f"{file} holds no array {name!r}, only {sorted(arrays)}; see simulate --help")
    labels_N = _whole_numbers(file, "labels_N", arrays["labels_N"])
    embeddings_ND = _embeddings(file, arrays["embeddings_ND"], len(labels_N))
    count = int(labels_N.max(initial=-1)) + 1
    if labels_N.min(initial=0) < UNUSABLE or len(np.unique(labels_N[labels_N >= 0])) < 2:
        raise errors.BadRequest(
            f"labels_N of {file} must be class indices of two classes or more, -1 where the oracle rejects"
        )
    names = [str(name) for name in arrays.get("class_names", [f"class {k}" for k in range(count)])]
    if len(names) < count:
        raise errors.BadRequest(f"class_names of {file} has {len(names)} names, labels_N goes up to {count - 1}")
    split_N = None
    if "split" in arrays:
        split_N = _whole_numbers(file, "split", arrays["split"])
        if len(split_N) != len(labels_N) or not {POOL, TEST} <= set(split_N.tolist()) <= {POOL, TEST, -1}:
            raise errors.BadRequest(
                f"split of {file} must say for each of {len(labels_N)} images 0 (pool), 1 (test) or -1, with both sides"
            )
    return Material(file.stem, names, labels_N, split_N, None, embeddings_ND, "embeddings as saved")


def save_embeddings(material: Material, file: Path) -> None:
    """Write what `from_embeddings` reads."""
    arrays: dict[str, Any] = {
        "embeddings_ND": material.embeddings_ND,
        "labels_N": material.labels_N,
        "class_names": np.array(material.class_names),
    }
    if material.split_N is not None:
        arrays["split"] = material.split_N
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f"tmp-{file.name}")
    with partial.open("wb") as handle:  # given a name, NumPy would add its own ending
        np.savez_compressed(handle, **arrays)
    partial.rename(file)


def _arrays(file: Path) -> dict[str, NDArray[Any]]:
    try:
        stored = np.load(file, allow_pickle=False)
        if isinstance(stored, np.ndarray):
            raise errors.BadRequest(f"{file} is one array; a .npz file with embeddings_ND and labels_N is needed")
        with stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as problem:
        raise errors.BadRequest(f"cannot read the embeddings {file}: {problem}") from problem


def _whole_numbers(file: Path, name: str, values: NDArray[Any]) -> Ints:
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise errors.BadRequest(
            f"{name} of {file} must be whole numbers, one for each image; it is {values.dtype} of shape {values.shape}"
        )
    return values.astype(np.int64)


def _embeddings(file: Path, values: NDArray[Any], images: int) -> Floats:
    if values.ndim != 2 or len(values) != images or values.dtype.kind not in "fiu" or not values.shape[1]:
        raise errors.BadRequest(
            f"embeddings_ND of {file} must be numbers of shape ({images}, dimensions), as labels_N has {images} entries; "
            f"it is {values.dtype} of shape {values.shape}"
        )
    embeddings_ND = values.astype(np.float32)
    finite_N = np.isfinite(embeddings_ND).all(axis=1)
    if not finite_N.all():
        raise errors.BadRequest(
            f"embeddings_ND of {file} is not finite in row {int(finite_N.argmin())} ({int((~finite_N).sum())} such rows)"
        )
    return embeddings_ND


def image_folder(folder: Path) -> tuple[list[Path], list[str]]:
    """Image files in folders named by their class, sorted, and the class names, sorted."""
    if not folder.is_dir():
        raise errors.BadRequest(f"{folder} is no folder")
    classes = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    files = [f for entry in classes for f in sorted(entry.iterdir()) if f.suffix.lower() in IMAGE_TYPES]
    return files, sorted({file.parent.name for file in files})


def _whole(file: sources.Where, side: int) -> NDArray[np.uint8]:
    return pixels.decode(file, size=side)


def _decode(
    files: Sequence[Any], side: int, progress: Progress, decode: Callable[[Any, int], NDArray[np.uint8]]
) -> NDArray[np.uint8]:
    images = np.empty((len(files), side, side, 3), dtype=np.uint8)
    for at, file in enumerate(files):
        images[at] = decode(file, side)
        if at % 20 == 0:
            progress(at / len(files), f"decoding {len(files)} images")
    return images


def split_of(folder: Path, files: list[Path]) -> Ints | None:
    table = folder / "metadata.csv"
    if not table.exists():
        return None
    with table.open(encoding="utf-8", newline="") as handle:
        sides = {row["file"]: row.get("split", "") for row in csv.DictReader(handle)}
    named = [sides.get(file.relative_to(folder).as_posix(), "") for file in files]
    if "test" not in named or "train" not in named:
        return None
    return np.array([{"train": POOL, "test": TEST}.get(side, -1) for side in named], dtype=np.int64)
