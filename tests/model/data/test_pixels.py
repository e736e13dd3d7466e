"""Every kind of file becomes plain RGB, a bad one is named, and the cache gives back what it was filled with."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest
from PIL import Image

from model import errors
from model.data import pixels

RED, GREEN, BLUE = (200, 30, 40), (20, 160, 60), (30, 40, 190)


def saved(path, image, **options):
    image.save(path, **options)
    return path


def flat(colour, size=(40, 20)):
    return Image.new("RGB", size, colour)


def near(array, colour, tolerance=6):
    return np.abs(array.astype(int) - np.array(colour)).max() <= tolerance


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tiff", "gif"])
def test_every_format_is_read(tmp_path, suffix):
    array = pixels.decode(saved(tmp_path / f"a.{suffix}", flat(RED)))
    assert (array.dtype, array.shape) == (np.uint8, (20, 40, 3))
    assert near(array, RED)


def test_cmyk(tmp_path):
    assert near(pixels.decode(saved(tmp_path / "a.jpg", flat(GREEN).convert("CMYK"), quality=95)), GREEN, 12)


def test_sixteen_bit_grey_keeps_its_scale(tmp_path):
    values = np.full((20, 40), 0x4000, dtype=np.uint16)
    assert near(pixels.decode(saved(tmp_path / "a.png", Image.fromarray(values))), (64, 64, 64), 1)
    assert near(pixels.decode(saved(tmp_path / "a.tiff", Image.fromarray(values))), (64, 64, 64), 1)


def test_float_grey_is_stretched_to_its_range(tmp_path):
    values = np.linspace(-1, 3, 800, dtype=np.float32).reshape(20, 40)
    array = pixels.decode(saved(tmp_path / "a.tiff", Image.fromarray(values)))
    assert (array.min(), array.max()) == (0, 255)


def test_eight_bit_grey_and_palette(tmp_path):
    assert near(pixels.decode(saved(tmp_path / "a.png", Image.new("L", (40, 20), 77))), (77, 77, 77), 0)
    assert near(pixels.decode(saved(tmp_path / "b.png", flat(BLUE).quantize(4))), BLUE, 8)


def test_transparency_is_laid_on_white(tmp_path):
    half = Image.new("RGBA", (40, 20), (*RED, 255))
    half.paste((0, 0, 0, 0), (20, 0, 40, 20))
    array = pixels.decode(saved(tmp_path / "a.png", half))
    assert near(array[:, :18], RED, 0)
    assert near(array[:, 22:], (255, 255, 255), 0)


def test_exif_orientation_is_applied(tmp_path):
    image = flat(RED)
    image.paste(BLUE, (20, 0, 40, 20))  # red left, blue right
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned by 90 degrees clockwise: left becomes top
    array = pixels.decode(saved(tmp_path / "a.jpg", image, exif=exif, quality=95))
    assert array.shape == (40, 20, 3)
    assert near(array[:15], RED, 16)
    assert near(array[25:], BLUE, 16)


def test_the_first_frame_counts(tmp_path):
    path = saved(tmp_path / "a.gif", flat(RED), save_all=True, append_images=[flat(BLUE)])
    assert near(pixels.decode(path), RED, 8)


def test_sizes(tmp_path):
    path = saved(tmp_path / "a.png", flat(RED, (400, 200)))
    assert pixels.decode(path, short_side=100).shape == (100, 200, 3)
    assert pixels.decode(path, short_side=900).shape == (200, 400, 3)  # never up
    assert pixels.decode(path, size=64).shape == (64, 64, 3)


def test_a_large_jpeg_is_scaled_without_losing_its_edges(tmp_path):
    image = flat(RED, (1600, 1600))
    image.paste(BLUE, (800, 0, 1600, 1600))
    array = pixels.decode(saved(tmp_path / "a.jpg", image, quality=95), size=64)
    assert near(array[:, :30], RED, 12)
    assert near(array[:, 34:], BLUE, 12)


@pytest.mark.parametrize("content", [b"", b"not an image", None])
def test_an_unreadable_file_is_named(tmp_path, content):
    path = tmp_path / "broken.png"
    if content is None:
        content = saved(tmp_path / "whole.png", Image.effect_noise((64, 64), 50)).read_bytes()[:900]
    path.write_bytes(content)
    with pytest.raises(errors.UnreadableImage, match=r"broken\.png"):
        pixels.decode(path)


def test_a_decompression_bomb_is_refused_by_name(tmp_path, monkeypatch):
    path = saved(tmp_path / "bomb.png", Image.new("L", (300, 300)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(errors.UnreadableImage, match=r"bomb\.png.*exceeds limit"):
        pixels.decode(path)


@pytest.fixture
def pool(tmp_path):
    colours = [RED, GREEN, BLUE, (9, 9, 9), (250, 250, 250)]
    return [saved(tmp_path / f"{number}.png", flat(colour)) for number, colour in enumerate(colours)]


def test_the_cache_decodes_once_and_keeps_the_order_asked(tmp_path, pool):
    cache = pixels.PixelCache(tmp_path / "cache", side=16)
    first = cache.get([10, 11, 12], pool[:3])
    assert first.shape == (3, 16, 16, 3)
    assert near(first[1], GREEN)
    for path in pool[:3]:
        path.unlink()
    again = pixels.PixelCache(tmp_path / "cache", side=16)
    assert 11 in again
    assert 13 not in again
    assert np.array_equal(again.get([12, 10], [pool[2], pool[0]]), first[[2, 0]])
    assert near(again.get([13, 10], [pool[3], pool[0]])[0], (9, 9, 9))


def test_a_bad_image_never_stops_the_others(tmp_path, pool):
    pool[1].write_bytes(b"broken")
    cache = pixels.PixelCache(tmp_path / "cache", side=16)
    told = []
    batch = cache.read([0, 1, 2], pool[:3], progress=lambda fraction, text: told.append((fraction, text)))
    assert batch.positions_N.tolist() == [0, 2]
    assert near(batch.images_NHWC[1], BLUE)
    assert [problem.path for problem in batch.problems] == [str(pool[1])]
    assert told == [(1.0, "decoded 3 of 3 images")]
    with pytest.raises(errors.UnreadableImage, match=r"1\.png"):
        cache.get([0, 1], pool[:2])


def test_the_cache_stays_below_its_limit(tmp_path, pool):
    cache = pixels.PixelCache(tmp_path / "cache", side=16, max_bytes=2 * 16 * 16 * 3)
    cache.get([0, 1], pool[:2])
    assert near(cache.get([2], [pool[2]])[0], BLUE)
    assert 2 not in cache
    assert cache.bytes == 2 * 16 * 16 * 3


def test_a_half_written_segment_is_not_seen(tmp_path, pool):
    folder = tmp_path / "cache" / "16"
    folder.mkdir(parents=True)
    (folder / "tmp-dead.pixels.npy").write_bytes(b"half")
    assert near(pixels.PixelCache(tmp_path / "cache", side=16).get([0], pool[:1])[0], RED)


def _fill(folder, ids, paths):
    pixels.PixelCache(folder, side=16).get(ids, paths)


def test_two_processes_fill_one_cache(tmp_path, pool):
    mine = pixels.PixelCache(tmp_path / "cache", side=16)
    mine.get([0], pool[:1])
    others = [
        multiprocessing.get_context("spawn").Process(
            target=_fill, args=(tmp_path / "cache", ids, [pool[i] for i in ids])
        )
        for ids in ([1, 2, 3], [3, 4])
    ]
    for process in others:
        process.start()
    for process in others:
        process.join(60)
        assert process.exitcode == 0
    for path in pool:
        path.unlink()
    images = mine.get([4, 3, 2, 1, 0], pool[::-1])
    assert near(images[4], RED)
    assert near(images[0], (250, 250, 250))
