"""`train` and `evaluate` as a person calls them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import launch
from app import errors, options, settings
from model import checkpoint, config
from model import errors as model_errors


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp("classes"), np.random.default_rng(0)
    for name, low in (("dark", 0), ("light", 150)):
        (root / name).mkdir()
        for at in range(6):
            pixels = rng.integers(low, low + 100, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{at}.png")
    return root


def test_train_takes_an_attention_and_its_test_is_evaluates(folder: Path, tmp_path: Path) -> None:
    told = CliRunner().invoke(
        launch.app,
        [
            "train",
            "--root",
            str(folder),
            "--labeled-ratio",
            "0.5",
            "--attention",
            "cam",
            "--steps",
            "2",
            "--out",
            str(tmp_path),
        ],
        catch_exceptions=False,
    )
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert told.exit_code == 0
    assert figures["attention"] == "cam"
    net = checkpoint.load(tmp_path / "checkpoint.safetensors").net
    assert net.config.attention == "cam"
    ckpt = str(tmp_path / "checkpoint.safetensors")
    told = CliRunner().invoke(launch.app, ["evaluate", "--ckpt", ckpt, "--root", str(folder), "--json"])
    assert json.loads(told.stdout)["accuracy"] == figures["test"]["accuracy"]


def test_options_that_an_attention_does_not_have_are_refused_by_name(folder: Path, tmp_path: Path) -> None:
    given = ["train", "--root", str(folder), "--steps", "1", "--out", str(tmp_path)]
    with pytest.raises(model_errors.UnknownName, match=r"option of the attention region.*'delta'"):
        CliRunner().invoke(launch.app, [*given, "--delta", "0.5"], catch_exceptions=False)
    with pytest.raises(model_errors.UnknownName, match=r"attention.*'regoin'.*did you mean 'region'"):
        CliRunner().invoke(launch.app, [*given, "--attention", "regoin"], catch_exceptions=False)


def test_named_values_are_plain() -> None:
    pairs = ["ratio=8", "whole=false", "form=seed", "delta=0.5"]
    assert options.named(pairs) == {"ratio": 8, "whole": False, "form": "seed", "delta": 0.5}
    with pytest.raises(errors.BadRequest, match="NAME=VALUE, not 'ratio'"):
        options.named(["ratio"])


def test_the_setting_names_an_attention(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('attention = "acol"\n')
    assert settings.load(tmp_path).attention == "acol"
    with pytest.raises(errors.SettingsError, match=f"one of {', '.join(config.ATTENTIONS)}, not 'acoll'"):
        settings.load(tmp_path, attention="acoll")


def test_the_setting_names_a_method(tmp_path: Path) -> None:
    assert settings.load(tmp_path, method="flexmatch").method == "flexmatch"
    with pytest.raises(errors.SettingsError, match=r"one of supervised, .*, raum, not 'flexmach'"):
        settings.load(tmp_path, method="flexmach")
