"""Views of a test image: which there are, and where they lie."""

import numpy as np
import pytest

from model import errors, tta


def views(name: str, size: int = 4) -> list[np.ndarray]:
    side = tta.side(name, size)
    images = np.arange(2 * side * side * 3, dtype=np.uint32).reshape(2, side, side, 3)
    return list(tta.views(name, images, size))


def test_none_is_the_image_and_flip_its_mirror_too() -> None:
    (only,) = views("none")
    plain, mirrored = views("flip")
    assert np.array_equal(only, plain)
    assert np.array_equal(mirrored, plain[:, :, ::-1])


def test_ten_crops_are_corners_and_middle_each_mirrored() -> None:
    found = views("ten-crop", 224)
    assert tta.side("ten-crop", 224) == 256
    assert {each.shape for each in found} == {(2, 224, 224, 3)}
    firsts = [int(each[0, 0, 0, 0]) // 3 for each in found[::2]]
    assert firsts == [0, 32, 32 * 256, 32 * 256 + 32, 16 * 256 + 16]
    assert all(np.array_equal(found[at + 1], found[at][:, :, ::-1]) for at in range(0, 10, 2))


def test_another_name_is_refused() -> None:
    with pytest.raises(errors.UnknownName, match="did you mean 'ten-crop'"):
        tta.side("tencrop", 224)
