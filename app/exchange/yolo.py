"""Labels as Ultralytics' folder for classification: train, val and test, in each a folder per class.

The pool goes to train, the holdout's halves to val and test. The layout has no place for rejects.
Layout: https://docs.ultralytics.com/datasets/classify/
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from app.exchange import answers, class_folders, imagefolder, rows
from store.database import Database

SPLITS = {"pool": "train", "calibration": "val", "test": "test"}


def export(db: Database, folder: Path, up_to: int | None = None) -> imagefolder.Exported:
    """Copy the labelled images into a new folder. Raises BadRequest when something is there already."""
    return imagefolder.export(db, folder, up_to=up_to, place=_place)


def read(folder: Path) -> Iterator[rows.Told]:
    """The class of each image by its folder."""
    return class_folders.read(folder, frozenset((*SPLITS.values(), "valid")))


def _place(answer: answers.Answer, folders: imagefolder.Folders) -> Path | None:
    if answer.class_name is None:
        return None
    return Path(SPLITS[answers.SHARES[answer.image.holdout]]) / folders.of(answer.class_name)
