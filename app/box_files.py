"""Reads the boxes of a file: MegaDetector's JSON, or COCO's (also as camera-trap collections write it).

Formats: https://github.com/agentmorris/MegaDetector/blob/main/megadetector/output_data_format.md,
https://cocodataset.org/#format-data, https://github.com/agentmorris/MegaDetector/blob/main/megadetector/data_management/README.md
"""

from __future__ import annotations

import calendar
import json
import math
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from app import ingest_files, scenes

CONFIDENCE = 0.2  # what files of MegaDetector 5 and later give as their typical threshold; one that gives another: that
ANIMAL = "animal"
DETECTED = frozenset((ANIMAL, "person", "human", "vehicle", "group", "empty", "blank"))  # what detectors tell apart
LARGEST = 1 << 30  # bytes; five times that of memory while it is read
_TIMES = ("%Y:%m:%d %H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S")


@dataclass
class Boxes:
    """The boxes of a file by the pictures they are in; pictures without any have an empty list."""

    scenes: dict[str, list[scenes.Raw]] = field(default_factory=dict)
    taken_at: dict[str, float] = field(default_factory=dict)  # unix seconds, the camera's clock taken as UTC
    left_out: Counter[str] = field(default_factory=Counter)  # boxes by why
    failed: list[str] = field(default_factory=list)  # pictures that the detector could not read


def read(path: str | Path, *, confidence: float | None = None, categories: Collection[str] | None = None) -> Boxes:
    """The boxes of a confidence of at least `confidence` (where they have one) and of these categories.

    Without `confidence`: what the file gives as its detector's typical threshold, else CONFIDENCE. Without `categories`:
    the animals, where a detector told animals from people and vehicles, else all. A box that cannot be used is kept with
    the reason. Raises IngestError where the file is of neither format.
    """
    told = _object(Path(path).expanduser())
    confidence = _typical(told) if confidence is None else confidence
    if not 0 <= confidence <= 1:
        raise ingest_files.IngestError(f"--box-confidence {confidence:g} is no confidence: give one from 0 to 1")
    if isinstance(told.get("annotations"), list) and isinstance(told.get("images"), list):
        return _Reader(_by_id(told.get("categories")), confidence, categories).coco(told)
    named = told.get("detection_categories")
    if isinstance(named, dict) and isinstance(told.get("images"), list):
        return _Reader({str(key): str(name) for key, name in named.items()}, confidence, categories).detector(told)
    keys = ", ".join(map(repr, list(told)[:6])) or "nothing"
    raise ingest_files.IngestError(
        f"{path} is neither MegaDetector's JSON (images, detection_categories) nor COCO's (images, annotations, "
        f"categories): it holds {ingest_files.shown(keys)}"
    )


