"""Decodes image files to plain RGB arrays, and keeps the pool's pixels on disk in one size; imports no torch."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import math
import os
import stat
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from model import errors
from model.data import sources

Pixels = NDArray[np.uint8]
SEGMENT_IMAGES = 1024
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")  # Pillow knows forty more, EPS runs Ghostscript: none is tried
LARGE_PIXELS = 16_000_000  # decoding takes up to 20 bytes a pixel: of what is larger, one at a time
ORIENTATION = 0x0112  # the EXIF tag
_large = threading.Lock()
_GREY_16_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")


def decode(path: sources.Where, *, short_side: int | None = None, size: int | None = None) -> Pixels:
    """One image file, or the box in it, as uint8 (H, W, 3), upright, its first frame; transparency is laid on white.

    With `short_side` the image is scaled down (never up) until its shorter side has that many pixels; with `size` it
    becomes a square of that side, whatever its proportions: nothing is cut off, so a cell of the network's grid is the
    same share of the picture on the page, and the object stays in view where a centre crop would lose it.
    Raises UnreadableImage naming the path, for whatever reason it cannot be read; more pixels than Pillow's bomb limit
    (twice Image.MAX_IMAGE_PIXELS, 179 million) are such a reason.
    """
    try:
        source = path if isinstance(path, sources.Source) else sources.Source(str(path))
        with (
            open_file(source.file()) as file,
            Image.open(file, formats=FORMATS) as image,
            cut(image, source.box, short_side or size) as upright,
        ):
            return np.array(_resized(_rgb(upright), short_side=short_side, size=size), dtype=np.uint8)
    except MemoryError as problem:
        raise errors.UnreadableImage(str(path), "it takes more memory than there is for an image") from problem
    except Exception as problem:  # decoders raise whatever they like on a broken file
        raise errors.UnreadableImage(str(path), f"{type(problem).__name__}: {problem}") from problem


@contextlib.contextmanager
def cut(image: Image.Image, box: sources.Box | None, side: int | None) -> Iterator[Image.Image]:
    """An opened image upright and, with a box, only that and its margin; decoded no finer than its shorter side needs
    to have `side` pixels. Large ones wait for each other until the context ends. Raises ValueError for a box outside."""
    whole = image.size
    image.draft("RGB", _draft_size(image, side, min(box[2:] if box else whole)))
    with _one_large(image):
        upright = ImageOps.exif_transpose(image)
        if box is not None:
            wide, high = whole[::-1] if image.getexif().get(ORIENTATION) in (5, 6, 7, 8) else whole
            left, top, w, h = sources.crop_of(box, wide, high)
            across, down = upright.width / wide, upright.height / high
            right, bottom = math.ceil((left + w) * across), math.ceil((top + h) * down)
            corner = math.floor(left * across), math.floor(top * down)
            upright = upright.crop((*corner, min(right, upright.width), min(bottom, upright.height)))
        yield upright


def open_file(path: str | Path, *, links: bool = True) -> BinaryIO:
    """A file opened for reading; raises OSError for a pipe or device, which could block for ever or never end.

    Without `links` a path that is a link now is refused, too. What the name says of the format does not matter:
    Pillow goes by the content.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags if links else flags | getattr(os, "O_NOFOLLOW", 0))
    except OSError as problem:
        if problem.errno == errno.ELOOP:
            raise OSError("it is a link, not a file: put the file itself into the folder") from problem
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("it is a folder, pipe or device, not a file: take it out of the folder")
    return os.fdopen(descriptor, "rb")


@contextlib.contextmanager
def _one_large(image: Image.Image) -> Iterator[None]:
    """Held while an image is decoded: large ones wait for each other, for many at once would fill the memory."""
    with _large if image.width * image.height > LARGE_PIXELS else contextlib.nullcontext():
        yield


