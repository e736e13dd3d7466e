"""Drawn pictures: the same for a number, different for others, in many colours and structures."""

import numpy as np

from model.data import procedural


def test_a_number_is_a_picture_and_another_number_another_one():
    first = procedural.draw(11)
    assert first.dtype == np.uint8
    assert first.shape == (256, 256, 3)
    assert np.array_equal(first, procedural.draw(11))
    assert not np.array_equal(first, procedural.draw(12))


def test_they_vary_in_light_colour_and_detail():
    pictures = np.stack([procedural.draw(seed)[::2, ::2] for seed in range(32)]).astype(np.float32)
    brightness_N = pictures.mean((1, 2, 3))
    tint_N = pictures.mean((1, 2)).std(1)
    detail_N = np.abs(np.diff(pictures, axis=2)).mean((1, 2, 3))
    assert brightness_N.std() > 20
    assert tint_N.max() > 4 * np.median(tint_N) / 2
    assert np.quantile(detail_N, 0.9) > 4 * np.quantile(detail_N, 0.1)
    small = pictures[:, ::16, ::16].reshape(32, -1)
    near = np.corrcoef(small) - np.eye(32)
    assert (near.max(1) < 0.95).all(), "two pictures are nearly the same"
