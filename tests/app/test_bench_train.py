"""`bench train` tells images a second of both, their ratio, and what the views took."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import launch
from app import bench_train, overlay_data


def test_both_methods_have_a_row_with_the_images_that_they_learn_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bench_train, "SIZES", overlay_data.Sizes(labelled=8, unlabelled=8, test=0))
    line = ["bench", "train", "--batch", "4", "--steps", "2", "--repeats", "1", "--json", str(tmp_path / "train.json")]
    done = CliRunner().invoke(launch.app, line, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "median of 1" in done.output
    rows = json.loads((tmp_path / "train.json").read_text())["rows"]
    assert [(row["method"], row["images"]) for row in rows] == [("supervised", 4), ("raum", 8)]  # as many believed
    for row in rows:
        assert row["ratio"] == pytest.approx(row["training"] / row["bare"])
        assert 0 < row["views"] < 1
