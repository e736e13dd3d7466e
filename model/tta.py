"""Several views of a test image whose predictions are averaged; imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from model import errors

NAMES = ("none", "flip", "ten-crop")
_WIDER = 256 / 224  # the usual side before a crop


def side(name: str, size: int) -> int:
    """The side at which images are decoded for a network that takes `size` pixels. Raises UnknownName."""
    if name not in NAMES:
        raise errors.UnknownName("test-time augmentation", name, NAMES)
    return round(size * _WIDER) if name == "ten-crop" else size


def views(name: str, images_NHWC: NDArray[np.uint8], size: int) -> Iterator[NDArray[np.uint8]]:
    """The views of squares of `side(name, size)`, one after another: the image; with its mirror image; or its four corners
    and its middle, each with its mirror image (Krizhevsky et al. 2012)."""
    spare = images_NHWC.shape[1] - size
    corners = [(0, 0)]
    if name == "ten-crop":
        corners = [(0, 0), (0, spare), (spare, 0), (spare, spare), (spare // 2, spare // 2)]
    for top, left in corners:
        crop = images_NHWC[:, top : top + size, left : left + size]
        yield crop
        if name != "none":
            yield crop[:, :, ::-1]
