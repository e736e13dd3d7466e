"""`bench pretrain`: what pretraining on a pool's own images is worth, by a linear probe on labelled images before and after."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app import jobs, pool, processes, self_teaching, simulate_data
from model import config, predict, probe, self_taught_config
from model.data import demo, pixels
from model.network import raum_net

FEW = 10  # labels of a class in the probe with few


def command(
    images: Path | None, *, backbone: str, random: bool, objectives: list[str], recipe: self_taught_config.SelfTaughtConfig,
    count: int, threads: int, json_file: Path | None,
) -> None:  # fmt: skip
    """Measure, print, write."""
    import torch

    processes.keep_memory()
    if threads:
        torch.set_num_threads(threads)
    network = config.for_backbone(backbone, num_classes=2)
    if random:  # weights that know no size: the variant's own
        size = config.NATIVE_IMAGE_SIZES.get(backbone, network.image_size)
        network = dataclasses.replace(network, pretrained=False, image_size=size, pooling=config.MEAN)
    with jobs.bar("pretrain") as tell:
        material = _material(images, network.image_size, count, recipe.seed, tell)
        assert material.images_NHWC is not None
        rows = {"before": _probed(raum_net.build(network).to(pool.device()), material, recipe.seed)}
        pool_P = material.split(recipe.seed)[0]
        for name in objectives:
            net = raum_net.build(network).to(pool.device())
            chosen = dataclasses.replace(recipe, objective=name)
            told = self_teaching.teach(net, material.images_NHWC[pool_P], chosen, progress=tell)
            rows[name] = {**_probed(net, material, recipe.seed), **told}
    figures = {
        "images": material.name, "backbone": backbone, "start": "random" if random else "pretrained",
        "pool": len(pool_P), "recipe": dataclasses.asdict(recipe), "threads": torch.get_num_threads(), "found": rows,
    }  # fmt: skip
    print(_told(figures))
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def _material(images: Path | None, side: int, count: int, seed: int, tell: Any) -> simulate_data.Material:
    """Pictures as squares; of the demo pool as many as are wanted, each class as often."""
    if images is not None:
        files, names = simulate_data.image_folder(images)
        pictures = np.stack([pixels.decode(file, size=side) for file in files if tell(0.0, "decoding") is None])
        labels_N, split_N = (
            np.array([names.index(file.parent.name) for file in files]),
            simulate_data.split_of(images, files),
        )
        return simulate_data.Material(images.name, names, labels_N, split_N, pictures, np.zeros((len(files), 1)))
    labels_N, pictures = np.arange(count) % len(demo.CLASS_NAMES), np.empty((count, side, side, 3), np.uint8)
    for at in range(count):
        drawn = Image.fromarray(demo.draw((seed + 1) * 10_000_019 + at, int(labels_N[at])).image)
        pictures[at] = np.asarray(drawn.resize((side, side), Image.Resampling.BICUBIC))
        tell(at / count, "drawing demo images")
    return simulate_data.Material("demo pool", list(demo.CLASS_NAMES), labels_N, None, pictures, np.zeros((count, 1)))


def _probed(net: raum_net.RaumNet, material: simulate_data.Material, seed: int) -> dict[str, Any]:
    """Accuracy of the frozen features' mean on the test half: with all labels of the pool, and with ten of each class."""
    assert material.images_NHWC is not None
    pool_P, test_T = material.split(seed)
    pool_P, truth_N, rng = pool_P[material.labels_N[pool_P] >= 0], material.labels_N, np.random.default_rng(seed)
    found_ND = predict.embed(net, material.images_NHWC).embeddings_ND
    few = np.concatenate([rng.permutation(pool_P[truth_N[pool_P] == k])[:FEW] for k in np.unique(truth_N[pool_P])])
    return {
        name: probe.linear(found_ND[at], truth_N[at], found_ND[test_T], truth_N[test_T], rng=rng).accuracy
        for name, at in (("all labels", pool_P), (f"{FEW} of each class", few))
    }


def _told(figures: dict[str, Any]) -> str:
    lines = [
        f"{figures['images']}, {figures['backbone']} from {figures['start']} weights, {figures['pool']:,} images, "
        f"{figures['threads']} threads: accuracy of a linear probe with all labels and with {FEW} of each class"
    ]
    for name, row in figures["found"].items():
        spent = f"  {row['steps']:,} steps in {row['seconds']:.0f} s" if "steps" in row else ""
        lines.append(f"{name:<8} {row['all labels']:.3f}  {row[f'{FEW} of each class']:.3f}{spent}")
    return "\n".join(lines)
