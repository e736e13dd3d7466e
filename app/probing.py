"""`bench probe`: what a backbone's frozen features are worth on a labelled folder, and how fast they come."""

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from app import errors, jobs, pool, processes
from model import config, predict, probe
from model import errors as model_errors
from model.data import datasets, pixels
from model.network import pretrained, raum_net

Progress = Callable[[float, str], None]
TEST_SHARE = 0.4  # where the folder's metadata.csv gives no split


def command(
    images: Path,
    *,
    backbone: str,
    weights: Path | None,
    random: bool,
    size: int,
    pooling: str,
    seed: int,
    threads: int,
    json_file: Path | None,
) -> None:
    """Linear probe of a backbone; prints the figures and how they were measured."""
    processes.keep_memory()
    if threads:
        torch.set_num_threads(threads)
    with jobs.bar("probe") as tell:
        figures = probe_(
            images,
            backbone=backbone,
            weights=weights,
            random=random,
            size=size,
            pooling=pooling,
            seed=seed,
            progress=tell,
        )
    print(sentence(figures))
    if json_file:
        json_file.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def probe_(
    images: Path,
    *,
    backbone: str,
    weights: Path | None,
    random: bool,
    seed: int,
    progress: Progress,
    size: int = 0,
    pooling: str = "",
) -> dict[str, Any]:
    """Figures of a linear probe on the folder's own split; `weights` is a file that pretrain wrote, `random`: none. size
    and pooling in place of the weights' own."""
    try:
        data = datasets.load("folder", images)
        train_N, test_N = datasets.split(data, rng=np.random.default_rng(seed), test_share=TEST_SHARE)
        net = _network(backbone, weights, random, size, pooling)
        pictures = _read(data.paths, net.config.image_size, progress)
        progress(0.5, f"embedding {len(pictures):,} images")
        predict.embed(net, pictures[:32])  # the first pass chooses kernels and takes memory
        began = time.perf_counter()
        found_ND = predict.embed(net, pictures).embeddings_ND
        speed = len(pictures) / (time.perf_counter() - began)
        progress(0.8, "fitting")
        rows = (found_ND[train_N], data.labels_N[train_N], found_ND[test_N], data.labels_N[test_N])
        result = probe.linear(*rows, rng=np.random.default_rng(seed))
    except model_errors.ModelError as problem:
        raise errors.BadRequest(str(problem)) from problem
    return {
        "images": str(images),
        "backbone": backbone,
        "weights": str(weights) if weights else _origin(net.config),
        **dataclasses.asdict(result),
        "train": len(train_N),
        "test": len(test_N),
        "split": "metadata.csv" if len(data.test_N) else f"{TEST_SHARE:.0%} of every class, seed {seed}",
        "image_size": net.config.image_size,
        "pooling": net.config.pooling,
        "dim": net.dim,
        "images_per_s": speed,
        "device": str(pool.device()),
        "threads": torch.get_num_threads(),
    }


def sentence(figures: dict[str, Any]) -> str:
    """The figures and how they were measured."""
    return (
        f"{figures['backbone']} ({figures['weights']}): accuracy {figures['accuracy']:.3f} on {figures['test']:,} test "
        f"images, {figures['images_per_s']:,.0f} images a second\n"
        f"linear probe: logistic regression on {figures['dim']} standardised frozen features, {figures['train']:,} "
        f"training images, C = {figures['C']:g} by {probe.FOLDS} folds of them ({figures['folds']:.3f}); split: "
        f"{figures['split']}; embedding decoded pictures at {figures['image_size']} px, pooling "
        f"{figures['pooling']}, on {figures['device']}, {figures['threads']} threads"
    )


def _network(backbone: str, weights: Path | None, random: bool, size: int, pooling: str) -> raum_net.RaumNet:
    if pooling and pooling not in config.POOLINGS:
        raise model_errors.UnknownName("pooling", pooling, config.POOLINGS)
    wanted = dataclasses.replace(config.for_backbone(backbone, num_classes=2), pretrained=not random)
    if weights is not None:
        known = pretrained.pixels(weights, backbone)
        wanted = dataclasses.replace(wanted, **known, weights=str(weights), pretrained=True)
    size, pooling = size or wanted.image_size, pooling or wanted.pooling
    return raum_net.build(dataclasses.replace(wanted, image_size=size, pooling=pooling)).to(pool.device())


def _origin(network: config.NetworkConfig) -> str:
    if network.backbone.startswith(config.HF_PREFIX):
        return "its own weights"
    path = pretrained.start(network)
    if path is None:
        return "random weights"
    return "bundled weights" if path == pretrained.bundled(network.backbone) else str(path)


def _read(paths: list[Path], side: int, progress: Progress) -> Any:
    """All pictures as squares; one that cannot be read ends the probe by name, for the figure would not be comparable."""
    images = np.empty((len(paths), side, side, 3), np.uint8)
    for at, path in enumerate(paths):
        images[at] = pixels.decode(path, size=side)
        if at % 50 == 0:
            progress(0.5 * at / len(paths), f"decoding {at:,} of {len(paths):,} images")
    return images
