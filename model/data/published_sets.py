"""CUB-200-2011, Stanford Cars, FGVC-Aircraft and Stanford Dogs in the layouts of their authors; imports no torch.

The tables of Cars and Dogs are MATLAB files; scipy reads arrays from them and runs nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from model.data import dataset

CUB = "https://www.vision.caltech.edu/datasets/cub_200_2011/"
CUB_TREE = (
    "images/001.Black_footed_Albatross/*.jpg, images.txt, image_class_labels.txt, train_test_split.txt, classes.txt, "
    "bounding_boxes.txt"
)
CARS = "http://ai.stanford.edu/~jkrause/cars/car_dataset.html, Krause et al. 2013; that page is offline at times"
CARS_TREE = "cars_train/*.jpg, cars_test/*.jpg, devkit/cars_meta.mat, devkit/cars_train_annos.mat, cars_test_annos_withlabels.mat"
AIRCRAFT = "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/"
AIRCRAFT_TREE = (
    "data/images/*.jpg, data/variants.txt, data/images_variant_trainval.txt, data/images_variant_test.txt, "
    "data/images_box.txt"
)
DOGS = "http://vision.stanford.edu/aditya86/ImageNetDogs/"
DOGS_TREE = "Images/n02085620-Chihuahua/*.jpg, Annotation/n02085620-Chihuahua/*, train_list.mat, test_list.mat"


LISTS = "; or train/, test/ and image_list/ as in https://github.com/GANPerf/SAM"


def cub200(root: Path) -> dataset.Dataset:
    """CUB-200-2011; its ids and classes count from 1."""
    home = _below(root, "images.txt", "CUB_200_2011")
    dataset.expect(home is not None, root, CUB_TREE + LISTS, CUB)
    files, classes, labels, train = (
        _pairs(home / f"{name}.txt") for name in ("images", "classes", "image_class_labels", "train_test_split")
    )
    boxes = _pairs(home / "bounding_boxes.txt") if (home / "bounding_boxes.txt").is_file() else {}
    rows = [
        dataset.Row(key, home / "images" / files[key], int(labels[key]) - 1, train[key] == "0", _four(boxes.get(key)))
        for key in sorted(files, key=int)
    ]
    return dataset.collected([plain_name(classes[key]) for key in sorted(classes, key=int)], rows)


def aircraft(root: Path) -> dataset.Dataset:
    """FGVC-Aircraft, the 100 variants; trainval is train."""
    home = _below(root, "variants.txt", "data", "fgvc-aircraft-2013b/data")
    dataset.expect(home is not None, root, AIRCRAFT_TREE + LISTS, AIRCRAFT)
    lines = (home / "variants.txt").read_text(encoding="utf-8").splitlines()
    names = [line.strip() for line in lines if line.strip()]
    index = {name: k for k, name in enumerate(names)}
    boxes = _pairs(home / "images_box.txt") if (home / "images_box.txt").is_file() else {}
    rows = [
        dataset.Row(image, home / "images" / f"{image}.jpg", index[name], part == "test", _corners(boxes.get(image)))
        for part in ("trainval", "test")
        for image, name in _pairs(home / f"images_variant_{part}.txt").items()
    ]
    return dataset.collected(names, rows)


def cars(root: Path) -> dataset.Dataset:
    """Stanford Cars; file names are used twice, in train and in test, so ids name the folder too."""
    devkit = root / "devkit"
    test = root / "cars_test_annos_withlabels.mat"
    test = test if test.is_file() else devkit / test.name
    tables = {"cars_train": devkit / "cars_train_annos.mat", "cars_test": test}
    there = all(each.is_file() for each in (devkit / "cars_meta.mat", *tables.values()))
    dataset.expect(there, root, CARS_TREE + LISTS, CARS)
    names = [str(name) for name in np.atleast_1d(_matlab(devkit / "cars_meta.mat")["class_names"])]
    rows = []
    for part, table in tables.items():
        for row in np.atleast_1d(_matlab(table)["annotations"]):
            box = " ".join(str(row[f"bbox_{edge}"]) for edge in ("x1", "y1", "x2", "y2"))
            file = f"{part}/{row['fname']}"
            rows.append(dataset.Row(file, root / file, int(row["class"]) - 1, part == "cars_test", _corners(box)))
    return dataset.collected(names, rows)


def dogs(root: Path) -> dataset.Dataset:
    """Stanford Dogs; the box is that of the first dog in an image's own XML file."""
    tables = {part: _below(root, f"{part}_list.mat", "lists") for part in ("train", "test")}
    there = None not in tables.values() and (root / "Images").is_dir()
    dataset.expect(there, root, DOGS_TREE, DOGS)
    rows, names = [], {}
    for part, home in tables.items():
        table = _matlab(home / f"{part}_list.mat")
        for file, label in zip(np.atleast_1d(table["file_list"]), np.atleast_1d(table["labels"]), strict=True):
            names[int(label) - 1] = str(file).split("/")[0].split("-", 1)[-1].replace("_", " ")
            box = _first_box((root / "Annotation" / str(file)).with_suffix(""))
            rows.append(dataset.Row(str(file), root / "Images" / str(file), int(label) - 1, part == "test", box))
    return dataset.collected([names[k] for k in sorted(names)], rows)


def plain_name(name: str) -> str:
    """001.Black_footed_Albatross as people write it; what has no such number stays."""
    number, dot, rest = name.partition(".")
    return rest.replace("_", " ") if dot and number.isdigit() else name


def _below(root: Path, file: str, *folders: str) -> Path | None:
    """Where the file lies: in the root, or in the folder that its archive unpacks to."""
    return next((home for home in (root, *(root / each for each in folders)) if (home / file).is_file()), None)


def _pairs(path: Path) -> dict[str, str]:
    """Lines of "key rest"."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split(" ", 1) for line in (each.strip() for each in lines) if " " in line)


def _matlab(path: Path) -> dict[str, Any]:
    from scipy import io

    return io.loadmat(path, simplify_cells=True)


def _four(text: str | None) -> tuple[float, float, float, float] | None:
    """Left, top, width, height."""
    if text is None:
        return None
    left, top, width, height = map(float, text.split())
    return left, top, width, height


def _corners(text: str | None) -> tuple[float, float, float, float] | None:
    """The same from left, top, right and bottom, pixels that count from 1 and lie within."""
    if text is None:
        return None
    left, top, right, bottom = map(float, text.split())
    return left - 1, top - 1, right - left + 1, bottom - top + 1


def _first_box(path: Path) -> tuple[float, float, float, float] | None:
    if not path.is_file():
        return None
    edges = ElementTree.parse(path).find("object/bndbox")
    if edges is None:
        return None
    return _corners(" ".join(str(edges.findtext(each)) for each in ("xmin", "ymin", "xmax", "ymax")))
