"""Decoding ahead: in order, what cannot be read in its place, and never more in memory than was asked for."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model import errors
from model.data import ahead, pixels


def pictures(folder: Path, count: int) -> list[Path]:
    paths = []
    for at in range(count):
        paths.append(folder / f"{at}.png")
        Image.new("RGB", (12, 9), (at, 2 * at, 255 - at)).save(paths[-1])
    return paths


def test_batches_come_in_order_with_the_pixels_of_decode(tmp_path: Path) -> None:
    paths = pictures(tmp_path, 11)
    paths[4].write_bytes(b"no image")
    parts = list(ahead.batches(paths, side=8, batch=4, workers=3))
    assert [len(part.images_NHWC) for part in parts] == [4, 3, 3]
    assert parts[1].positions_N.tolist() == [1, 2, 3]
    assert [problem.path for problem in parts[1].problems] == [str(paths[4])]
    readable = [path for path in paths if path != paths[4]]
    found = np.concatenate([part.images_NHWC for part in parts])
    np.testing.assert_array_equal(found, np.stack([pixels.decode(path, size=8) for path in readable]))


def test_no_more_is_asked_for_than_fits(tmp_path: Path) -> None:
    asked, paths = [0], pictures(tmp_path, 3)

    def endless() -> Iterator[Path]:
        while True:
            asked[0] += 1
            yield paths[asked[0] % 3]

    found = ahead.batches(endless(), side=8, batch=5, workers=2, ahead=2)
    for taken in range(1, 6):
        next(found)
        assert asked[0] <= 5 * (taken + 1)
    found.close()
    assert not [each for each in threading.enumerate() if each.name.startswith("decode")]


def test_nothing_gives_nothing_and_no_batch_is_refused() -> None:
    assert list(ahead.batches([], side=8, batch=4)) == []
    with pytest.raises(errors.BadInput, match="batch is 0"):
        next(ahead.batches([], side=8, batch=0))
