"""Reads one image file for ingest: digest, size, time, perceptual hash and thumbnail, or the reason why not."""

from __future__ import annotations

import calendar
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from app import ingest_files
from model import errors as model_errors
from model.data import pixels

THUMBNAIL_SIDE = 256
_SIGNATURE_SIDE = 24
_CHUNK = 1 << 20
_BYTES_PER_PIXEL = 16  # four channels of 32 bits: no image needs more

Signature = NDArray[np.float32]


@dataclass(frozen=True)
class Reading:
    """What one file holds. With a `problem` only the digest may be known; the thumbnail waits at `thumbnail`.

    Width and height are those of the upright image; `signature` is what near-duplicates are compared by.
    """

    found: ingest_files.Found
    problem: str | None = None
    digest: str | None = None
    width: int | None = None
    height: int | None = None
    phash: str | None = None
    taken_at: float | None = None
    signature: Signature | None = None
    thumbnail: Path | None = None


def read(found: ingest_files.Found, *, thumbnail: Path, max_pixels: int) -> Reading:
    """Read a file and leave its thumbnail at `thumbnail`; never raises for what the file may hold.

    Every problem begins with the file's name. Its cost is bounded where it runs in a process apart (ingest_apart).
    """
    digest = None
    try:
        if found.name != found.path:
            return unusable(found, "its name, or that of its folder, is not valid UTF-8: rename it")
        if found.bytes == 0:
            return unusable(found, "the file is empty (0 bytes)")
        if found.bytes > _BYTES_PER_PIXEL * max_pixels + _CHUNK:
            return unusable(
                found, f"{found.bytes / 1e6:,.0f} MB are more than {max_pixels / 1e6:g} megapixels can need"
            )
        digest = digest_of(found.path)
        width, height, taken_at = _header(found.path, max_pixels)
        upright = Image.fromarray(pixels.decode(found.path, short_side=THUMBNAIL_SIDE))
        upright.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BICUBIC)
        thumbnail.parent.mkdir(parents=True, exist_ok=True)
        upright.save(thumbnail, "JPEG", quality=88)
        phash = str(imagehash.phash(upright))
    except MemoryError:
        return unusable(found, "it takes more memory than there is for an image", digest)
    except model_errors.UnreadableImage as problem:
        return unusable(found, problem.problem, digest)
    except Exception as problem:  # decoders raise whatever they like on a broken file
        return unusable(found, f"{type(problem).__name__}: {problem}", digest)
    return Reading(found, None, digest, width, height, phash, taken_at, signature(upright), thumbnail)


def unusable(found: ingest_files.Found, why: str, digest: str | None = None) -> Reading:
    """The reading of a file that cannot be used; the reason names it, with what cannot be printed written as \\x1b."""
    return Reading(found, problem=ingest_files.shown(f"{Path(found.name).name}: {why}"), digest=digest)


def digest_of(path: str | Path) -> str:
    """SHA-256 of a file, hexadecimal, read in pieces."""
    digest = hashlib.sha256()
    with pixels.open_file(path, links=False) as file:
        while piece := file.read(_CHUNK):
            digest.update(piece)
    return digest.hexdigest()


def signature(image: Image.Image) -> Signature:
    """A small picture of an image as a vector of length 1 (0 for a plain one), brightness taken out."""
    small = np.asarray(image.convert("RGB").resize((_SIGNATURE_SIDE,) * 2, Image.Resampling.BOX), dtype=np.float32)
    centred = small - small.mean((0, 1))
    length = float(np.linalg.norm(centred))
    vector: Signature = (centred / length if length > 1.0 else centred * 0).ravel()
    return vector


def taken_at(path: str) -> float | None:
    """The EXIF time of a file as unix seconds (the camera's clock taken as UTC), None where there is none."""
    try:
        with pixels.open_file(path, links=False) as file, Image.open(file, formats=pixels.FORMATS) as image:
            return _exif_time(image.getexif())
    except Exception:  # decoders raise whatever they like on a broken file; read() gives the reason
        return None


def _header(path: str, max_pixels: int) -> tuple[int, int, float | None]:
    """Upright width and height and the EXIF time, before any pixel is decoded; raises ValueError over the limit."""
    with pixels.open_file(path, links=False) as file, Image.open(file, formats=pixels.FORMATS) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise ValueError(
                f"{width} x {height} is {width * height / 1e6:.0f} megapixels, over the limit of {max_pixels / 1e6:g}"
            )
        exif = image.getexif()
        if exif.get(ExifTags.Base.Orientation) in (5, 6, 7, 8):
            width, height = height, width
        return width, height, _exif_time(exif)


def _exif_time(exif: Image.Exif) -> float | None:
    details = exif.get_ifd(ExifTags.IFD.Exif)
    text = details.get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime)
    if not isinstance(text, str):
        return None
    try:
        seconds = calendar.timegm(time.strptime(text.strip("\0 "), "%Y:%m:%d %H:%M:%S"))
    except ValueError:
        return None
    part = str(details.get(ExifTags.Base.SubsecTimeOriginal, "")).strip("\0 ")
    return seconds + (float(f"0.{part}") if part.isascii() and part.isdigit() else 0.0)
