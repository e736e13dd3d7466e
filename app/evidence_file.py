"""The published proposals of evidence: one JSON file of the workspace, written by the worker whole and read by the page."""

from pathlib import Path
from typing import TypedDict

from app import json_file

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
    """Publish: a reader sees the old proposals or the new ones."""
    json_file.write(workspace / NAME, found)


def read(workspace: Path) -> Proposals:
    """What is published now; empty before the first time."""
    told: Proposals | None = json_file.read(workspace / NAME)
    return NOTHING if told is None else told


def count(workspace: Path) -> int:
    """How many boxes were proposed, those that were confirmed since among them."""
    return sum(len(each["rows"]) for each in read(workspace)["classes"])
