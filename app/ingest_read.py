"""Reads one image file for ingest: digest, size, time, perceptual hash and thumbnail, or the reason why not."""

from __future__ import annotations

import calendar
import dataclasses
import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from app import ingest_files, scenes
from model import errors as model_errors
from model.data import pixels, sources

THUMBNAIL_SIDE = 256
_SIGNATURE_SIDE = 24
_CHUNK = 1 << 20
_BYTES_PER_PIXEL = 16  # four channels of 32 bits: no image needs more

Signature = NDArray[np.float32]
Header = tuple[int, int, float | None]  # upright width and height, the EXIF time


@dataclass(frozen=True)
class Reading:
    """What one file holds, or one box of it. With a `problem` only the digest may be known; the thumbnail waits at
    `thumbnail`.

    Width and height are those of the upright image, of a box those of what is cut out, and
    `whole` those of its scene; `signature` is what near-duplicates are compared by.
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
    box: sources.Box | None = None
    whole: tuple[int, int] | None = None
    called: str | None = None  # of a box

    @property
    def name(self) -> str:
        """The path to store."""
        return self.called or self.found.name


def read(found: ingest_files.Found, *, thumbnail: Path, max_pixels: int) -> list[Reading]:
    """Read a file, or each of its boxes, and leave its thumbnail at `thumbnail` or beside; never raises for what the
    file may hold.

    A file that cannot be read is one reading, whatever its boxes. Every problem begins with the file's name. Its cost is
    bounded where it runs in a process apart (ingest_apart).
    """
    digest = None
    try:
        if ingest_files.printable(found.path) != found.path:
            return [unusable(found, "its name, or that of its folder, is not valid UTF-8: rename it")]
        if found.bytes == 0:
            return [unusable(found, "the file is empty (0 bytes)")]
        if found.bytes > _BYTES_PER_PIXEL * max_pixels + _CHUNK:
            megabytes, most = found.bytes / 1e6, max_pixels / 1e6
            return [unusable(found, f"{megabytes:,.0f} MB are more than {most:g} megapixels can need")]
        digest = digest_of(found.path)
        header = _header(found.path, max_pixels)
        if found.boxes is None:
            return [_looked_at(found, digest, header, None, thumbnail)]
    except Exception as problem:  # decoders raise whatever they like on a broken file
        return [unusable(found, _why(problem), digest)]
    return _boxes(found, digest, header, thumbnail)


def _boxes(found: ingest_files.Found, digest: str, header: Header, thumbnail: Path) -> list[Reading]:
    """A reading of each box, those that are there twice once."""
    readings: dict[str, Reading] = {}
    for raw in found.boxes or ():
        name, box = scenes.unusable_name(found.name, raw), None
        try:
            box = scenes.in_pixels(raw, *header[:2])
            name = scenes.named(found.name, box)
            if name not in readings:
                beside = thumbnail.with_stem(f"{thumbnail.stem}-{raw.number}")
                readings[name] = _looked_at(found, digest, header, box, beside)
        except Exception as problem:  # as above: a picture cut short may hold one box whole and another not
            why = unusable(found, _why(problem), digest, name=name)
            readings[name] = dataclasses.replace(why, box=box, whole=header[:2])
    return list(readings.values())


def _looked_at(
    found: ingest_files.Found, digest: str, header: Header, box: sources.Box | None, thumbnail: Path
) -> Reading:
    width, height, taken = header
    upright = Image.fromarray(pixels.decode(sources.Source(found.path, box), short_side=THUMBNAIL_SIDE))
    upright.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BICUBIC)
    thumbnail.parent.mkdir(parents=True, exist_ok=True)
    upright.save(thumbnail, "JPEG", quality=88)
    seen: dict[str, Any] = {
        "phash": str(imagehash.phash(upright)),
        "signature": signature(upright),
        "thumbnail": thumbnail,
    }
    taken = found.taken_at if taken is None else taken
    if box is None:
        return Reading(found, None, digest, width, height, taken_at=taken, **seen)
    wide, high = sources.crop_of(box, width, height)[2:]
    seen |= {"box": box, "whole": (width, height), "called": scenes.named(found.name, box)}
    return Reading(found, None, digest, wide, high, taken_at=taken, **seen)


def _why(problem: Exception) -> str:
    if isinstance(problem, MemoryError):
        return "it takes more memory than there is for an image"
    if isinstance(problem, model_errors.UnreadableImage):
        return problem.problem
    return str(problem) if type(problem) is ValueError else f"{type(problem).__name__}: {problem}"


def unusable(found: ingest_files.Found, why: str, digest: str | None = None, *, name: str | None = None) -> Reading:
    """The reading of a file that cannot be used, or of a box in it; the reason names it, with what cannot be printed
    written as \\x1b."""
    told = ingest_files.shown(f"{Path(name or found.name).name}: {why}")
    return Reading(found, problem=told, digest=digest, called=name)


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


def _header(path: str, max_pixels: int) -> Header:
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
