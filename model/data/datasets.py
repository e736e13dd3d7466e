"""Labelled data sets in their original layouts, as paths and class indices; imports no torch."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model import errors

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
METADATA = "metadata.csv"


@dataclass(frozen=True)
class Dataset:
    """Paths, class indices and the official test share; `test_N` is empty where the layout has no split of its own."""

    class_names: list[str]
    paths: list[Path]
    labels_N: NDArray[np.int64]
    test_N: NDArray[np.bool_]


def load(name: str, root: Path) -> Dataset:
    """Read the data set `name` below `root`. Raises UnknownName, or BadInput with the tree that was expected."""
    if name not in DATASETS:
        raise errors.UnknownName("data set", name, DATASETS)
    return DATASETS[name](root)


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
    """An ImageFolder (one folder a class, nested files allowed); a metadata.csv with file and split gives the split."""
    _expect(root.is_dir(), root, "CLASS/IMAGE.jpg ...", "any folder with one folder of images for each class")
    names = sorted(each.name for each in root.iterdir() if each.is_dir() and not each.name.startswith("."))
    paths, labels = [], []
    for k, name in enumerate(names):
        found = sorted(p for p in (root / name).rglob("*") if p.suffix.lower() in SUFFIXES)
        paths += found
        labels += [k] * len(found)
    _expect(len(paths) > 0, root, "CLASS/IMAGE.jpg ...", "any folder with one folder of images for each class")
    return Dataset(names, paths, np.array(labels, np.int64), _metadata_split(root, paths))


def _metadata_split(root: Path, paths: list[Path]) -> NDArray[np.bool_]:
    if not (root / METADATA).is_file():
        return np.empty(0, bool)
    with (root / METADATA).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"file", "split"} <= rows[0].keys():
        return np.empty(0, bool)
    splits = {row["file"]: row["split"] for row in rows}
    return np.array([splits.get(path.relative_to(root).as_posix()) == "test" for path in paths])


def cub200(root: Path) -> Dataset:
    """CUB-200-2011 in its original layout (ids are 1-based)."""
    tree = (
        "images/001.Black_footed_Albatross/*.jpg, images.txt, image_class_labels.txt, train_test_split.txt, classes.txt"
    )
    _expect((root / "images.txt").is_file(), root, tree, "https://www.vision.caltech.edu/datasets/cub_200_2011/")
    files, classes = _pairs(root / "images.txt"), _pairs(root / "classes.txt")
    labels, train = _pairs(root / "image_class_labels.txt"), _pairs(root / "train_test_split.txt")
    ids = sorted(files, key=int)
    names = [classes[key].split(".", 1)[-1].replace("_", " ") for key in sorted(classes, key=int)]
    return Dataset(
        names,
        [root / "images" / files[key] for key in ids],
        np.array([int(labels[key]) - 1 for key in ids], np.int64),
        np.array([train[key] == "0" for key in ids]),
    )


def aircraft(root: Path) -> Dataset:
    """FGVC-Aircraft in its original layout, the 100 variants; trainval is train."""
    data = root / "data" if (root / "data").is_dir() else root
    tree = "data/images/*.jpg, data/variants.txt, data/images_variant_trainval.txt, data/images_variant_test.txt"
    _expect((data / "variants.txt").is_file(), root, tree, "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/")
    names = [line.strip() for line in (data / "variants.txt").read_text(encoding="utf-8").splitlines() if line.strip()]
    index = {name: k for k, name in enumerate(names)}
    paths, labels, test = [], [], []
    for part in ("trainval", "test"):
        for image, variant in _pairs(data / f"images_variant_{part}.txt").items():
            paths.append(data / "images" / f"{image}.jpg")
            labels.append(index[variant])
            test.append(part == "test")
    return Dataset(names, paths, np.array(labels, np.int64), np.array(test))


def cars(root: Path) -> Dataset:
    """Stanford Cars in its original layout; scipy reads the annotation tables (arrays only, no objects run)."""
    from scipy import io

    tree = "cars_train/*.jpg, cars_test/*.jpg, devkit/cars_meta.mat, devkit/cars_train_annos.mat, cars_test_annos_withlabels.mat"
    meta = root / "devkit" / "cars_meta.mat"
    _expect(meta.is_file(), root, tree, "Stanford Cars (Krause et al. 2013)")
    names = [str(name) for name in io.loadmat(meta, simplify_cells=True)["class_names"]]
    paths, labels, test = [], [], []
    parts = (
        ("cars_train", root / "devkit" / "cars_train_annos.mat"),
        ("cars_test", root / "cars_test_annos_withlabels.mat"),
    )
    for part, table in parts:
        _expect(table.is_file(), root, tree, "Stanford Cars (Krause et al. 2013)")
        for row in io.loadmat(table, simplify_cells=True)["annotations"]:
            paths.append(root / part / str(row["fname"]))
            labels.append(int(row["class"]) - 1)
            test.append(part == "cars_test")
    return Dataset(names, paths, np.array(labels, np.int64), np.array(test))


def _pairs(path: Path) -> dict[str, str]:
    """Lines of "key rest"."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split(" ", 1) for line in (each.strip() for each in lines) if " " in line)


def _expect(there: bool, root: Path, tree: str, source: str) -> None:
    if not there:
        raise errors.BadInput(
            f"{root} does not hold the data; expected there: {tree} (from {source}); or give --root DIR"
        )


DATASETS: dict[str, Callable[[Path], Dataset]] = {
    "folder": folder,
    "cub200": cub200,
    "cars": cars,
    "aircraft": aircraft,
}
