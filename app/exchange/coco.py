"""Labels as COCO JSON: each labelled image gets one annotation, whose box is the whole image.

Format: https://cocodataset.org/#format-data. What COCO has no fields for (who, when, rejects, soft labels) stands in an
`attributes` object of the annotation, or of an image without one; other readers pass it over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from app.exchange import answers, beside, fields, json_file, rows
from store.database import Database

IMAGES = 1 << 39  # numbers of rows that are no annotation's, but an image's, begin here


def export(db: Database, path: Path, up_to: int | None = None) -> dict[str, int]:
    """Write all settled images; returns counts by state."""
    counts = {"labelled": 0, "rejected": 0}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    categories: dict[str, int] = {}
    for answer in answers.settled(db, up_to):
        counts[answer.state] += 1
        told = answers.fields(answer)
        image, width, height = answer.image, answer.image.width or 0, answer.image.height or 0
        images.append({"id": image.id, "file_name": told.pop("path"), "width": width, "height": height})
        images[-1]["digest"] = told.pop("digest")
        attributes = {name: value for name, value in told.items() if value is not None and name != "class"}
        if answer.class_name is None:
            images[-1]["attributes"] = attributes
            continue
        category = categories.setdefault(answer.class_name, len(categories) + 1)
        annotations.append(
            {
                "id": len(annotations) + 1, "image_id": image.id, "category_id": category, "iscrowd": 0,
                "bbox": [0, 0, width, height], "area": width * height, "segmentation": [], "attributes": attributes,
            }
        )  # fmt: skip
    whole = {
        "info": {"description": "labels of whole images"}, "licenses": [], "images": images, "annotations": annotations,
        "categories": [{"id": id_, "name": name, "supercategory": ""} for name, id_ in categories.items()],
    }  # fmt: skip
    with beside.file(path) as new, new.open("w", encoding="utf-8") as file:
        json.dump(whole, file, ensure_ascii=False, allow_nan=False)
    return counts


def read(path: Path) -> Iterator[rows.Told]:
    """The class of each annotation as that of its image, then the rejected images; raises rows.Unreadable."""
    told = json_file.whole(path)
    images, categories = _by_id(told, "images"), _by_id(told, "categories")
    boxes = 0
    for number, one in enumerate(_list(told, "annotations"), start=1):
        try:
            image, category = _of(images, one, "image_id"), _of(categories, one, "category_id")
            boxes += _is_part(image, one)
            yield from _row(number, image, one, {"class": category.get("name"), "state": "labelled"})
        except rows.Wrong as wrong:
            yield rows.Problem(number, wrong.kind, wrong.text)
    for number, image in enumerate(images.values(), start=IMAGES + 1):
        if isinstance(image.get("attributes"), dict) and image["attributes"].get("state") == "rejected":
            try:
                yield from _row(number, image, image, {"state": "rejected"})
            except rows.Wrong as wrong:
                yield rows.Problem(number, wrong.kind, wrong.text)
    if boxes:
        yield rows.Passed("boxes smaller than their image: the class is taken for the whole image", boxes)


def place(number: int) -> str:
    """Where in the file a row of this number stands."""
    return f"annotation {number:,}" if number <= IMAGES else f"image {number - IMAGES:,}"


def _row(
    number: int, image: Mapping[str, Any], one: Mapping[str, Any], says: dict[str, Any]
) -> Iterator[rows.Row | rows.Guess | None]:
    """Only fields under our own names are taken from `attributes`: others may mean anything there."""
    more = one.get("attributes")
    told = {"path": image.get("file_name"), "digest": image.get("digest"), **says}
    if isinstance(more, dict):
        told |= {name: more.get(name) for name in ("reason", "note", "annotator", "answered_at", "soft_label")}
    yield from fields.said(number, told, {name: rows.ROLES[name] for name in told})


def _is_part(image: Mapping[str, Any], one: Mapping[str, Any]) -> bool:
    """Whether an annotation has a box that is not the whole image."""
    box = one.get("bbox")
    return bool(box) and box != [0, 0, image.get("width"), image.get("height")]


def _by_id(told: Mapping[str, Any], name: str) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for at, each in enumerate(_list(told, name), start=1):
        id_ = each.get("id")
        if not isinstance(id_, int) or id_ in found:
            why = "no whole number" if not isinstance(id_, int) else "there twice"
            raise rows.Unreadable(1, "format", f"the id of {name} {at:,}, {rows.shown(json.dumps(id_))}, is {why}")
        found[id_] = each
    return found


def _list(told: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    found = told.get(name)
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise rows.Unreadable(1, "format", f"COCO has a list of objects called {name!r}: this file has none")
    return found


def _of(found: Mapping[int, dict[str, Any]], one: Mapping[str, Any], name: str) -> dict[str, Any]:
    id_ = one.get(name)
    if not isinstance(id_, int) or id_ not in found:
        raise rows.Wrong("format", f"{name} {rows.shown(json.dumps(id_))} is none in this file")
    return found[id_]
