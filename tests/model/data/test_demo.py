"""The demo pool: same seed same pixels, and nothing but the mark tells the classes apart."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.data import datasets, demo


def test_same_seed_and_class_draw_the_same_pixels_and_another_seed_does_not() -> None:
    first, again, other = demo.draw(7, 3), demo.draw(7, 3), demo.draw(8, 3)
    assert np.array_equal(first.image, again.image)
    assert first.region == again.region
    assert not np.array_equal(first.image, other.image)


def test_shape_type_and_region_inside_the_image() -> None:
    for seed in range(16):
        drawn = demo.draw(seed, seed % 8)
        left, top, right, bottom = drawn.region
        assert drawn.image.shape == (256, 256, 3)
        assert drawn.image.dtype == np.uint8
        assert 0 <= left < right <= 256
        assert 0 <= top < bottom <= 256
        assert 0.08 * 256 <= max(right - left, bottom - top) <= 0.32 * 256


@pytest.mark.parametrize("seed", range(6))
def test_two_classes_of_one_seed_differ_only_around_the_mark(seed: int) -> None:
    images = [demo.draw(seed, index) for index in range(len(demo.CLASS_NAMES))]
    regions = np.array([drawn.region for drawn in images])
    left, top = regions[:, :2].min(0) - 6
    right, bottom = regions[:, 2:].max(0) + 6
    for drawn in images[1:]:
        changed = np.abs(drawn.image.astype(int) - images[0].image).max(2)
        assert changed[top:bottom, left:right].max() > 60
        changed[top:bottom, left:right] = 0
        assert changed.max() == 0


def test_the_mark_stands_out_from_the_shell_at_96_pixels() -> None:
    contrasts = []
    for seed in range(24):
        drawn = demo.draw(seed, seed % 8)
        small = np.asarray(Image.fromarray(drawn.image).convert("L").resize((96, 96)), dtype=float)
        left, top, right, bottom = (round(edge * 96 / 256) for edge in drawn.region)
        part = small[top:bottom, left:right]
        contrasts.append(np.percentile(part, 90) - np.percentile(part, 20))
    assert np.median(contrasts) > 60


def test_without_a_class_every_class_comes_and_about_three_in_a_hundred_are_unusable() -> None:
    seen = [demo.draw(seed, None) for seed in range(100)]
    indices = [drawn.class_index for drawn in seen]
    assert set(indices) == {-1, *range(8)}
    assert 1 <= indices.count(-1) <= 9
    assert all(drawn.region == (0, 0, 0, 0) for drawn in seen if drawn.class_index == -1)


def test_make_writes_neutral_names_truth_and_classes(tmp_path: Path) -> None:
    told: list[float] = []
    demo.make(tmp_path, count=34, seed=5, progress=lambda fraction, message: told.append(fraction))
    with (tmp_path / "truth.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (tmp_path / "classes.txt").read_text(encoding="utf-8").split("\n")[:-1] == list(demo.CLASS_NAMES)
    assert [row["file"] for row in rows] == sorted(path.name for path in tmp_path.glob("*.jpg"))
    assert len(rows) == 34
    counts = [sum(row["class"] == name for row in rows) for name in ("", *demo.CLASS_NAMES)]
    assert counts[0] == 1
    assert max(counts[1:]) - min(counts[1:]) <= 1
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_making_again_gives_the_same_files(tmp_path: Path) -> None:
    demo.make(tmp_path / "a", count=6, seed=1)
    demo.make(tmp_path / "b", count=6, seed=1)
    assert [path.read_bytes() for path in sorted((tmp_path / "a").iterdir())] == [
        path.read_bytes() for path in sorted((tmp_path / "b").iterdir())
    ]


def test_drawing_needs_no_torch() -> None:
    code = "import sys; from model.data import demo; demo.draw(1, 1); assert 'torch' not in sys.modules"
    root = Path(__file__).resolve().parents[3]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_a_sorted_pool_is_a_data_set_with_its_split_and_its_evidence(tmp_path: Path) -> None:
    demo.make_sorted(tmp_path, train=16, test=8)
    data = datasets.load("demo", tmp_path)
    assert data.class_names == sorted(demo.CLASS_NAMES)
    assert np.bincount(data.labels_N).tolist() == [3] * 8
    assert data.test_N.sum() == 8
    assert (data.boxes_N4[:, 2:] > 10).all()
    assert len(datasets.load("demo", tmp_path).paths) == 24  # not drawn again
