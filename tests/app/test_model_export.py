"""`export-model`: the folder loads again, says what it is measured on, and holds ONNX only where that agrees with torch."""

import dataclasses
import importlib.util
import json
import re
from pathlib import Path

import pytest
import safetensors.torch
from typer.testing import CliRunner

import launch
from app import errors, model_export
from model import checkpoint, classifier, config, onnx_file
from model import errors as model_errors
from tests.app import test_learning
from tests.app.conftest import CLASSES, Workspace, leave_checkpoint

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def ckpt(workspace: Workspace) -> Path:
    test_learning.label(workspace, workspace.ids + workspace.held)
    return leave_checkpoint(workspace, workspace.class_ids)


def export(*words: object) -> str:
    told = CliRunner().invoke(launch.app, ["export-model", *map(str, words)], catch_exceptions=False)
    assert told.exit_code == 0
    return told.stdout


def test_the_folder_is_the_network_with_a_card(workspace: Workspace, ckpt: Path, tmp_path: Path) -> None:
    out = tmp_path / "leaves"
    assert "3 classes" in export("--ckpt", ckpt, "--out", out)
    assert sorted(each.name for each in out.iterdir()) == ["README.md", "model.json", "model.safetensors"]
    told = json.loads((out / "model.json").read_text(encoding="utf-8"))
    assert told["class_names"] == [*CLASSES]
    assert told["input"]["image_size"] == 32
    assert told["measured"]["n"] == 12
    assert told["posterior"]["temperature"] == 1.0  # six answers of the calibration half are too few to fit one
    tensors = safetensors.torch.load_file(out / "model.safetensors")
    assert tensors["head.linear.weight"].shape[0] == 3
    paths = sorted((tmp_path / "pictures").glob("*.png"))[:9]
    before = classifier.load(ckpt, names=[*CLASSES])(paths)
    assert classifier.load(out)(paths) == before
    card = (out / "README.md").read_text(encoding="utf-8")
    counts = {name: int(count) for name, count in re.findall(r"^\| (\w+) \| (\d+) \|$", card, re.M)}
    assert counts == {name: 16 for name in CLASSES}
    assert f"accuracy | {told['measured']['accuracy']:.3f}" in card
    assert card.startswith("---\nlicense: other\n")
    assert "32 x 32 pixels. The licence" in card
    assert str(tmp_path) not in card
    export("--ckpt", out, "--out", tmp_path / "again")
    assert classifier.load(tmp_path / "again")(paths) == before


def test_what_leaves_looks_at_pictures_as_often_as_the_checkpoint_did(
    workspace: Workspace, ckpt: Path, tmp_path: Path
) -> None:
    net, class_ids, meta = checkpoint.load(ckpt)
    net.config = dataclasses.replace(net.config, crops=config.BOTH)
    checkpoint.save(ckpt, net, class_ids=class_ids, meta=meta)
    export("--ckpt", ckpt, "--out", tmp_path / "leaves")
    assert classifier.load(tmp_path / "leaves").net.config == net.config
    card = (tmp_path / "leaves" / "README.md").read_text(encoding="utf-8")
    assert "32 x 32 pixels, whose middle it sees once more, larger. The licence" in card


def test_a_temperature_is_fitted_from_enough_answers(
    workspace: Workspace, ckpt: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr("app.model_facts.CALIBRATED_FROM", 10)  # the drawn holdout has six answers in each half
    export("--ckpt", ckpt, "--out", tmp_path / "leaves")
    told = json.loads((tmp_path / "leaves" / "model.json").read_text(encoding="utf-8"))
    fitted = told["posterior"]["temperature"]
    assert fitted != 1.0
    assert classifier.load(tmp_path / "leaves").meta["temperature"] == fitted
    assert f"divided by {fitted:.3f}" in (tmp_path / "leaves" / "README.md").read_text(encoding="utf-8")


@pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in onnx_file.NEEDED), reason="onnx, onnxruntime not installed"
)
def test_onnx_is_compared_and_without_its_packages_nothing_is_written(
    workspace: Workspace, ckpt: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(model_export, "CHECKED", 2)
    with monkeypatch.context() as without:
        without.setattr(onnx_file, "NEEDED", ("no_such_package_here",))
        with pytest.raises(model_errors.BackendUnavailable, match="pip install onnx"):
            export("--ckpt", ckpt, "--out", tmp_path / "leaves", "--onnx")
    assert not (tmp_path / "leaves").exists()
    told = export("--ckpt", ckpt, "--out", tmp_path / "leaves", "--onnx")
    assert re.search(r"differs from torch by at most \d\.\de-\d\d", told)
    export("--ckpt", ckpt, "--out", tmp_path / "leaves")
    assert not (tmp_path / "leaves" / "model.onnx").exists()  # that of another network must not stay behind


def test_another_folder_is_not_written_into(workspace: Workspace, ckpt: Path, tmp_path: Path) -> None:
    with pytest.raises(errors.BadRequest, match="holds something else"):
        export("--ckpt", ckpt, "--out", tmp_path / "pictures")


def test_the_three_lines_of_the_readme_run(workspace: Workspace, ckpt: Path, tmp_path: Path) -> None:
    export("--ckpt", ckpt, "--out", tmp_path / "my-model")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = next(block for block in re.findall(r"```\n(.*?)```", readme, re.S) if "classifier.load" in block)
    assert len(lines.strip().splitlines()) == 3
    picture = tmp_path / "pictures" / "0.png"
    said: list[list[tuple[str, float]]] = []
    here = lines.replace('"my-model"', repr(str(tmp_path / "my-model"))).replace('"a.jpg"', repr(str(picture)))
    exec(here, {"print": said.append})
    [(name, probability)] = said[0]
    assert name in CLASSES
    assert 0 < probability <= 1
