"""Where the figures of a training may go beside its own files: TensorBoard, Weights & Biases, MLflow, each an own package."""

from __future__ import annotations

import importlib
import importlib.util
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from app import errors

PROJECT = "raum"
HELD = 500  # figures that are sent together


class Writer(Protocol):
    """As TensorBoard's own: figures and pictures (H, W, 3) by name and step."""

    def add_scalar(self, name: str, value: float, step: int) -> None: ...

    def add_image(self, name: str, image: NDArray[np.uint8], step: int, *, dataformats: str) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class WandB:
    """A run of Weights & Biases: sent to its server, or with WANDB_MODE=offline kept in OUT/wandb for `wandb sync`."""

    failed = False

    def __init__(self, out: Path, told: dict[str, Any]) -> None:
        self.wandb = _package("wandb")
        out.mkdir(parents=True, exist_ok=True)
        try:
            self.run = self.wandb.init(project=os.environ.get("WANDB_PROJECT", PROJECT), dir=str(out), config=told)
        except self.wandb.errors.Error as problem:
            raise errors.BadRequest(
                f"Weights & Biases: {problem}; run `wandb login` first, or set WANDB_MODE=offline"
            ) from problem
        self.step, self.held = 0, dict[str, Any]()

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self._hold(name, value, step)

    def add_image(self, name: str, image: NDArray[np.uint8], step: int, *, dataformats: str) -> None:
        self._hold(name, self.wandb.Image(image), step)

    def _hold(self, name: str, value: Any, step: int) -> None:
        """A step is sent whole: what comes later for it would be dropped there."""
        if step != self.step:
            self.flush()
        self.step, self.held[name] = step, value

    def flush(self) -> None:
        if self.held:
            self.run.log(self.held, step=self.step)
        self.held = {}

    def close(self) -> None:
        self.flush()
        self.run.finish(exit_code=int(self.failed))


class MLflow:
    """A run of MLflow: at MLFLOW_TRACKING_URI, or without it in OUT/mlflow.db with its pictures in OUT/mlflow."""

    failed = False

    def __init__(self, out: Path, told: dict[str, Any]) -> None:
        mlflow = _package("mlflow")
        out.mkdir(parents=True, exist_ok=True)
        own = f"sqlite:///{out.absolute() / 'mlflow.db'}"
        self.client = mlflow.MlflowClient(tracking_uri=os.environ.get("MLFLOW_TRACKING_URI") or own)
        self.entities = importlib.import_module("mlflow.entities")
        place = None if os.environ.get("MLFLOW_TRACKING_URI") else (out.absolute() / "mlflow").as_uri()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = self.client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self.client.create_experiment(name, artifact_location=place)
        self.run_id = self.client.create_run(experiment, run_name=out.name).info.run_id
        parameters = [self.entities.Param(name, str(value)[:500]) for name, value in told.items()]
        self.client.log_batch(self.run_id, params=parameters[:100])
        self.held: list[Any] = []

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.held.append(self.entities.Metric(name, float(value), int(time.time() * 1000), step))
        if len(self.held) >= HELD:
            self.flush()

    def add_image(self, name: str, image: NDArray[np.uint8], step: int, *, dataformats: str) -> None:
        self.client.log_image(self.run_id, image, artifact_file=f"{name}/{step}.png")

    def flush(self) -> None:
        if self.held:
            self.client.log_batch(self.run_id, metrics=self.held)
        self.held = []

    def close(self) -> None:
        self.flush()
        self.client.set_terminated(self.run_id, "FAILED" if self.failed else "FINISHED")


def tensorboard(out: Path, told: dict[str, Any]) -> Writer:
    """TensorBoard's writer, to OUT/tensorboard."""
    _package("tensorboard")
    from torch.utils import tensorboard as writers

    made: Writer = writers.SummaryWriter(str(out / "tensorboard"))
    return made


LOGGERS: dict[str, Callable[[Path, dict[str, Any]], Writer]] = {
    "tensorboard": tensorboard,
    "wandb": WandB,
    "mlflow": MLflow,
}


def check(names: Sequence[str]) -> list[str]:
    """The loggers that are asked for, each once, "none" left out. Raises BadRequest for others and for what is not
    installed, before anything has begun."""
    wanted = [name for name in dict.fromkeys(names) if name != "none"]
    for name in wanted:
        if name not in LOGGERS:
            raise errors.BadRequest(f"--log is none, {', '.join(LOGGERS)}, not {name!r}")
        if importlib.util.find_spec(name) is None:
            raise _missing(name)
    return wanted


@contextmanager
def opened(names: Sequence[str], out: Path, told: dict[str, Any]) -> Iterator[list[Writer]]:
    """A writer for each name; `told` says what is trained. All are closed, however the training ends;
    those that tell failed runs apart hear of it."""
    writers: list[Writer] = []
    try:
        for name in check(names):
            writers.append(LOGGERS[name](out, told))
        yield writers
    except BaseException:
        for writer in writers:
            if isinstance(writer, WandB | MLflow):
                writer.failed = True
        raise
    finally:
        for writer in writers:
            writer.close()


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        raise _missing(name) from problem


def _missing(name: str) -> errors.BadRequest:
    return errors.BadRequest(f"{name} is not installed: pip install {name}, or run without --log {name}")
