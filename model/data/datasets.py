"""Labelled data sets by name, and how one is divided; imports no torch."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model import errors
from model.data import dataset, demo, image_lists, published_sets

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
METADATA = demo.SORTED_FILE
BOX = ("x", "y", "w", "h")
Dataset = dataset.Dataset


@dataclasses.dataclass(frozen=True)
class Parts:
    """Positions of a data set's images: what is trained on with and without labels, what chooses the checkpoint, and what
    nothing is ever chosen by."""

    labelled: NDArray[np.int64]
    unlabelled: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def load(name: str, root: Path, *, classes: int = 0) -> Dataset:
    """Read the data set `name` below `root`, in its authors' layout or with image lists; `classes`: only the first so many.

    Raises UnknownName, or BadInput with the tree that was expected.
    """
    if name not in DATASETS:
        raise errors.UnknownName("data set", name, DATASETS)
    listed = image_lists.home(name, root) if name in image_lists.FOLDERS else None
    if listed is not None:
        return image_lists.read(listed, classes=classes)
    return dataset.first_classes(DATASETS[name](root), classes)


def part(data: Dataset, *, ratio: float, seed: int, validation: float = 0.1, test_share: float = 0.4) -> Parts:
    """Divide a data set; the same seed gives the same parts, and the same test part for any ratio.

    The labelled images are those of the published list of that many per cent, if there is one, else a stratified share of
    the training images with at least one of every class. The validation share comes from the other training images,
    class by class, at least one where a class has three; a class that is labelled whole gives up labels for it, but not
    its last. Neither part of the training images holds a test image.
    """
    rng = np.random.default_rng(seed)
    train, test = split(data, rng=rng, test_share=test_share)
    listed = data.lists.get(round(100 * ratio)) if abs(100 * ratio - round(100 * ratio)) < 1e-9 else None
    labelled = listed if listed is not None else train[labelled_part(data.labels_N[train], ratio, rng=rng)]
    if not 0 <= validation < 1:
        raise errors.BadInput(f"the validation share is 0 or more and below 1, not {validation}")
    held = []
    for k in np.unique(data.labels_N[train]) if validation > 0 else ():
        members = rng.permutation(train[data.labels_N[train] == k])
        wanted = max(round(len(members) * validation), 1 if len(members) >= 3 else 0)
        with_label = np.isin(members, labelled)
        spare = np.concatenate([members[~with_label], members[with_label][1:]])
        held.append(spare[:wanted])
    apart = np.sort(np.concatenate(held)) if held else np.empty(0, np.int64)
    labelled = np.setdiff1d(labelled, apart)
    return Parts(labelled, np.setdiff1d(train, np.concatenate([labelled, apart])), apart, test)


def split(
    dataset: Dataset, *, rng: np.random.Generator, test_share: float = 0.4
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(train, test) positions: the official split, else `test_share` of every class at random."""
    if len(dataset.test_N):
        return np.flatnonzero(~dataset.test_N), np.flatnonzero(dataset.test_N)
    test = np.zeros(len(dataset.paths), bool)
    for k in range(len(dataset.class_names)):
        members = rng.permutation(np.flatnonzero(dataset.labels_N == k))
        test[members[: round(len(members) * test_share)]] = True
    return np.flatnonzero(~test), np.flatnonzero(test)


def labelled_part(labels_N: NDArray[np.int64], ratio: float, *, rng: np.random.Generator) -> NDArray[np.int64]:
    """Positions of a stratified share of the labels, at least one of every class that occurs."""
    if not 0 < ratio <= 1:
        raise errors.BadInput(f"the labelled ratio is a share above 0 and up to 1, not {ratio}")
    chosen = []
    for k in np.unique(labels_N):
        members = rng.permutation(np.flatnonzero(labels_N == k))
        chosen.append(members[: max(1, round(len(members) * ratio))])
    return np.sort(np.concatenate(chosen))


def folder(root: Path) -> Dataset:
    """An ImageFolder (one folder a class, nested files allowed); a metadata.csv with file may give split and boxes."""
    tree, source = "CLASS/IMAGE.jpg ...", "any folder with one folder of images for each class"
    dataset.expect(root.is_dir(), root, tree, source)
    names = sorted(each.name for each in root.iterdir() if each.is_dir() and not each.name.startswith("."))
    paths, labels = [], []
    for k, name in enumerate(names):
        found = sorted(p for p in (root / name).rglob("*") if p.suffix.lower() in SUFFIXES)
        paths += found
        labels += [k] * len(found)
    dataset.expect(len(paths) > 0, root, tree, source)
    ids = [path.relative_to(root).as_posix() for path in paths]
    told = _metadata(root)
    splits = [told.get(each, {}).get("split") for each in ids]
    test_N = np.array([each == "test" for each in splits]) if any(splits) else np.empty(0, bool)
    boxes_N4 = np.array([_box(told.get(each, {})) for each in ids], np.float64)
    return Dataset(names, paths, np.array(labels, np.int64), test_N, ids, boxes_N4)


def demo_pool(root: Path) -> Dataset:
    """The drawn beetles in a folder a class, drawn where they are not yet."""
    if not (root / METADATA).is_file():
        demo.make_sorted(root)
    return folder(root)


def _metadata(root: Path) -> dict[str, dict[str, str]]:
    if not (root / METADATA).is_file():
        return {}
    with (root / METADATA).open(newline="", encoding="utf-8") as file:
        return {row["file"]: row for row in csv.DictReader(file) if row.get("file")}


def _box(row: dict[str, str]) -> tuple[float, ...]:
    try:
        return tuple(float(row[name]) for name in BOX)
    except (KeyError, TypeError, ValueError):
        return (np.nan,) * 4


DATASETS: dict[str, Callable[[Path], Dataset]] = {
    "folder": folder,
    "demo": demo_pool,
    "cub200": published_sets.cub200,
    "cars": published_sets.cars,
    "aircraft": published_sets.aircraft,
    "dogs": published_sets.dogs,
}
