"""`bench scan`: milliseconds of the selective scan's backends, alone and inside whole networks, on this machine."""

from __future__ import annotations

import itertools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from app import pool
from model import config
from model.network import compiled_scan, cross_scan, selective_scan, triton_scan, vmamba

MAPS = {  # of vmamba_nano at 80 px and of vmamba_small at 224 px: batch, height, width, channels, rank of the steps
    "nano, stage 1": (64, 20, 20, 32, 2),
    "nano, stage 2": (64, 10, 10, 64, 4),
    "nano, stage 4": (64, 10, 10, 160, 10),
    "small, stage 1": (1, 56, 56, 192, 6),
    "small, stage 3": (1, 14, 14, 768, 24),
}
NETWORKS = {"vmamba_nano": 64, "vmamba_small": 1}  # with the images of a batch
HOW = (
    "milliseconds, median of {repeats} after one that is not counted, the backends in turn; forward without gradients, "
    "then forward and backward; {device}, {threads} threads, torch {torch}"
)


def command(*, repeats: int, json_file: Path | None) -> None:
    """Measure, print the table with the ratio to the first backend, write the figures."""
    from rich import console, table

    rows = measure(repeats=repeats)
    shown = table.Table("what", "backend", "forward", "ratio", "and backward", "ratio", box=None)
    for _, group in itertools.groupby(rows, key=lambda row: row["what"]):
        parts = list(group)
        for row in parts:
            ratios = [f"{parts[0][key] / row[key]:.2f}" for key in ("forward_ms", "both_ms")]
            cells = [f"{row['forward_ms']:.1f}", ratios[0], f"{row['both_ms']:.1f}", ratios[1]]
            shown.add_row(row["what"], row["backend"], *cells)
    console.Console().print(shown)
    print(
        HOW.format(repeats=repeats, device=pool.device_name(), threads=torch.get_num_threads(), torch=torch.__version__)
    )
    if json_file:
        json_file.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def measure(*, repeats: int, maps: dict[str, tuple[int, ...]] | None = None) -> list[dict[str, Any]]:
    """A row for each map and each network, with each backend that this device has."""
    device = pool.device()
    found: list[dict[str, Any]] = []
    for what, shape in (MAPS if maps is None else maps).items():
        runs = {backend: _map(shape, backend, device) for backend in backends(device)}
        found += _rows(f"{what} {'x'.join(map(str, shape[:4]))}", runs, repeats)
    for name, batch in NETWORKS.items() if maps is None else ():
        side = config.NATIVE_IMAGE_SIZES[name]
        images = torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device)
        net = vmamba.build(name).to(device).eval()
        runs = {backend: _network(net, images, backend) for backend in backends(device)}
        found += _rows(f"{name}, {batch} of {side} px", runs, repeats)
    return found


def backends(device: torch.device) -> list[str]:
    """Those that run here, the plainest first."""
    if device.type == "cpu":
        return ["loop", *(["compiled"] if compiled_scan.available() else [])]
    found = ["two_level", *(["triton"] if triton_scan.runs_on(device) else [])]
    return [*found, *(["mamba_ssm"] if device.type == "cuda" and selective_scan.has_cuda_extension() else [])]


def _rows(what: str, runs: dict[str, Callable[[bool], None]], repeats: int) -> list[dict[str, Any]]:
    times: dict[tuple[str, bool], list[float]] = {(name, both): [] for name in runs for both in (False, True)}
    for repeat in range(repeats + 1):
        for (name, both), taken in times.items():
            began = time.perf_counter()
            runs[name](both)
            if pool.device().type == "cuda":
                torch.cuda.synchronize()
            if repeat:
                taken.append(1000 * (time.perf_counter() - began))
    middle = {key: statistics.median(taken) for key, taken in times.items()}
    return [
        {"what": what, "backend": name, "forward_ms": middle[name, False], "both_ms": middle[name, True]}
        for name in runs
    ]


def _map(shape: tuple[int, ...], backend: str, device: torch.device) -> Callable[[bool], None]:
    batch, height, width, channels, rank = shape
    generator = torch.Generator().manual_seed(0)

    def draw(*sizes: int, scale: float = 1.0) -> Tensor:
        return (scale * torch.randn(*sizes, generator=generator)).to(device).requires_grad_()

    leaves = {
        "z_BHWD": draw(batch, height, width, channels),
        "x_proj_KED": draw(4, rank + 2, channels, scale=channels**-0.5),
        "dt_proj_KDR": draw(4, channels, rank, scale=rank**-0.5),
        "dt_bias_KD": draw(4, channels),
        "A_logs": draw(4 * channels, 1),
        "Ds": draw(4 * channels),
    }
    return _run(lambda: cross_scan.scan(**leaves, backend=backend), list(leaves.values()))


def _network(net: nn.Module, images: Tensor, backend: str) -> Callable[[bool], None]:
    def answer() -> Tensor:
        for module in net.modules():
            if isinstance(module, vmamba.SS2D):
                module.backend = backend
        logits: Tensor = net(images)
        return logits

    return _run(answer, list(net.parameters()))


def _run(answer: Callable[[], Tensor], leaves: list[Tensor]) -> Callable[[bool], None]:
    def run(both: bool) -> None:
        if both:
            torch.autograd.grad(answer().square().sum(), leaves, allow_unused=True)
        else:
            with torch.inference_mode():
                answer()

    return run