class _Reader:
    """One reading: which categories are wanted, and what has come so far."""

    def __init__(self, names: dict[str, str], confidence: float, categories: Collection[str] | None) -> None:
        self.names, self.confidence, self.found, self.number = names, confidence, Boxes(), 0
        known = {name.strip().casefold() for name in names.values()}
        asked = None if categories is None else {name.strip().casefold() for name in categories}
        if asked is not None and asked - known:
            raise ingest_files.IngestError(
                f"--box-categories names {', '.join(sorted(asked - known))}: the file has {', '.join(sorted(known))}"
            )
        self.wanted = asked or ({ANIMAL} if ANIMAL in known and known <= DETECTED else known)

    def detector(self, told: Mapping[str, Any]) -> Boxes:
        for image in _objects(told, "images"):
            name = image.get("file")
            if not isinstance(name, str):
                raise ingest_files.IngestError(f"an image of the box file has no 'file': {_shown(image)}")
            if image.get("failure") or not isinstance(image.get("detections"), list):
                self.found.failed.append(name)
                continue
            boxes = self._scene(name, image.get("datetime"))
            for each in image["detections"]:
                one = each if isinstance(each, dict) else {}
                self._add(boxes, one, str(one.get("category")), one.get("conf"), relative=True, size=None)
        return self.found

    def coco(self, told: Mapping[str, Any]) -> Boxes:
        images: dict[Any, tuple[list[scenes.Raw], tuple[int, int] | None]] = {}
        for image in _objects(told, "images"):
            name = image.get("file_name")
            if not isinstance(name, str):
                raise ingest_files.IngestError(f"an image of the box file has no 'file_name': {_shown(image)}")
            boxes = self._scene(name, image.get("datetime", image.get("date_captured")))
            images[_key(image.get("id"))] = (boxes, _size(image.get("width"), image.get("height")))
        for each in _objects(told, "annotations"):
            if _key(each.get("image_id")) not in images:
                raise ingest_files.IngestError(f"an annotation is of no image in the box file: {_shown(each)}")
            boxes, size = images[_key(each.get("image_id"))]
            if each.get("bbox") is not None:  # an annotation without one is of the whole picture
                score = each.get("score")
                self._add(boxes, each, str(each.get("category_id")), score, relative=False, size=size)
        return self.found

    def _scene(self, name: str, taken: Any) -> list[scenes.Raw]:
        at = _moment(taken)
        if at is not None:
            self.found.taken_at[name] = at
        return self.found.scenes.setdefault(name, [])

    def _add(
        self,
        boxes: list[scenes.Raw],
        one: Mapping[str, Any],
        category: str,
        sure: Any,
        *,
        relative: bool,
        size: tuple[int, int] | None,
    ) -> None:
        self.number += 1
        name = self.names.get(category, category)
        if category in self.names and name.strip().casefold() not in self.wanted:
            self.found.left_out[f"of the category {name}"] += 1
            return
        if _is_number(sure) and sure < self.confidence:
            self.found.left_out[f"below the confidence of {self.confidence:g}"] += 1
            return
        box, problem = one.get("bbox"), None
        if sure is not None and not (_is_number(sure) and 0 <= sure <= 1):
            problem = f"its confidence is {_shown(sure)}"
        if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
            box, problem = (0, 0, 0, 0), f"its box is {_shown(box)}, not four numbers"
        x, y, w, h = map(float, box)
        boxes.append(scenes.Raw(self.number, (x, y, w, h), relative, size, problem, name))


def _object(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > LARGEST:
            raise ingest_files.IngestError(f"{path} has more than {LARGEST >> 30} GB: split it by folders")
        told = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as problem:
        raise ingest_files.IngestError(f"cannot read the boxes in {path}: {problem.strerror}") from problem
    except (ValueError, RecursionError) as problem:
        raise ingest_files.IngestError(f"{path} is no JSON: {ingest_files.shown(str(problem)[:200])}") from problem
    if not isinstance(told, dict):
        raise ingest_files.IngestError(f"{path} holds a {type(told).__name__}: MegaDetector and COCO write an object")
    return told


def _typical(told: Mapping[str, Any]) -> float:
    """The threshold that MegaDetector writes about itself, for its scores are not those of every version."""
    info = told.get("info")
    about = info.get("detector_metadata") if isinstance(info, dict) else None
    typical = about.get("typical_detection_threshold") if isinstance(about, dict) else None
    return float(typical) if _is_number(typical) and 0 <= typical <= 1 else CONFIDENCE


def _objects(told: Mapping[str, Any], name: str) -> Iterator[dict[str, Any]]:
    for each in told[name]:
        if not isinstance(each, dict):
            raise ingest_files.IngestError(f"{name} of the box file holds {_shown(each)}, not objects")
        yield each


def _by_id(categories: Any) -> dict[str, str]:
    listed = categories if isinstance(categories, list) else []
    return {str(each.get("id")): str(each.get("name")) for each in listed if isinstance(each, dict)}


def _key(value: Any) -> str:
    return json.dumps(value)


def _is_number(value: Any) -> TypeGuard[float]:
    """NaN and infinity are: the box is then refused by its name."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _size(width: Any, height: Any) -> tuple[int, int] | None:
    if not all(_is_number(side) and math.isfinite(side) and side > 0 for side in (width, height)):
        return None
    return int(width), int(height)


def _moment(text: Any) -> float | None:
    for written in _TIMES if isinstance(text, str) else ():
        try:
            return float(calendar.timegm(time.strptime(text[:19].strip(), written)))
        except ValueError:
            continue
    return None


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return ingest_files.shown(text[:80] + ("..." if len(text) > 80 else ""))
