"""The network's part in a simulation: its side length, its embeddings as it starts, and its rounds."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import errors, simulate_arm, simulate_data
from model import config as configs

Floats = NDArray[np.floating]
Progress = Callable[[float, str], None]


def start(
    backbone: str, *, random_weights: bool = False, crops: int = configs.BOTH, classes: int = 2
) -> configs.NetworkConfig:
    """The network as a simulation starts it: pretrained where the backbone has weights, unless they are to be random.

    Its image_size is the side of the squares that images are kept at, so that nothing is scaled twice."""
    if random_weights and backbone.startswith(configs.HF_PREFIX):
        raise errors.BadRequest(f"random weights are for our own variants; {backbone} comes with its own")
    network = configs.for_backbone(backbone, num_classes=classes)
    if crops not in configs.CROPS:
        raise errors.BadRequest(f"--crops is one of {', '.join(map(str, configs.CROPS))}, not {crops}")
    return dataclasses.replace(network, pretrained=network.pretrained and not random_weights, crops=crops)


def weights(network: configs.NetworkConfig) -> str:
    """What the network starts from, in words that tell other weights and crops apart: embeddings are kept under them."""
    return _weights(network) + (f", {network.crops} crops" if network.crops > 1 else "")


def _weights(network: configs.NetworkConfig) -> str:
    from model.network import pretrained

    if not network.backbone.startswith(configs.HF_PREFIX):
        mark = pretrained.mark(network)
        return f"pretrained weights {mark}" if mark else f"random weights of seed {network.seed}"
    folder = Path(network.backbone.removeprefix(configs.HF_PREFIX)).expanduser()
    files = [(file.name, file.stat()) for file in sorted(folder.glob("*")) if file.is_file()] if folder.is_dir() else []
    told = json.dumps([[name, stat.st_size, stat.st_mtime_ns] for name, stat in files])
    return f"its own weights {hashlib.sha256(told.encode()).hexdigest()[:8]}" if files else "its own weights"


def embedder(network: configs.NetworkConfig, progress: Progress) -> simulate_data.Embed:
    """Embeds by the network as it starts."""

    def embed(images_NHWC: NDArray[np.uint8]) -> Floats:
        from model import predict  # torch takes seconds to import, and embeddings kept from before need none of it
        from model.network import raum_net

        net = raum_net.build(network)
        return np.asarray(predict.embed(net, images_NHWC, progress=progress).embeddings_ND, dtype=np.float32)

    return embed


def retrainer(material: simulate_data.Material, plan: simulate_arm.Plan) -> simulate_arm.Retrain:
    """Trains the network on the answers so far -> new embeddings of all images; from its start, or on from the round before."""
    before: list[Any] = []

    def retrain(answers: simulate_arm.Answers, seed: int) -> Floats:
        from app import pool
        from model import predict, restart, train
        from model.network import raum_net

        if material.images_NHWC is None:
            raise errors.BadRequest("rounds need the images, not only their embeddings")
        wanted = start(plan.backbone, random_weights=plan.random_weights, crops=plan.crops, classes=answers.classes)
        net = raum_net.build(wanted).to(pool.device())
        if before and plan.round_start == configs.LAST:
            restart.go_on(net, before.pop(), range(answers.classes))
        on_cpu = pool.device().type == "cpu"
        settings = configs.training(wanted, on_cpu=on_cpu, steps=plan.steps, seed=seed)
        train.train(
            net,
            labelled_images=material.images_NHWC[answers.labelled],
            labels_N=answers.labels,
            unlabelled_images=material.images_NHWC[answers.unlabelled],
            config=settings,
        )
        before[:] = [net]
        return np.asarray(predict.embed(net, material.images_NHWC).embeddings_ND, dtype=np.float32)

    return retrain


def one_thread() -> None:
    """As many processes as cores: torch takes one thread in each."""
    import torch

    torch.set_num_threads(1)
