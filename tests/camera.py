"""A small camera-trap season for the tests: pictures of two cameras and what a detector says of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

WIDE, HIGH = 320, 240
# by picture: the animals in it, left, top, width and height in pixels, with their colour
SEASON: dict[str, list[tuple[int, int, int, int, str]]] = {
    "cam a/IMG_0001.JPG": [(40, 60, 100, 80, "red")],
    "cam a/IMG_0002.JPG": [(30, 30, 60, 60, "blue"), (180, 120, 90, 60, "orange")],
    "cam a/IMG_0003.JPG": [],
    "cam b/IMG_0001.JPG": [(150, 20, 40, 120, "purple")],
    "cam b/IMG_0002.JPG": [],
}
ANIMALS = sum(map(len, SEASON.values()))


def season(folder: Path, *, taken: dict[str, str] | None = None) -> Path:
    """Draw the pictures below `folder`; `taken`: EXIF times by picture. Returns the folder."""
    for number, (name, animals) in enumerate(SEASON.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cells = np.random.default_rng(number).integers(60, 120, (12, 16, 3), dtype=np.uint8)
        picture = Image.fromarray(cells).resize((WIDE, HIGH), Image.Resampling.BICUBIC)
        for x, y, w, h, colour in animals:
            ImageDraw.Draw(picture).rectangle((x, y, x + w - 1, y + h - 1), fill=colour)
        exif = Image.Exif()
        if taken and name in taken:
            exif[0x0132] = taken[name]
        picture.save(path, quality=95, exif=exif)
    return folder


def detected(file: Path, **more: Any) -> Path:
    """Write MegaDetector's JSON of the season, with a person and a faint animal besides; `more` goes on top of it."""
    images = []
    for name, animals in SEASON.items():
        detections = [detection((x / WIDE, y / HIGH, w / WIDE, h / HIGH)) for x, y, w, h, _ in animals]
        detections.append(detection((0.5, 0.5, 0.2, 0.2), conf=0.08))
        images.append({"file": name, "detections": detections})
    images[0]["detections"].append(detection((0.1, 0.1, 0.3, 0.5), category="2"))
    told = {"info": {}, "detection_categories": {"1": "animal", "2": "person", "3": "vehicle"}, "images": images}
    file.write_text(json.dumps(told | more), encoding="utf-8")
    return file


def detection(box: Any, *, conf: Any = 0.9, category: str = "1") -> dict[str, Any]:
    """One box as MegaDetector writes it."""
    return {
        "category": category,
        "conf": conf,
        "bbox": box if not isinstance(box, tuple) else [round(v, 4) for v in box],
    }
