"""The published proposals of evidence: one JSON file of the workspace, written by the worker whole and read by the page."""

import functools
import json
import os
from pathlib import Path
from typing import TypedDict

NAME = "evidence.json"
MOST_IMAGES = 96  # of a class
MOST_CLASSES = 40

Box = tuple[float, float, float, float]  # x, y, w, h in shares of the image


class Row(TypedDict):
    """One labelled image without a region: where the evidence may be, and how sure that is (0 to 1)."""

    image_id: int
    box: Box
    score: float


class Class(TypedDict):
    """A class with regions drawn in `marked` of its images; its rows, the surest first."""

    class_id: int
    marked: int
    rows: list[Row]


class Proposals(TypedDict):
    """What was found with the answers up to one label event, the class with most rows first."""

    watermark: int
    classes: list[Class]


NOTHING = Proposals(watermark=0, classes=[])


def write(workspace: Path, found: Proposals) -> None:
    """Publish: written beside and renamed, so that a reader sees the old proposals or the new ones."""
    beside = workspace / f".{NAME}.{os.getpid()}"
    beside.write_text(json.dumps(found), encoding="utf-8")
    os.replace(beside, workspace / NAME)


def read(workspace: Path) -> Proposals:
    """What is published now; empty before the first time."""
    try:
        stamp = (workspace / NAME).stat()
    except FileNotFoundError:
        return NOTHING
    return _read(workspace / NAME, stamp.st_mtime_ns, stamp.st_ino)


def count(workspace: Path) -> int:
    """How many boxes were proposed, those that were confirmed since among them."""
    return sum(len(each["rows"]) for each in read(workspace)["classes"])


@functools.lru_cache(maxsize=4)
def _read(path: Path, _written: int, _inode: int) -> Proposals:
    found: Proposals = json.loads(path.read_text(encoding="utf-8"))
    return found
