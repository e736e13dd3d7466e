"""Drawn pictures: the same for a number, different for others, in many colours and structures."""

import numpy as np
from PIL import Image

from model.data import procedural, procedural_creature


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


def test_a_creature_covers_a_part_of_the_canvas_and_is_the_same_for_the_same_generator():
    shares, drawn = [], []
    for seed in (*range(12), 0):
        canvas = Image.new("RGB", (256, 256), (255, 0, 255))
        skin = Image.new("RGB", (256, 256), (90, 60, 30))
        procedural_creature.draw(
            canvas, np.random.default_rng(seed), [[0.2, 0.3, 0.1], [0.7, 0.6, 0.5]], lambda skin=skin: skin
        )
        pixels = np.asarray(canvas)
        shares.append(float((pixels != (255, 0, 255)).any(2).mean()))
        drawn.append(pixels)
    assert all(0.005 < share < 0.95 for share in shares), shares
    assert np.array_equal(drawn[0], drawn[-1])
    assert not np.array_equal(drawn[0], drawn[1])


def test_every_scene_is_drawn():
    assert len(procedural.SCENES) == len(procedural._SHARES)
    assert abs(sum(procedural._SHARES) - 1) < 1e-9
    assert procedural._creature in procedural.SCENES
