"""Images of a data set as the network takes them, decoded once by several threads, found by their position."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app import errors
from model.data import ahead

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
