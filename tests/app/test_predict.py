"""`predict` as a person calls it: a row for every image of a folder, by a checkpoint or by a workspace's published model."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import launch
from app import bench_predict, errors, named_classes, pool_files, predictions, published_model
from model import classifier
from model.data import sources
from tests import camera
from tests.app import test_learning
from tests.app.conftest import CLASSES, Workspace, leave_checkpoint


@pytest.fixture
def ckpt(workspace: Workspace) -> Path:
    return leave_checkpoint(workspace, workspace.class_ids[::-1])


def predict(*words: object) -> str:
    told = CliRunner().invoke(launch.app, ["predict", *map(str, words)], catch_exceptions=False)
    assert told.exit_code == 0
    return told.stdout


def test_every_image_gets_its_row_and_a_broken_one_its_reason(workspace: Workspace, ckpt: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir()
    (folder / "0.png").rename(folder / "deep" / "=0.png")
    (folder / "1.png").write_bytes(b"no picture")
    out = tmp_path / "out" / "found.csv"
    assert predict(folder, "--ckpt", ckpt, "--top", 3, "--out", out) == ""
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    assert [row["path"] for row in rows] == sorted(row["path"] for row in rows)
    found = {row["path"]: row for row in rows}
    assert len(found) == 60
    assert found["1.png"]["class"] == found["1.png"]["probability_3"] == found["1.png"]["entropy"] == ""
    assert "UnidentifiedImageError" in found["1.png"]["problem"]
    answer = classifier.load(ckpt, names=[*CLASSES[::-1]])([folder / "deep" / "=0.png"])[0]
    row = found["deep/=0.png"]
    assert row["class"] == answer.name
    for column, value in zip(
        ("probability", "runner_up_probability", "probability_3"), answer.probabilities.values(), strict=True
    ):
        assert float(row[column]) == pytest.approx(value, abs=1e-5)
    assert float(row["entropy"]) == pytest.approx(answer.entropy, abs=1e-5)
    assert float(row["epistemic"]) == pytest.approx(answer.epistemic, abs=1e-5)
    assert not [each for each in out.parent.iterdir() if each != out]


def test_json_lines_hold_the_same(workspace: Workspace, ckpt: Path, tmp_path: Path) -> None:
    rows = [
        json.loads(line) for line in predict(tmp_path / "pictures", "--ckpt", ckpt, "--format", "jsonl").splitlines()
    ]
    table = list(csv.DictReader(predict(tmp_path / "pictures", "--ckpt", ckpt).splitlines()))
    assert [row["class"] for row in rows] == [row["class"] for row in table]
    assert all(row["top"][0] == {"class": row["class"], "probability": row["probability"]} for row in rows)
    assert {len(row["top"]) for row in rows} == {2}


def test_a_workspace_answers_with_the_model_that_its_page_shows(workspace: Workspace) -> None:
    test_learning.label(workspace, workspace.ids[:15] + workspace.held)
    opened = test_learning.held(workspace)
    pool_files.save(opened)
    published = test_learning.refresh(workspace, opened).publication
    model, told = published_model.load(workspace.db, workspace.settings, now=5.0)
    assert "not calibrated" in told
    shown = predictions.load(workspace.settings.workspace, published)
    paths = [workspace.settings.workspace / "pictures" / f"{at}.png" for at in range(60)]
    answers = model(paths)
    ids = {name: class_id for name, class_id in zip(CLASSES, workspace.class_ids, strict=True)}
    same = [ids[answer.name] == top for answer, top in zip(answers, shown.top_class_N, strict=True)]
    assert np.mean(same) > 0.9
    apart = [abs(answer.probability - sure) for answer, sure in zip(answers, shown.confidence_N, strict=True)]
    assert np.median(apart) < 0.05
    assert all(0 <= answer.epistemic <= answer.entropy + 0.05 <= math.log(3) + 0.06 for answer in answers)


def test_what_cannot_be_is_said(workspace: Workspace, ckpt: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    for words, sentence in (
        ((folder,), "name a checkpoint with --ckpt FILE, or a workspace"),
        ((folder, "--ckpt", ckpt, "--format", "xml"), "no format 'xml'"),
        ((folder, "--ckpt", ckpt, "--top", "1"), "--top is 1"),
        ((ckpt.parent, "--ckpt", ckpt), "holds no images"),
        ((folder, "--workspace", tmp_path / "nowhere"), "there is no workspace"),
        ((folder, "--workspace", tmp_path), "nothing is published"),
    ):
        with pytest.raises(errors.BadRequest, match=sentence):
            predict(*words)
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(errors.BadRequest, match="the workspace has no class 99"):
        named_classes.in_database(workspace.db, [99])


def test_bench_counts_the_same_images_both_ways(workspace: Workspace, ckpt: Path, tmp_path: Path) -> None:
    told = bench_predict.measure(tmp_path / "pictures", backbone="", ckpt=ckpt, count=20, repeats=1)
    assert told["images"] == 20
    assert told["ratio"] == pytest.approx(told["predict"] / told["bare"])
    assert min(told["bare"], told["predict"], told["decoding"]) > 0


def test_each_box_of_a_picture_gets_its_row(workspace: Workspace, ckpt: Path, tmp_path: Path) -> None:
    folder = camera.season(tmp_path / "photos")
    told = json.loads(camera.detected(tmp_path / "d.json").read_text(encoding="utf-8"))
    told["images"][0]["detections"].append(camera.detection([0.9, 0.1, 0.5, 0.2]))
    (tmp_path / "d.json").write_text(json.dumps(told), encoding="utf-8")
    rows = list(csv.DictReader(predict(folder, "--ckpt", ckpt, "--boxes", tmp_path / "d.json").splitlines()))
    found = {(row["path"], row["box_x"], row["box_y"], row["box_w"], row["box_h"]): row for row in rows}
    assert len(found) == camera.ANIMALS + 1
    image = sources.Source(str(folder / "cam b/IMG_0001.JPG"), (150, 20, 40, 120))
    (answer,) = classifier.load(ckpt, names=[*CLASSES[::-1]])([image])
    row = found["cam b/IMG_0001.JPG", "150", "20", "40", "120"]
    assert (row["class"], float(row["probability"])) == (answer.name, pytest.approx(answer.probability, abs=1e-5))
    (refused,) = (row for row in rows if row["problem"])
    assert refused["path"] == "cam a/IMG_0001.JPG#box=4"
    assert "reaches outside the picture" in refused["problem"]
    lines = predict(folder, "--ckpt", ckpt, "--boxes", tmp_path / "d.json", "--format", "jsonl").splitlines()
    assert [180, 120, 90, 60] in [json.loads(line)["box_xywh"] for line in lines]
