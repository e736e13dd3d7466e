"""Pictures a browser can show: the original where it can, else a JPEG made once and kept in the workspace."""

import os
import tempfile
from pathlib import Path

from PIL import Image, ImageOps

from app import errors, verify_files
from model.data import pixels
from store import errors as store_errors
from store import records

LONGEST = 2048  # pixels of the longer side on the page
THUMB = 256
FRIENDLY = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
UPRIGHT = (None, 1)
ORIENTATION = 0x0112


def picture(workspace: Path, image: records.Image) -> tuple[Path, str]:
    """The file to send for this image and its media type.

    Raises errors.NotFound when the original is gone or cannot be read, CannotWrite when no copy of it can be kept.
    """
    original = Path(image.path)
    try:
        with pixels.open_file(original, links=False) as file, Image.open(file, formats=pixels.FORMATS) as opened:
            if _friendly(opened):
                return original, FRIENDLY[opened.format or ""]
    except Exception as problem:  # decoders raise whatever they like on a broken file
        raise errors.NotFound(f"image {image.id} cannot be read from {original.name}: {problem}") from problem
    copy = workspace / "cache" / "display" / str(image.id // 1000) / f"{image.id}-{(image.digest or '')[:12]}.jpg"
    if not _whole(copy):
        _make(original, copy, LONGEST)
    return copy, "image/jpeg"


def thumbnail(workspace: Path, image: records.Image) -> tuple[Path, str]:
    """The small picture that ingest left; made here when it is missing or was cut short, as a power cut can leave it."""
    path = workspace / "thumbnails" / str(image.id // 1000) / f"{image.id}.jpg"
    if not _whole(path):
        _make(Path(image.path), path, THUMB)
    return path, "image/jpeg"


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


def _make(original: Path, target: Path, longest: int) -> None:
    """Leave a JPEG of at most `longest` pixels a side at `target`; ingest has read the file within its limits before."""
    try:
        with pixels.open_file(original, links=False) as file, Image.open(file, formats=pixels.FORMATS) as opened:
            opened.draft("RGB", (longest, longest))
            with pixels.one_large(opened):
                upright = ImageOps.exif_transpose(_eight_bit(opened)).convert("RGB")
                upright.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    except Exception as problem:  # decoders raise whatever they like on a broken file
        raise errors.NotFound(f"{original.name} cannot be shown: {problem}") from problem
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=target.parent, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                upright.save(file, "JPEG", quality=88)
            os.replace(beside, target)
        finally:
            Path(beside).unlink(missing_ok=True)
    except OSError as problem:
        raise store_errors.CannotWrite(f"no picture can be written in {target.parent}: {problem.strerror}") from problem


def _eight_bit(opened: Image.Image) -> Image.Image:
    if not opened.mode.startswith("I"):
        return opened
    return opened.convert("I").point(lambda value: value / 256).convert("L")