def _draft_size(image: Image.Image, side: int | None, shortest: int) -> tuple[int, int]:
    """The size down to which a JPEG may be decoded coarsely, so that what is `shortest` now still has twice `side`
    pixels: scaling then stays clean."""
    if side is None:
        return image.size
    factor = max(1.0, shortest / (2 * side))
    return round(image.width / factor), round(image.height / factor)


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode to RGB; 16-bit and float grey is scaled to its own range, transparency laid on white."""
    if image.mode in _GREY_16_BIT:
        return _from_deep_grey(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layered = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layered.size, "white"), layered).convert("RGB")
    return image.convert("RGB")


def _from_deep_grey(image: Image.Image) -> Image.Image:
    """Grey of more than 8 bits: 16-bit values keep their scale, integers and floats beyond it are stretched to fit."""
    values = np.asarray(image, dtype=np.float32)
    values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 255 and not image.mode.startswith("I;16"):
        low, high = 0.0, 255.0
    elif low >= 0 and high <= 65535:
        low, high = 0.0, 65535.0
    scaled = (values - low) * (255.0 / max(high - low, 1e-9))
    return Image.fromarray(scaled.round().astype(np.uint8), "L").convert("RGB")


def _resized(image: Image.Image, *, short_side: int | None, size: int | None) -> Image.Image:
    """Scaled as `decode` says."""
    if size is not None:
        return image.resize((size, size), Image.Resampling.BICUBIC)
    if short_side is None or min(image.size) <= short_side:
        return image
    factor = short_side / min(image.size)
    wide, high = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    return image.resize((wide, high), Image.Resampling.BICUBIC)


@dataclasses.dataclass(frozen=True)
class Batch:
    """The images that could be read: uint8 (N, side, side, 3), their N positions in the request, and the problems."""

    images_NHWC: Pixels
    positions_N: NDArray[np.int64]
    problems: list[errors.UnreadableImage]


class PixelCache:
    """Decoded squares by image id in `folder`, memory-mapped; filled as they are asked for, by any number of processes.

    Every writer adds its own segment (two .npy files, renamed into place, the pixels last), so nobody waits, nothing is
    half written, and a crash leaves at most a file whose name starts with "tmp-". Two processes that miss the same
    image store it twice, harmlessly. Beyond `max_bytes` images are decoded each time and not stored. `side` is what the
    network sees: scaled a second time, pictures blur and labels are worth less.
    """

    def __init__(self, folder: Path, *, side: int, max_bytes: int = 8_000_000_000, workers: int = 2) -> None:
        self.folder, self.side, self.max_bytes, self.workers = Path(folder) / str(side), side, max_bytes, workers
        self.folder.mkdir(parents=True, exist_ok=True)
        self._segments: dict[str, Pixels] = {}
        self._places: dict[int, tuple[str, int]] = {}
        self._bytes = 0
        self._look()

    def __contains__(self, image_id: int) -> bool:
        return image_id in self._places

    @property
    def bytes(self) -> int:
        """Bytes of pixels on disk that this process knows of."""
        return self._bytes

    def get(self, ids: Sequence[int], paths: Sequence[sources.Where]) -> Pixels:
        """The images in the order asked, uint8 (N, side, side, 3); raises UnreadableImage for the first bad one."""
        batch = self.read(ids, paths)
        if batch.problems:
            raise batch.problems[0]
        return batch.images_NHWC

    def read(
        self,
        ids: Sequence[int],
        paths: Sequence[sources.Where],
        *,
        progress: Callable[[float, str], None] | None = None,
    ) -> Batch:
        """Like `get`, but an unreadable image is left out and reported, and never stops the others."""
        if len(ids) != len(paths):
            raise errors.BadInput(f"{len(ids)} ids for {len(paths)} paths")
        if any(image_id not in self._places for image_id in ids):
            self._look()
        images_NHWC = np.empty((len(ids), self.side, self.side, 3), dtype=np.uint8)
        missing = [position for position, image_id in enumerate(ids) if int(image_id) not in self._places]
        for position, image_id in enumerate(ids):
            if int(image_id) in self._places:
                segment, row = self._places[int(image_id)]
                images_NHWC[position] = self._segments[segment][row]
        problems: dict[int, errors.UnreadableImage] = {}
        for start in range(0, len(missing), SEGMENT_IMAGES):
            part = missing[start : start + SEGMENT_IMAGES]
            problems.update(self._fill(images_NHWC, part, ids, paths))
            if progress is not None:
                done = min(start + SEGMENT_IMAGES, len(missing))
                progress(done / len(missing), f"decoded {done:,} of {len(missing):,} images")
        kept = np.array([position for position in range(len(ids)) if position not in problems], dtype=np.int64)
        return Batch(images_NHWC if not problems else images_NHWC[kept], kept, list(problems.values()))

    def _fill(
        self, images_NHWC: Pixels, positions: list[int], ids: Sequence[int], paths: Sequence[sources.Where]
    ) -> dict[int, errors.UnreadableImage]:
        """Decode the positions into `images_NHWC`, store what could be read, return what could not by position."""

        def one(position: int) -> errors.UnreadableImage | None:
            try:
                images_NHWC[position] = decode(paths[position], size=self.side)
            except errors.UnreadableImage as problem:
                return problem
            return None

        with futures.ThreadPoolExecutor(self.workers) as pool:
            outcomes = dict(zip(positions, pool.map(one, positions), strict=True))
        good = [position for position, problem in outcomes.items() if problem is None]
        self._store(np.array([ids[position] for position in good], dtype=np.int64), images_NHWC[good])
        return {position: problem for position, problem in outcomes.items() if problem is not None}

    def _store(self, ids_N: NDArray[np.int64], images_NHWC: Pixels) -> None:
        """Write one segment, unless it would not fit."""
        if len(ids_N) == 0 or self._bytes + images_NHWC.nbytes > self.max_bytes:
            return
        name = uuid.uuid4().hex
        for kind, array in (("ids", ids_N), ("pixels", images_NHWC)):
            beside = self.folder / f"tmp-{name}.{kind}.npy"
            np.save(beside, array)
            os.replace(beside, self.folder / f"{name}.{kind}.npy")
        self._open(name)

    def _look(self) -> None:
        """Open the segments that have appeared since the last look."""
        for path in sorted(self.folder.glob("*.pixels.npy")):
            name = path.name.removesuffix(".pixels.npy")
            if name not in self._segments and not name.startswith("tmp-"):
                self._open(name)

    def _open(self, name: str) -> None:
        pixels_NHWC: Pixels = np.load(self.folder / f"{name}.pixels.npy", mmap_mode="r", allow_pickle=False)
        ids_N = np.load(self.folder / f"{name}.ids.npy", allow_pickle=False)
        self._segments[name] = pixels_NHWC
        self._bytes += pixels_NHWC.nbytes
        for row, image_id in enumerate(ids_N.tolist()):
            self._places.setdefault(image_id, (name, row))
