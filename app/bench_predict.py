"""`bench predict`: images a second from files to answers, beside the bare network on the same images already decoded."""

from __future__ import annotations

import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from app import errors, ingest_files, pool, processes
from model import classifier, config, predict
from model.data import ahead, pixels
from model.network import raum_net

CLASSES = 20  # of the head of an untrained network
HOW = (
    "images a second, median of {repeats} pairs in turn after one that is not counted, the files in the system's cache; "
    "bare: embeddings of the images that lie decoded in memory; predict: files to answers; decoding: files to pixels with "
    "nothing beside; {images} images at {side} px, {device}, {threads} threads of torch, {cores} cores, torch {torch}"
)


def command(
    *, images: Path, backbone: str, ckpt: Path | None, count: int, repeats: int, json_file: Path | None
) -> None:
    """Measure, print the table and how it was measured, write the figures."""
    from rich import console, table

    processes.keep_memory()  # as predict does
    told = measure(images, backbone=backbone, ckpt=ckpt, count=count, repeats=repeats)
    shown = table.Table("network", "bare", "predict", "ratio", "decoding", box=None)
    cells = [f"{told[key]:.1f}" for key in ("bare", "predict")]
    shown.add_row(told["network"], *cells, f"{told['ratio']:.2f}", f"{told['decoding']:.1f}")
    console.Console().print(shown)
    print(HOW.format(**told))
    if json_file:
        json_file.write_text(json.dumps(told, indent=1), encoding="utf-8")


def measure(images: Path, *, backbone: str, ckpt: Path | None, count: int, repeats: int) -> dict[str, Any]:
    """Both rates, the median of the pairs' ratios, and each pair."""
    paths = [file.path for file in ingest_files.walk(ingest_files.root(images)).files][:count]
    if not paths:
        raise errors.BadRequest(f"{images} holds no images: give a folder with some")
    model = classifier.load(ckpt) if ckpt else untrained(backbone)
    side, batch = model.net.config.image_size, predict.good_batch(model.net)
    parts, decoding_s = _timed(lambda: list(ahead.batches(paths, side=side, batch=batch)))
    readable = sum(len(part.images_NHWC) for part in parts)
    whole = _joined(parts, readable, side)
    pairs = []
    for turn in range(repeats + 1):
        _, bare_s = _timed(lambda: predict.embed(model.net, whole))
        _, all_s = _timed(lambda: sum(1 for _ in model.stream(paths)))
        if turn:
            pairs.append({"bare": readable / bare_s, "predict": len(paths) / all_s, "ratio": bare_s / all_s})
    return {
        "network": str(ckpt or backbone),
        **{key: statistics.median(pair[key] for pair in pairs) for key in ("bare", "predict", "ratio")},
        "decoding": len(paths) / decoding_s,
        "pairs": pairs,
        "images": len(paths),
        "side": side,
        "repeats": repeats,
        "device": str(next(model.net.parameters()).device),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count() or 1,
        "torch": torch.__version__,
    }


def untrained(backbone: str) -> classifier.Classifier:
    """The backbone with a fresh head: what it says means nothing, what it costs is the same."""
    net = raum_net.build(config.for_backbone(backbone, num_classes=CLASSES)).to(pool.device()).eval()
    return classifier.Classifier(net, [str(k) for k in range(CLASSES)], classifier.posterior(net, 1.0), {})


def _joined(parts: list[pixels.Batch], count: int, side: int) -> pixels.Pixels:
    import numpy as np

    whole_NHWC = np.empty((count, side, side, 3), np.uint8)
    at = 0
    for part in parts:
        whole_NHWC[at : at + len(part.images_NHWC)] = part.images_NHWC
        at += len(part.images_NHWC)
    return whole_NHWC


def _timed(run: Any) -> tuple[Any, float]:
    began = time.perf_counter()
    found = run()
    return found, time.perf_counter() - began
