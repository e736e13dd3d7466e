"""Labels as COCO JSON: each labelled image gets one annotation, whose box is the image's own or the whole picture.

Format: https://cocodataset.org/#format-data. What COCO has no fields for (who, when, rejects, soft labels) stands in an
`attributes` object of the annotation, or of an image without one; other readers pass it over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from app import scenes
from app.exchange import answers, beside, fields, json_file, rows
from store.database import Database

IMAGES = 1 << 39  # numbers of rows that are no annotation's, but an image's, begin here


def export(db: Database, path: Path, up_to: int | None = None) -> dict[str, int]:
    """Write all settled images; returns counts by state. Boxes of one picture share its entry."""
    counts = {"labelled": 0, "rejected": 0}
    images: dict[str, dict[str, Any]] = {}
    annotations: list[dict[str, Any]] = []
    categories: dict[str, int] = {}
    for answer in answers.settled(db, up_to):
        counts[answer.state] += 1
        told, image = answers.fields(answer), answer.image
        file, digest, box = told.pop("path"), told.pop("digest"), told.pop("box_xywh")
        wide, high = (image.width, image.height) if box is None else (image.scene_width, image.scene_height)
        size = {"width": wide or 0, "height": high or 0}
        entry = images.setdefault(file, {"id": image.id, "file_name": file, **size, "digest": digest})
        attributes = {name: value for name, value in told.items() if value is not None and name != "class"}
        if answer.class_name is None:
            if box is None:
                entry["attributes"] = attributes
            else:
                entry.setdefault("rejected_boxes", []).append({"bbox": box, "attributes": attributes})
            continue
        category, box = categories.setdefault(answer.class_name, len(categories) + 1), box or [0, 0, *size.values()]
        annotations.append(
            {
                "id": len(annotations) + 1, "image_id": entry["id"], "category_id": category, "iscrowd": 0,
                "bbox": box, "area": box[2] * box[3], "segmentation": [], "attributes": attributes,
            }
        )  # fmt: skip
    whole = {
        "info": {"description": "labels of images and of boxes in them"}, "licenses": [],
        "images": list(images.values()), "annotations": annotations,
        "categories": [{"id": id_, "name": name, "supercategory": ""} for name, id_ in categories.items()],
    }  # fmt: skip
    with beside.file(path) as new, new.open("w", encoding="utf-8") as file:
        json.dump(whole, file, ensure_ascii=False, allow_nan=False)
    return counts


def read(path: Path) -> Iterator[rows.Told]:
    """The class of each annotation as that of its box or image, then what was rejected; raises rows.Unreadable."""
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
        for one in [image, *_rejected(image)]:
            if isinstance(one.get("attributes"), dict) and one["attributes"].get("state") == "rejected":
                try:
                    yield from _row(number, image, one, {"state": "rejected"})
                except rows.Wrong as wrong:
                    yield rows.Problem(number, wrong.kind, wrong.text)
    if boxes:
        yield rows.Passed(
            "boxes smaller than their picture: where one is no image here, the picture has its class", boxes
        )


def place(number: int) -> str:
    """Where in the file a row of this number stands."""
    return f"annotation {number:,}" if number <= IMAGES else f"image {number - IMAGES:,}"


def _row(
    number: int, image: Mapping[str, Any], one: Mapping[str, Any], says: dict[str, Any]
) -> Iterator[rows.Row | rows.Guess | None]:
    """Only fields under our own names are taken from `attributes`: others may mean anything there."""
    more = one.get("attributes")
    told = {"path": image.get("file_name"), "digest": image.get("digest"), "box_xywh": _box(image, one), **says}
    if isinstance(more, dict):
        told |= {name: more.get(name) for name in ("reason", "note", "annotator", "answered_at", "soft_label")}
    yield from fields.said(number, told, {name: rows.ROLES[name] for name in told})


def _box(image: Mapping[str, Any], one: Mapping[str, Any]) -> list[int] | None:
    """The box as ingest would store it; None where there is none of use, which leaves the whole picture."""
    box, wide, high = one.get("bbox"), image.get("width"), image.get("height")
    numbers = isinstance(box, list) and len(box) == 4 and all(type(each) in (int, float) for each in box)
    if not numbers or not isinstance(wide, int) or not isinstance(high, int):
        return None
    try:
        x, y, w, h = map(float, box or ())
        return list(scenes.in_pixels(scenes.Raw(0, (x, y, w, h), False), wide, high))
    except ValueError:
        return None


def _rejected(image: Mapping[str, Any]) -> list[dict[str, Any]]:
    listed = image.get("rejected_boxes")
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


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
