"""Loggers of a training: the real packages where they are installed, and a sentence where they are not."""

import importlib.util
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import launch
from app import errors, loggers

IMAGE = np.full((8, 8, 3), 7, np.uint8)


def write(name: str, out: Path) -> None:
    with loggers.opened([name], out, {"method": "raum", "steps": 2}) as (writer,):
        for step in (1, 2):
            writer.add_scalar("train/loss_labelled", 1.5 / step, step)
            writer.add_scalar("train/accepted", 0.25, step)
        writer.add_image("overlays/region", IMAGE, 2, dataformats="HWC")
        writer.flush()


def test_wandb_keeps_an_offline_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed, nothing is written for it")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    write("wandb", tmp_path)
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    (file,) = run.glob("*.wandb")
    until = time.monotonic() + 20  # its service may write the end of the file after the run's last word
    while b"train/accepted" not in (told := file.read_bytes()) and time.monotonic() < until:
        time.sleep(0.1)
    assert b"train/loss_labelled" in told
    assert b"train/accepted" in told
    assert len(list(run.rglob("*.png"))) == 1


@pytest.mark.filterwarnings("ignore")  # its own deprecations are not ours
def test_mlflow_reads_a_run_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed, nothing is written for it")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write("mlflow", tmp_path)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(loggers.PROJECT)
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params == {"method": "raum", "steps": "2"}
    assert [(e.step, e.value) for e in client.get_metric_history(run.info.run_id, "train/loss_labelled")] == [
        (1, 1.5), (2, 0.75)
    ]  # fmt: skip
    assert len(list((tmp_path / "mlflow").rglob("2.png"))) == 1


@pytest.mark.filterwarnings("ignore")
def test_mlflow_hears_that_a_training_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed, nothing is written for it")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ZeroDivisionError), loggers.opened(["mlflow"], tmp_path, {}):
        raise ZeroDivisionError
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name(loggers.PROJECT).experiment_id])
    assert run.info.status == "FAILED"


class Closing:
    """Says that it was closed."""

    closed = 0

    def __init__(self, out: Path, told: dict[str, Any]) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        Closing.closed += 1


def test_every_logger_is_closed_when_a_training_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(loggers.LOGGERS, "tensorboard", Closing)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    with pytest.raises(ZeroDivisionError), loggers.opened(["tensorboard", "none", "tensorboard"], tmp_path, {}):
        raise ZeroDivisionError
    assert Closing.closed == 1


@pytest.mark.parametrize("name", list(loggers.LOGGERS))
def test_what_is_not_installed_is_told_before_anything_begins(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    words = ["train", "--root", str(tmp_path / "nowhere"), "--log", name]
    with pytest.raises(errors.BadRequest, match=f"{name} is not installed: pip install {name}"):
        CliRunner().invoke(launch.app, words, catch_exceptions=False)


def test_an_unknown_logger_is_refused_by_name(tmp_path: Path) -> None:
    words = ["train", "--root", str(tmp_path), "--log", "none", "--log", "tensorbord"]
    with pytest.raises(errors.BadRequest, match="none, tensorboard, wandb, mlflow, not 'tensorbord'"):
        CliRunner().invoke(launch.app, words, catch_exceptions=False)
