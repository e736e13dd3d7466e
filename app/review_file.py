"""The published review lists: one JSON file of the workspace, written by the worker whole and read by the page."""

from pathlib import Path
from typing import Any, TypedDict

from app import json_file

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
    """Publish: a reader sees the old lists or the new ones."""
    json_file.write(workspace / NAME, lists)


def read(workspace: Path) -> Lists:
    """What is published now; empty before the first time."""
    told: Lists | None = json_file.read(workspace / NAME)
    return NOTHING if told is None else told
