"""A network as an ONNX file that is held against torch before it may stay: embedding, and the posterior's mean and spread."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import os
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model import errors
from model.network import served, vmamba

TOLERANCE = 1e-4
OPSET = 18
INPUT = "images"
NEEDED = ("onnx", "onnxruntime")
PROBES = 8  # pictures of noise, where none are given


class Differs(errors.ModelError):
    """onnxruntime does not say what torch says."""


def require() -> None:
    """Raise BackendUnavailable with the command that installs what is missing."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise errors.BackendUnavailable(
            f"an ONNX file needs {' and '.join(missing)}: run `pip install onnx==1.23.2 onnxruntime==1.32.0`"
        )


def write(path: Path, module: served.Served, *, images_NHWC: NDArray[np.uint8] | None = None) -> dict[str, float]:
    """Write the module with any batch size and its own picture size; returns the largest difference of each output.

    It is compared in onnxruntime with torch on `images_NHWC`, or on noise. Raises Differs naming the output that is further
    off than TOLERANCE (of the largest value, where that is above one), and BadConfig where torch cannot write the graph;
    neither leaves a file.
    """
    require()
    side = module.net.config.image_size
    if images_NHWC is None or not len(images_NHWC):
        images_NHWC = np.random.default_rng(0).integers(0, 256, (PROBES, side, side, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.onnx")
    try:
        _export(beside, module.eval().cpu(), side)
        apart = compare(beside, module, images_NHWC)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return apart


def _export(path: Path, module: served.Served, side: int) -> None:
    """By the tracer: the newer exporter took ten times as long for an `hf:` model and never came to an end with ours."""
    two = torch.zeros(2, side, side, 3, dtype=torch.uint8)
    names = list(served.Outputs._fields)
    try:
        with _traceable(module), _quiet(), torch.no_grad():
            torch.onnx.export(
                module, (two,), str(path), dynamo=False, opset_version=OPSET, input_names=[INPUT], output_names=names,
                dynamic_axes={name: {0: "batch"} for name in (INPUT, *names)},
            )  # fmt: skip
    except Exception as problem:  # torch raises whatever it likes for what it cannot write
        first = next(iter(str(problem).strip().splitlines()), type(problem).__name__)
        attention, backbone = module.net.config.attention, module.net.config.backbone
        raise errors.BadConfig(
            f"torch {torch.__version__} cannot write {backbone} with the attention {attention} as ONNX: {first}"
        ) from problem


def compare(path: Path, module: served.Served, images_NHWC: NDArray[np.uint8]) -> dict[str, float]:
    """The largest difference of each output over the images, in batches of several sizes. Raises Differs."""
    session = session_of(path)
    apart, reach = dict.fromkeys(served.Outputs._fields, 0.0), dict.fromkeys(served.Outputs._fields, 1.0)
    at, count = 0, 1
    while at < len(images_NHWC):
        part_NHWC = np.ascontiguousarray(images_NHWC[at : at + count])
        with torch.inference_mode():
            wanted = module(torch.from_numpy(part_NHWC))
        for name, ours, theirs in zip(apart, session.run(None, {INPUT: part_NHWC}), wanted, strict=True):
            judge = theirs.numpy()
            apart[name] = float(np.nanmax([apart[name], np.abs(ours - judge).max()]))
            reach[name] = max(reach[name], float(np.abs(judge).max()))
            if not np.isfinite(ours).all():
                apart[name] = float("inf")
        at, count = at + count, min(16, 2 * count)
    for name, difference in apart.items():
        if difference > TOLERANCE * reach[name]:
            raise Differs(
                f"{name} differs by {difference:.1e} between onnxruntime and torch (at most {TOLERANCE * reach[name]:.0e} "
                "is let through): no ONNX file is left; use the safetensors file"
            )
    return apart


def session_of(path: Path) -> Any:
    """The file in onnxruntime, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others want the cores, too
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@contextlib.contextmanager
def _traceable(module: served.Served) -> Iterator[None]:
    """The scans in the form that can be written down, while it is written."""
    scans = [each for each in module.modules() if isinstance(each, vmamba.SS2D)]
    before = [each.backend for each in scans]
    for each in scans:
        each.backend = "traced"
    try:
        yield
    finally:
        for each, backend in zip(scans, before, strict=True):
            each.backend = backend


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The tracer remarks on every number that it takes for a constant: picture sizes are constants here."""
    level = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger("torch.onnx").setLevel(level)
