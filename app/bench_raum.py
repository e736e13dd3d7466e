"""Parts of `bench network`: what RAUM-Net adds to its bare backbone, and what bfloat16 changes on real images."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode

from model import config
from model.data import augment, datasets, pixels
from model.network import raum_net, vmamba

DRAWS = 30
CLASSES = 200
HOW = (
    "{steps} rounds in one process, the three in turn; ratios: median over the rounds; operations: two per multiply-add of "
    "matrix products and convolutions (FlopCounterMode)"
)

LIKENESS = (
    "bfloat16 gives {same:.1%} of {n} images of {images} the class that fp32 gives: the nearest of {classes} class means of "
    "fp32 features of other images, weights of seed 1"
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


def agreement(net: Any, folder: Path, *, size: int, count: int) -> dict[str, Any]:
    """Share of images whose nearest class mean is the same in bfloat16 as in fp32; the means are of the other half, in fp32.

    net: a bare VMamba. Half of `count` images of a folder of classes makes the means, the other half is asked.
    """
    data = datasets.load("folder", folder)
    chosen = np.random.default_rng(0).permutation(len(data.paths))[:count]
    images = np.stack([pixels.decode(data.paths[at], size=size) for at in chosen])
    wide_ND, narrow_ND = (_features(net, images, size, half) for half in (False, True))
    means, asked = np.arange(len(chosen)) < len(chosen) // 2, np.arange(len(chosen)) >= len(chosen) // 2
    labels = data.labels_N[chosen]
    known = np.unique(labels[means])
    means_KD = np.stack([wide_ND[means & (labels == each)].mean(0) for each in known])
    first, second = (_nearest(rows_ND[asked], means_KD) for rows_ND in (wide_ND, narrow_ND))
    return {"same": float((first == second).mean()), "n": int(asked.sum()), "classes": len(known)}


def _features(net: Any, images_NHWC: NDArray[np.uint8], size: int, half: bool) -> NDArray[np.float32]:
    rows = []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        for start in range(0, len(images_NHWC), 8):
            batch = torch.from_numpy(images_NHWC[start : start + 8])
            seen = augment.center(batch, size=size, mean=config.IMAGENET_MEAN, std=config.IMAGENET_STD)
            rows.append(net.features(seen).float().mean((1, 2)).numpy())
    return np.concatenate(rows)


def _nearest(rows_ND: NDArray[np.float32], means_KD: NDArray[np.float32]) -> NDArray[np.int64]:
    nearest: NDArray[np.int64] = np.square(rows_ND[:, None] - means_KD[None]).sum(2).argmin(1)
    return nearest


def _operations(run: Callable[[], Any]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


def _ms(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - began)
