"""How the store's images are opened: a file, or the box in it."""

from __future__ import annotations

from pathlib import Path

from model.data import sources
from store import records


def source(image: records.Image, workspace: Path) -> sources.Where:
    """What decodes an image."""
    return image.path if image.box is None else sources.Source(image.file, image.box)


def file(image: records.Image, workspace: Path) -> Path:
    """The file that holds it, of a box the whole scene."""
    return Path(image.file)
