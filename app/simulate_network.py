"""The network's part in a simulation: its side length, its embeddings as it starts, and its rounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from app import errors, simulate_arm, simulate_data
from model import config as configs

Floats = NDArray[np.floating]
Progress = Callable[[float, str], None]


def side(backbone: str) -> int:
    """Side of the squares that images are kept at for a backbone: its own, so that nothing is scaled twice."""
    return configs.for_backbone(backbone, num_classes=2).image_size


def embedder(backbone: str, progress: Progress) -> simulate_data.Embed:
    """Embeds by the network as it starts: pretrained where the backbone has weights, else random."""

    def embed(images_NHWC: NDArray[np.uint8]) -> Floats:
        from model import predict  # torch takes seconds to import, and embeddings kept from before need none of it
        from model.network import raum_net

        net = raum_net.build(configs.for_backbone(backbone, num_classes=2))
        return np.asarray(predict.embed(net, images_NHWC, progress=progress).embeddings_ND, dtype=np.float32)

    return embed


def retrainer(material: simulate_data.Material, plan: simulate_arm.Plan) -> simulate_arm.Retrain:
    """Trains the network from its start on the answers so far -> new embeddings of all images."""

    def retrain(answers: simulate_arm.Answers, seed: int) -> Floats:
        from app import pool
        from model import predict, train
        from model.network import raum_net

        if material.images_NHWC is None:
            raise errors.BadRequest("rounds need the images, not only their embeddings")
        wanted = configs.for_backbone(plan.backbone, num_classes=answers.classes)
        net = raum_net.build(wanted).to(pool.device())
        on_cpu = pool.device().type == "cpu"
        settings = configs.training(wanted, on_cpu=on_cpu, steps=plan.steps, seed=seed)
        train.train(
            net,
            labelled_images=material.images_NHWC[answers.labelled],
            labels_N=answers.labels,
            unlabelled_images=material.images_NHWC[answers.unlabelled],
            config=settings,
        )
        return np.asarray(predict.embed(net, material.images_NHWC).embeddings_ND, dtype=np.float32)

    return retrain


def one_thread() -> None:
    """As many processes as cores: torch takes one thread in each."""
    import torch

    torch.set_num_threads(1)
