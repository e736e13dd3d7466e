"""What a simulation runs on: the digits, and saved embeddings that come back or are refused by name."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from app import errors, simulate_data


def _folder(root: Path, *, split: bool) -> Path:
    rng, rows = np.random.default_rng(0), ["file,class,split"]
    for name, colour in (("ash", (200, 40, 40)), ("oak", (40, 200, 40)), ("yew", (40, 40, 200))):
        (root / name).mkdir(parents=True)
        for at in range(12):
            pixels = np.clip(np.array(colour) + rng.normal(0, 30, (8, 8, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / name / f"{at}.png")
            rows.append(f"{name}/{at}.png,{name},{'test' if at % 3 == 0 else 'train'}")
    if split:
        (root / "metadata.csv").write_text("\n".join(rows), encoding="utf-8")
    return root


def _embed(images_NHWC: np.ndarray) -> np.ndarray:
    return images_NHWC.reshape(len(images_NHWC), -1).astype(np.float32)


def _read(
    folder: Path, cache: Path, embed: simulate_data.Embed = _embed, *, keep_pixels: bool = False
) -> simulate_data.Material:
    return simulate_data.from_folder(
        folder, key="plain", side=8, cache=cache, keep_pixels=keep_pixels, embed=embed, progress=lambda *_: None
    )


def test_the_digits_are_64_raw_pixels_and_split_by_the_seed() -> None:
    digits = simulate_data.from_digits()
    assert digits.embeddings_ND.shape == (1797, 64)
    assert digits.embeddings_ND.max() == 16
    assert [len(side) for side in digits.split(0)] == [1078, 719]


def test_saved_embeddings_come_back_as_they_were(tmp_path: Path) -> None:
    material, file = _read(_folder(tmp_path / "trees", split=True), tmp_path), tmp_path / "out" / "trees.npz"
    simulate_data.save_embeddings(material, file)
    again = simulate_data.from_embeddings(file)
    np.testing.assert_array_equal(again.embeddings_ND, material.embeddings_ND)
    np.testing.assert_array_equal(again.labels_N, material.labels_N)
    np.testing.assert_array_equal(again.split_N, material.split_N)
    assert again.class_names == material.class_names
    np.savez(file, embeddings_ND=np.eye(4), labels_N=np.array([0, 1, -1, 1]))
    bare = simulate_data.from_embeddings(file)
    assert (bare.class_names, bare.split_N) == (["class 0", "class 1"], None)


GOOD = {"embeddings_ND": np.eye(4), "labels_N": np.array([0, 1, 0, 1])}
HOLED = np.eye(4)
HOLED[2, 1] = np.nan


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels_N": None}, "no array 'labels_N'"),
        ({"embeddings_ND": None}, "no array 'embeddings_ND'"),
        ({"embeddings_ND": HOLED}, "not finite in row 2"),
        ({"embeddings_ND": np.eye(3)}, r"shape \(4, dimensions\)"),
        ({"embeddings_ND": np.ones(4)}, r"shape \(4, dimensions\)"),
        ({"embeddings_ND": np.array([[object()]] * 4)}, "cannot read"),
        ({"labels_N": np.array([0.0, 1, 0, 1])}, "whole numbers"),
        ({"labels_N": np.array([0, 0, -1, 0])}, "two classes"),
        ({"labels_N": np.array([0, 1, -2, 0])}, "-1 where"),
        ({"class_names": np.array(["only"])}, "1 names"),
        ({"split": np.array([0, 0, 0, 0])}, "both sides"),
        ({"split": np.array([0, 1])}, "each of 4 images"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(tmp_path: Path, change: dict, words: str) -> None:
    file = tmp_path / "bad.npz"
    np.savez(file, **{name: array for name, array in (GOOD | change).items() if array is not None})
    with pytest.raises(errors.BadRequest, match=words):
        simulate_data.from_embeddings(file)


def test_what_is_no_archive_of_arrays_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "one.npy", np.eye(2))
    for name in ("text.npz", "one.npy", "absent.npz"):
        with pytest.raises(errors.BadRequest, match=name):
            simulate_data.from_embeddings(tmp_path / name)
