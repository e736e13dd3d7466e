"""How the store's images are opened, and what of them leaves: a file, or the box in it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from PIL import Image

from app import ingest_files, remote, scenes
from model.data import pixels, sources
from store import records

QUALITY = 95  # of a crop that leaves as JPEG
_CUT = re.compile(r"(.+)_xywh_(\d{1,9})_(\d{1,9})_(\d{1,9})_(\d{1,9})(-\d+)?\.(jpg|png)")


def source(image: records.Image, workspace: Path) -> sources.Where:
    """What decodes an image; one that lies elsewhere is fetched when it is opened."""
    if remote.is_address(image.file):
        return sources.Source(image.path, image.box, partial(file, image, workspace))
    return image.path if image.box is None else sources.Source(image.file, image.box)


def inside(found: ingest_files.Found) -> Iterator[sources.Where]:
    """What decodes each image of a file that the store need not know: itself, or its boxes, named as in the store; a box
    that cannot be used fails with its reason when it is opened."""
    if found.boxes is None:
        yield found.path
        return
    size = _size(found.path)
    for raw in found.boxes:
        try:
            box = scenes.in_pixels(raw, *size)
        except ValueError as problem:
            yield sources.Source(scenes.unusable_name(found.path, raw), None, partial(_refused, str(problem)))
        else:
            yield sources.Source(scenes.named(found.path, box), box, partial(str, found.path))


def _size(path: str) -> tuple[int, int]:
    """Width and height of the upright picture; of a file that cannot be read some size, as opening it will say why."""
    try:
        with pixels.open_file(path) as opened, Image.open(opened, formats=pixels.FORMATS) as picture:
            turned = picture.getexif().get(pixels.ORIENTATION) in (5, 6, 7, 8)
            return (picture.height, picture.width) if turned else picture.size
    except Exception:  # decoders raise whatever they like on a broken file
        return 10**6, 10**6


def _refused(why: str) -> str:
    raise ValueError(why)


def file(image: records.Image, workspace: Path | None) -> Path:
    """The file that holds it, of a box the whole scene, fetched if it lies elsewhere; raises errors.RemoteError."""
    return remote.cache(workspace).fetch(image.file) if remote.is_address(image.file) else Path(image.file)


def name(image: records.Image) -> str:
    """The file name under which it leaves: of a box its scene's with the box, see `cut_from`."""
    own = Path(image.file).name
    if image.box is None:
        return own
    return f"{own}_xywh_{'_'.join(map(str, image.box))}{'.jpg' if _is_jpeg(own) else '.png'}"


def cut_from(called: str) -> tuple[str, sources.Box] | None:
    """The scene's file name and the box that a file was cut from, by the name that `name` gave it; None for another."""
    found = _CUT.fullmatch(called)
    if found is None:
        return None
    x, y, w, h = map(int, found.groups()[1:5])
    return found[1], (x, y, w, h)


def crop(image: records.Image, scene: Path) -> bytes:
    """The box with its margin as a file; JPEG where the scene is one, else PNG. Raises model.errors.UnreadableImage."""
    made = io.BytesIO()
    picture = Image.fromarray(pixels.decode(sources.Source(str(scene), image.box)))
    if _is_jpeg(scene.name):
        picture.save(made, "JPEG", quality=QUALITY)
    else:
        picture.save(made, "PNG")
    return made.getvalue()


def _is_jpeg(called: str) -> bool:
    return called.lower().endswith((".jpg", ".jpeg", ".jpe", ".jfif"))
