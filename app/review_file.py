"""The published review lists: one JSON file of the workspace, written by the worker whole and read by the page."""

import functools
import json
import os
from pathlib import Path
from typing import Any, TypedDict

NAME = "review.json"
KINDS = ("suspected", "disagreement", "flag", "reject")
MOST_ROWS = 500  # of each kind


class Row(TypedDict):
    """One image to review; `opinion` are the model's likeliest [class_id, probability], best first."""

    image_id: int
    kind: str
    score: float  # higher is looked at first
    why: str
    opinion: list[tuple[int, float]]
    neighbours: list[tuple[int, list[int]]]  # [class_id, nearest labelled images]


class Lists(TypedDict):
    """What one look at all answers found, up to one label event; `people` are rows of the quality table."""

    watermark: int
    publication: int | None
    rows: list[Row]
    people: list[dict[str, Any]]
    method: str | None  # how answers of several people are weighed now


NOTHING = Lists(watermark=0, publication=None, rows=[], people=[], method=None)


def write(workspace: Path, lists: Lists) -> None:
    """Publish: written beside and renamed, so that a reader sees the old lists or the new ones."""
    beside = workspace / f".{NAME}.{os.getpid()}"
    beside.write_text(json.dumps(lists), encoding="utf-8")
    os.replace(beside, workspace / NAME)


def read(workspace: Path) -> Lists:
    """What is published now; empty before the first time."""
    try:
        stamp = (workspace / NAME).stat()
    except FileNotFoundError:
        return NOTHING
    return _read(workspace / NAME, stamp.st_mtime_ns, stamp.st_ino)


@functools.lru_cache(maxsize=4)
def _read(path: Path, _written: int, _inode: int) -> Lists:
    found: Lists = json.loads(path.read_text(encoding="utf-8"))
    return found
