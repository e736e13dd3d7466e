"""`bench train`: images a second of a round's training beside the same network's bare forward and backward pass."""

from __future__ import annotations

import dataclasses
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from app import jobs, overlay_data, pool, processes
from model import config, precision, train
from model.network import raum_net

SIZES = overlay_data.Sizes(labelled=64, unlabelled=256, test=0)
CLASSES = 8  # of the drawn beetles
BELIEVING = {"ramp_start": 0.0, "ramp": 0.0, "tau": 0.0, "kappa": 1.0}  # raum, as it is where it believes everything
HOW = (
    "images a second that are learned from, median of {repeats} in turn after one that is not counted, {steps} steps each, of "
    "decoded images; training: views, losses, optimisers, average, and of raum the pass that judges as many unlabelled images "
    "as labelled ones; bare: forward, cross-entropy and backward of as many views that are ready; {precision}, {device}, "
    "{threads} threads, torch {torch}"
)


def command(*, backbone: str, batch: int, steps: int, repeats: int, number: str, json_file: Path | None) -> None:
    """Measure, print the table and how it was measured, write the figures."""
    from rich import console, table

    processes.keep_memory()  # as rounds do
    told = measure(backbone=backbone, batch=batch, steps=steps, repeats=repeats, number=number)
    shown = table.Table("method", "images a step", "training", "bare", "ratio", "views' share of the time", box=None)
    for row in told["rows"]:
        cells = [f"{row[key]:.0f}" for key in ("images", "training", "bare")]
        shown.add_row(row["method"], *cells, f"{row['ratio']:.2f}", f"{row['views']:.1%}")
    console.Console().print(shown)
    print(HOW.format(**told))
    if json_file:
        json_file.write_text(json.dumps(told, indent=1), encoding="utf-8")


def measure(*, backbone: str, batch: int, steps: int, repeats: int, number: str) -> dict[str, Any]:
    """A row for `supervised` and one for `raum`, with the batch of a round here where `batch` is 0."""
    device = pool.device()
    number = precision.chosen(number, device)
    network = config.for_backbone(backbone, num_classes=CLASSES)
    with jobs.bar("train") as tell:
        images = overlay_data.from_demo(SIZES, side=network.image_size, progress=tell)
    rows = []
    for method, more in (("supervised", {}), ("raum", BELIEVING)):
        chosen = config.training(
            network, on_cpu=device.type == "cpu", steps=steps, method=method, precision=number, **more
        )
        chosen = dataclasses.replace(chosen, batch_labelled=batch or chosen.batch_labelled)
        turns = [_turn(network, chosen, images, device) for _ in range(repeats + 1)][1:]
        rows.append({"method": method, **{key: statistics.median(turn[key] for turn in turns) for key in turns[0]}})
    return {
        "rows": rows, "backbone": backbone, "steps": steps, "repeats": repeats,
        "precision": number, "threads": torch.get_num_threads(), "torch": torch.__version__,
        "device": pool.device_name(),
    }  # fmt: skip


def _turn(
    network: config.NetworkConfig, chosen: config.TrainConfig, images: overlay_data.Material, device: torch.device
) -> dict[str, float]:
    """Train, then pass as many images a step forward and backward."""
    net = raum_net.build(network).to(device)
    report = train.train(
        net,
        labelled_images=images.images_NHWC[images.labelled_N],
        labels_N=images.labels_N[images.labelled_N],
        unlabelled_images=images.images_NHWC[images.unlabelled_N],
        config=chosen,
    ).metrics
    count = round(report["images_per_s"] * report["seconds"] / report["steps"])
    bare = count * chosen.steps / _bare_seconds(net.train(), chosen, count, device)
    training = report["images_per_s"]
    return {
        "images": count, "training": training, "bare": bare, "ratio": training / bare, "views": report["data_share"]
    }  # fmt: skip


def _bare_seconds(net: Any, chosen: config.TrainConfig, count: int, device: torch.device) -> float:
    generator, side = torch.Generator().manual_seed(0), net.config.image_size
    views_BCHW = torch.randn(count, 3, side, side, generator=generator).to(device)
    labels_B = torch.randint(CLASSES, (count,), generator=generator).to(device)
    began = time.perf_counter()
    for _ in range(chosen.steps):
        net.zero_grad(set_to_none=True)
        with precision.computing(chosen.precision, device):
            logits_BK = net(views_BCHW).logits
        loss: Any = F.cross_entropy(logits_BK.float(), labels_B)
        loss.backward()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began
