"""The layout train/, test/, image_list/ in which few-label results on fine-grained sets are published; imports no torch.

That of https://github.com/GANPerf/SAM and of TLlib: lines of "train/CLASS/FILE.jpg INDEX" in image_list/train_100.txt,
test.txt, train_R.txt with R per cent of the labels, and train_RKN.txt with those of the first N of K classes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from model.data import dataset, published_sets

SOURCE = "https://github.com/GANPerf/SAM"
TREE = "train/CLASS/*.jpg, test/CLASS/*.jpg, image_list/train_100.txt, image_list/test.txt, image_list/train_10.txt ..."
SHARES = (10, 15, 30, 50, 100)
FOLDERS = {"cub200": "CUB200", "cars": "StanfordCars", "aircraft": "Aircraft"}


def home(name: str, root: Path) -> Path | None:
    """The folder with image_list/ for the data set of that name: the root or its own folder below; None where there is
    none."""
    return next((each for each in (root, root / FOLDERS.get(name, "")) if (each / "image_list").is_dir()), None)


def read(root: Path, *, classes: int = 0) -> dataset.Dataset:
    """All images of the lists, of the first `classes` classes alone where that is not 0. Raises BadInput where train_100.txt or
    test.txt is missing."""
    lists = root / "image_list"
    dataset.expect(all((lists / f"{each}.txt").is_file() for each in ("train_100", "test")), root, TREE, SOURCE)
    train, test = _lines(lists / "train_100.txt"), _lines(lists / "test.txt")
    names = {label: published_sets.plain_name(Path(file).parent.name) for file, label in (train | test).items()}
    rows = [
        dataset.Row(file, root / file, label, part is test) for part in (train, test) for file, label in part.items()
    ]
    whole = dataset.collected([names[k] for k in sorted(names)], rows)
    for share in SHARES:
        special = lists / f"train_{share}{len(names)}{classes}.txt"
        path = special if classes and special.is_file() else lists / f"train_{share}.txt"
        if path.is_file():
            listed = _lines(path)
            whole.lists[share] = np.flatnonzero([each in listed for each in whole.ids])
    return dataset.first_classes(whole, classes)


def _lines(path: Path) -> dict[str, int]:
    """Class index by file; a file name may hold spaces."""
    lines = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return {" ".join(words[:-1]): int(words[-1]) for words in lines if words}
