"""Pictures a browser can show: the original where it can, else a JPEG made once and kept in the workspace."""

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from app import errors, pictures, verify_files
from model.data import pixels, sources
from store import errors as store_errors
from store import records

LONGEST = 2048  # pixels of the longer side on the page
THUMB = 256
SCENE = 1280  # of a whole scene beside the image cut from it
FRIENDLY = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
UPRIGHT = (None, 1)
ORIENTATION = 0x0112


def picture(workspace: Path, image: records.Image) -> tuple[Path, str]:
    """The file to send for this image and its media type.

    Raises errors.NotFound when the original is gone or cannot be read, CannotWrite when no copy of it can be kept.
    """
    try:
        original = pictures.file(image, workspace)
        with pixels.open_file(original, links=False) as file, Image.open(file, formats=pixels.FORMATS) as opened:
            if image.box is None and _friendly(opened):
                return original, FRIENDLY[opened.format or ""]
    except Exception as problem:  # decoders raise whatever they like on a broken file
        raise errors.NotFound(f"image {image.id} cannot be read from {_name(image)}: {problem}") from problem
    copy = workspace / "cache" / "display" / str(image.id // 1000) / f"{image.id}-{(image.digest or '')[:12]}.jpg"
    if not _whole(copy):
        _make(image, workspace, copy, LONGEST)
    return copy, "image/jpeg"


def thumbnail(workspace: Path, image: records.Image) -> tuple[Path, str]:
    """The small picture that ingest left; made here when it is missing or was cut short, as a power cut can leave it."""
    path = workspace / "thumbnails" / str(image.id // 1000) / f"{image.id}.jpg"
    if not _whole(path):
        _make(image, workspace, path, THUMB)
    return path, "image/jpeg"


def scene(workspace: Path, image: records.Image, others: Sequence[sources.Box]) -> tuple[Path, str]:
    """The whole picture that a box is in, with its outline, and thinner those of the `others` in it.

    Raises errors.NotFound for an image that is no box, or whose file is gone."""
    if image.box is None:
        raise errors.NotFound(f"image {image.id} is a whole picture: it has no scene around it")
    drawn = hashlib.sha256(json.dumps([image.digest, image.box, sorted(others)]).encode()).hexdigest()[:12]
    copy = workspace / "cache" / "display" / str(image.id // 1000) / f"{image.id}-scene-{drawn}.jpg"
    if not _whole(copy):
        _keep(_outlined(_decoded(image, None, workspace, SCENE), image, others), copy)
    return copy, "image/jpeg"


def _outlined(picture: Image.Image, image: records.Image, others: Sequence[sources.Box]) -> Image.Image:
    """Around the boxes, not over what is in them; in two tones, so that a line is seen on snow and at night."""
    across, down = picture.width / (image.scene_width or 1), picture.height / (image.scene_height or 1)
    pen = ImageDraw.Draw(picture)
    for x, y, w, h in [*others, *([image.box] if image.box else [])]:
        tones = (("black", 5, 5), ("yellow", 4, 3)) if (x, y, w, h) == image.box else (("black", 3, 3), ("white", 2, 1))
        for tone, outside, thick in tones:
            left, top = x * across - outside, y * down - outside
            pen.rectangle((left, top, (x + w) * across + outside, (y + h) * down + outside), outline=tone, width=thick)
    return picture


def _whole(path: Path) -> bool:
    """Whether a JPEG is there from its first mark to its last."""
    try:
        return verify_files.jpeg(path) is None
    except OSError:
        return False


def _friendly(opened: Image.Image) -> bool:
    if opened.format not in FRIENDLY or max(opened.size) > LONGEST or getattr(opened, "is_animated", False):
        return False
    return opened.mode != "CMYK" and not opened.mode.startswith("I") and opened.getexif().get(ORIENTATION) in UPRIGHT


def _name(image: records.Image) -> str:
    return Path(image.path).name


def _make(image: records.Image, workspace: Path, target: Path, longest: int) -> None:
    """Leave a JPEG of at most `longest` pixels a side at `target`."""
    _keep(_decoded(image, image.box, workspace, longest), target)


def _decoded(image: records.Image, box: sources.Box | None, workspace: Path, longest: int) -> Image.Image:
    """The picture, or the box in it, at most `longest` pixels a side; ingest has read the file within its limits before."""
    try:
        original = pictures.file(image, workspace)
        with pixels.open_file(original, links=False) as file, Image.open(file, formats=pixels.FORMATS) as opened:
            with pixels.cut(opened, box, longest // 2) as upright:
                shown = _eight_bit(upright).convert("RGB")
            shown.thumbnail((longest, longest), Image.Resampling.LANCZOS)
            return shown
    except Exception as problem:  # decoders raise whatever they like on a broken file
        raise errors.NotFound(f"{_name(image)} cannot be shown: {problem}") from problem


def _keep(picture: Image.Image, target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=target.parent, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                picture.save(file, "JPEG", quality=88)
            os.replace(beside, target)
        finally:
            Path(beside).unlink(missing_ok=True)
    except OSError as problem:
        raise store_errors.CannotWrite(f"no picture can be written in {target.parent}: {problem.strerror}") from problem


def _eight_bit(opened: Image.Image) -> Image.Image:
    if not opened.mode.startswith("I"):
        return opened
    return opened.convert("I").point(lambda value: value / 256).convert("L")
