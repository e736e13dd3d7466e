"""What RAUM-Net adds to its bare backbone, part of `bench network`: parameters, operations, time, and the posterior's time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from model import config
from model.network import raum_net, vmamba

DRAWS = 30
CLASSES = 200
HOW = (
    "{steps} rounds in one process, the three in turn; ratios: median over the rounds; operations: two per multiply-add of "
    "matrix products and convolutions (FlopCounterMode)"
)


def measure(*, backbone: str, size: int, batch: int, steps: int) -> dict[str, Any]:
    """RAUM-Net over the bare backbone with a linear head, one pass of each and one with DRAWS draws of the posterior."""
    bare = vmamba.build(backbone, num_classes=CLASSES).eval()
    wanted = config.NetworkConfig(backbone, num_classes=CLASSES, image_size=size, pretrained=False)
    raum = raum_net.build(wanted).eval()
    images = torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)

    def posterior() -> Any:
        return raum.posterior(raum(images).embedding, DRAWS, generator)

    runs: dict[str, Callable[[], Any]] = {
        "bare": lambda: bare(images), "raum": lambda: raum(images), "posterior": posterior,
    }  # fmt: skip
    with torch.inference_mode():
        operations = {name: _operations(run) for name, run in runs.items()}
        rounds = [{name: _ms(run) for name, run in runs.items()} for _ in range(steps + 1)][1:]
    parameters = {name: sum(p.numel() for p in net.parameters()) for name, net in (("bare", bare), ("raum", raum))}
    return {
        "parameters_m": (parameters["raum"] - parameters["bare"]) / 1e6,
        "gflops": (operations["raum"] - operations["bare"]) / 1e9 / batch,
        "posterior_gflops": (operations["posterior"] - operations["raum"]) / 1e9 / batch,
        "bare_gflops": operations["bare"] / 1e9 / batch,
        "bare_ms": statistics.median(each["bare"] for each in rounds),
        "time": statistics.median(each["raum"] / each["bare"] for each in rounds),
        "posterior_time": statistics.median(each["posterior"] / each["raum"] for each in rounds),
    }


def told(backbone: str, found: dict[str, Any]) -> str:
    """Two lines to print."""
    return (
        f"RAUM-Net over the bare {backbone} ({CLASSES} classes): {found['parameters_m']:+.3f} M parameters, "
        f"{found['gflops']:+.3f} GFLOPs of {found['bare_gflops']:.1f} without the scans, {found['time']:.3f} times the time\n"
        f"a posterior of {DRAWS} draws over one pass: {found['posterior_gflops']:+.3f} GFLOPs, "
        f"{found['posterior_time']:.3f} times the time"
    )


def _operations(run: Callable[[], Any]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


def _ms(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - began)
