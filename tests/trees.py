"""Tiny data sets in the layouts of their authors, and in that of the image lists; two thirds of the images are for training."""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import io

CLASSES = 3
TRAIN, TEST = 4, 2  # of each class
NAMES = ["001.Black_footed_Albatross", "002.Laysan_Albatross", "003.Sooty_Albatross"]
VARIANTS = ["707-320", "BAE 146-200", "F/A-18"]
BREEDS = ["n02085620-Chihuahua", "n02085782-Japanese_spaniel", "n02085936-Maltese_dog"]
SHARES = {10: 1, 50: 2, 100: TRAIN}


def picture(path: Path, label: int, number: int) -> None:
    """A square whose brightness tells the class."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(100 * label + number)
    pixels = rng.integers(80 * label, 80 * label + 60, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def _numbers() -> list[tuple[int, int, bool]]:
    """(class, number, in the test share) of all images."""
    return [(k, at, at >= TRAIN) for k in range(CLASSES) for at in range(TRAIN + TEST)]


def cub200(root: Path) -> Path:
    lines: dict[str, list[str]] = {
        name: [] for name in ("images", "image_class_labels", "train_test_split", "bounding_boxes")
    }
    for key, (label, number, test) in enumerate(_numbers(), start=1):
        file = f"{NAMES[label]}/bird_{number}.png"
        picture(root / "images" / file, label, number)
        lines["images"].append(f"{key} {file}")
        lines["image_class_labels"].append(f"{key} {label + 1}")
        lines["train_test_split"].append(f"{key} {int(not test)}")
        lines["bounding_boxes"].append(f"{key} {label}.0 2.0 20.0 10.5")
    lines["classes"] = [f"{k + 1} {name}" for k, name in enumerate(NAMES)]
    for name, rows in lines.items():
        (root / f"{name}.txt").write_text("\n".join(reversed(rows)) + "\n")  # in no order
    return root


def cars(root: Path) -> Path:
    (root / "devkit").mkdir(parents=True)
    io.savemat(root / "devkit" / "cars_meta.mat", {"class_names": np.array(["AM Hummer", "BMW M3", "VW Golf"], object)})
    kinds = {name: np.uint16 for name in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class")}
    for part, of_test in (("cars_train", False), ("cars_test", True)):
        rows = []
        for label, number, test in _numbers():
            if test == of_test:
                name = f"{len(rows) + 1:05d}.png"
                picture(root / part / name, label, number)
                rows.append((11, 6, 30, 25, label + 1, name))
        table = np.array(rows, dtype=[*kinds.items(), ("fname", object)])
        place = root / "devkit" / "cars_train_annos.mat" if not of_test else root / "cars_test_annos_withlabels.mat"
        io.savemat(place, {"annotations": table})
    return root


def aircraft(root: Path) -> Path:
    data = root / "data"
    lists: dict[bool, list[str]] = {False: [], True: []}
    boxes = []
    for key, (label, number, test) in enumerate(_numbers(), start=34309):
        picture(data / "images" / f"{key:07d}.jpg", label, number)
        lists[test].append(f"{key:07d} {VARIANTS[label]}")
        boxes.append(f"{key:07d} 3 4 12 13")
    (data / "variants.txt").write_text("\n".join(VARIANTS) + "\n")
    (data / "images_box.txt").write_text("\n".join(boxes) + "\n")
    for test, part in ((False, "trainval"), (True, "test")):
        (data / f"images_variant_{part}.txt").write_text("\n".join(lists[test]) + "\n")
    return root


def dogs(root: Path) -> Path:
    edges = "<xmin>5</xmin><ymin>6</ymin><xmax>24</xmax><ymax>15</ymax>"
    for part, of_test in (("train", False), ("test", True)):
        files, labels = [], []
        for label, number, test in _numbers():
            if test == of_test:
                file = f"{BREEDS[label]}/{BREEDS[label].split('-')[0]}_{number}.jpg"
                picture(root / "Images" / file, label, number)
                marks = (root / "Annotation" / file).with_suffix("")
                marks.parent.mkdir(parents=True, exist_ok=True)
                marks.write_text(f"<annotation><object><bndbox>{edges}</bndbox></object></annotation>")
                files.append(file)
                labels.append(label + 1)
        table = {
            "file_list": np.array(files, object)[:, None],
            "annotation_list": np.array(files, object)[:, None],
            "labels": np.array(labels, np.uint8)[:, None],
        }
        io.savemat(root / f"{part}_list.mat", table)
    return root


def lists(root: Path, names: list[str]) -> Path:
    """train/, test/, image_list/ with lists of 10, 50 and 100 per cent, and one of 10 per cent of the first 2 classes."""
    (root / "image_list").mkdir(parents=True)
    lines: dict[str, list[str]] = {}
    for label, number, test in _numbers():
        file = f"{'test' if test else 'train'}/{names[label]}/{number}.jpg"
        picture(root / file, label, number)
        kept = ["test"] if test else [f"train_{share}" for share, most in SHARES.items() if number < most]
        if not test and number == 3 and label < 2:
            kept.append(f"train_10{CLASSES}2")
        for name in kept:
            lines.setdefault(name, []).append(f"{file} {label}")
    for name, rows in lines.items():
        (root / "image_list" / f"{name}.txt").write_text("\n".join(rows) + "\n")
    return root
