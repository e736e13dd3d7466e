"""Images of a data set as the network takes them, decoded once by several threads, found by their position."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app import errors
from model.data import ahead, dataset

Progress = Callable[[float, str], None]
Positions = NDArray[np.int64]
BATCH = 64


@dataclasses.dataclass(frozen=True)
class Decoded:
    """images_NHWC: those that could be read; rows: for every position of the data set its row among them, or -1."""

    images_NHWC: NDArray[np.uint8]
    rows: Positions

    def readable(self, positions: Positions) -> Positions:
        """Those of the positions that could be read."""
        return positions[self.rows[positions] >= 0]

    def of(self, positions: Positions) -> NDArray[np.uint8]:
        """The images of positions that could be read."""
        return self.images_NHWC[self.rows[positions]]


def read(paths: Sequence[Path], positions: Positions, *, side: int, progress: Progress) -> Decoded:
    """Decode the images at `positions` to squares of `side`; what cannot be read is left out and named. Raises BadRequest
    where nothing can."""
    images, rows, count = np.empty((len(positions), side, side, 3), np.uint8), np.full(len(paths), -1), 0
    wanted = [paths[at] for at in positions]
    for number, batch in enumerate(ahead.batches(wanted, side=side, batch=BATCH)):
        for problem in batch.problems:
            print(f"left out: {problem}", file=sys.stderr)
        images[count : count + len(batch.positions_N)] = batch.images_NHWC
        rows[positions[number * BATCH + batch.positions_N]] = count + np.arange(len(batch.positions_N))
        count += len(batch.positions_N)
        progress(0.0, f"decoding {count:,} of {len(wanted):,} images")
    if count == 0 and len(positions):
        raise errors.BadRequest(f"none of the {len(positions)} images could be read; the first is {wanted[0]}")
    return Decoded(images[:count], rows)


def shares(data: dataset.Dataset, positions: Positions) -> NDArray[np.float64]:
    """The boxes of these images as x, y, w, h in shares of the image, within it; NaN for those without and all others."""
    found_N4 = np.full((len(data.paths), 4), np.nan)
    for at in positions[~np.isnan(data.boxes_N4[positions]).any(axis=1)]:
        with Image.open(data.paths[at]) as picture:
            size = np.array(picture.size, np.float64)
        low, high = data.boxes_N4[at, :2], data.boxes_N4[at, :2] + data.boxes_N4[at, 2:]
        low, high = np.clip(low / size, 0.0, 1.0), np.clip(high / size, 0.0, 1.0)
        if (high > low).all():
            found_N4[at] = *low, *(high - low)
    return found_N4
