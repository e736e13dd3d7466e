"""`train` and `evaluate` on published data sets, typed as they are documented."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import launch
from app import decoded, errors, testing, training
from model import config
from model import errors as model_errors
from model.network import raum_net
from tests import trees


def call(*words: str) -> Any:
    done = CliRunner().invoke(launch.app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_documented_lines_run(here: Path) -> None:
    trees.cub200(here / "data" / "cub200")
    (here / "data" / "cub200" / "images" / trees.NAMES[0] / "bird_1.png").write_bytes(b"broken")
    line = ["train", "--dataset", "cub200", "--labeled-ratio", "0.1", "--occlusion-rate", "0.3"]
    figures = call(*line, "--steps", "3", "--attention", "cam")
    sizes = [figures[name] for name in ("labelled", "validated_on", "unlabelled")]
    assert sum(sizes) == 11  # one of twelve is broken
    assert np.abs(np.array(sizes) - [3, 3, 6]).sum() == 1
    assert figures["test"]["n"] == 6
    assert (figures["occlusion_rate"], figures["tau"], figures["labeled_ratio"]) == (0.3, 0.9, 0.1)
    assert 0 <= figures["validation"] <= 1
    ckpt = str(here / "runs" / "last" / "checkpoint.safetensors")
    told = call("evaluate", "--ckpt", ckpt, "--dataset", "cub200", "--json")
    assert told["accuracy"] == figures["test"]["accuracy"]
    hidden = call("evaluate", "--ckpt", ckpt, "--dataset", "cub200", "--occlusion-rate", "0.4", "--json")
    assert hidden["nll"] != told["nll"]


def test_a_class_subset_and_views_of_image_lists(here: Path) -> None:
    root = str(trees.lists(here / "CUB200", trees.NAMES))
    line = ["train", "--dataset", "cub200", "--root", root, "--labeled-ratio", "0.5", "--class-subset", "2"]
    figures = call(*line, "--steps", "2", "--method", "fixmatch", "--method-option", "tau=0.5", "--tta", "flip")
    assert (figures["labelled"], figures["test"]["n"], figures["tau"], figures["tta"]) == (4, 4, 0.5, "flip")
    ckpt = str(here / "runs" / "last" / "checkpoint.safetensors")
    told = call("evaluate", "--ckpt", ckpt, "--dataset", "cub200", "--root", root, "--tta", "ten-crop", "--json")
    assert (told["n"], told["class_subset"], told["tta"]) == (4, 2, "ten-crop")
    with pytest.raises(errors.BadRequest, match="knows 2 classes"):
        call("evaluate", "--ckpt", ckpt, "--dataset", "cub200", "--root", root, "--class-subset", "0")


def test_a_folder_is_tested_on_images_that_its_checkpoint_never_saw(here: Path) -> None:
    for label in range(2):
        for number in range(10):
            trees.picture(here / "pool" / str(label) / f"{number}.png", label, number)
    line = ["train", "--root", "pool", "--labeled-ratio", "0.5", "--steps", "2", "--attention", "cam", "--seed", "3"]
    figures = call(*line, "--validation-share", "0", "--recipe", "aam")
    assert "validation" not in figures
    assert (figures["steps"], figures["sgd"], figures["schedule"], figures["epochs"]) == (2, 0.8, "poly", 0)
    ckpt = str(here / "runs" / "last" / "checkpoint.safetensors")
    told = call("evaluate", "--ckpt", ckpt, "--root", "pool", "--json")
    assert told["seed"] == 3
    assert told["nll"] == pytest.approx(figures["test"]["nll"])


def test_what_cannot_be_is_refused_by_name(here: Path) -> None:
    trees.cub200(here / "data" / "cub200")
    line = ["train", "--dataset", "cub200", "--steps", "1"]
    for more, message in (
        (["--method", "flexmach"], "did you mean 'flexmatch'"),
        (["--method-option", "momentum=0.9"], "option of the method raum named 'momentum'"),
        (["--recipe", "aamm"], "did you mean 'aam'"),
        (["--tta", "crop"], "test-time augmentation named 'crop'"),
        (["--labeled-ratio", "1.5"], "not 1.5"),
    ):
        with pytest.raises(model_errors.ModelError, match=message):
            call(*line, *more)
    with pytest.raises(model_errors.BadInput, match=r"data/dogs does not hold the data.*train_list\.mat"):
        call("train", "--dataset", "dogs")


@pytest.mark.parametrize("figures", [None, [], {"seed": "x", "class_subset": None}, {"seed": True}])
def test_a_checkpoint_that_does_not_tell_is_taken_for_seed_0_and_all_classes(figures: object) -> None:
    assert training._as_trained({"figures": figures}) == {"seed": 0, "class_subset": 0}
    assert training._as_trained({}) == {"seed": 0, "class_subset": 0}


def test_nothing_readable_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no image")
    with pytest.raises(errors.BadRequest, match="none of the 1 images could be read"):
        decoded.read([tmp_path / "a.jpg"], np.array([0]), side=16, progress=lambda _done, _text: None)


def test_averaged_views_are_the_mean_of_each_ones_probabilities() -> None:
    net = raum_net.build(config.NetworkConfig("vmamba_nano", num_classes=3, image_size=32, attention="cam")).eval()
    images = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3), dtype=np.uint8)
    parts = [testing._drawn(net, each, 0) for each in (images, images[:, :, ::-1])]
    labels_N = np.array([0, 1, 2, 0])
    mean_NK = (parts[0] + parts[1]).mean(axis=1) / 2
    expected = float(-np.log(mean_NK[np.arange(4), labels_N]).mean())
    assert testing.score(net, images, labels_N, seed=0, tta_name="flip").figures["nll"] == pytest.approx(
        expected, rel=1e-4
    )
