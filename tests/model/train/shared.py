"""`python -m tests.model.train.shared FOLDER NAME ...`: short trainings as one of torchrun's processes; the first one writes
the weights that came of each to FOLDER/NAME.npy. Called, the same in one process."""

import dataclasses
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from model import config, together, together_norms, train
from model.network import raum_net

SHORT = config.TrainConfig(
    steps=3, batch_labelled=6, batch_unlabelled=5, ramp_start=0.0, ramp=0.0, tau=0.1, kappa=1.0, tau_n=0.5, kappa_n=0.5,
    occlusion_rate=0.3, sgd=0.9, lr=0.02, lr_head=0.02,
)  # fmt: skip
NORMS, REFIT = "norms", "refit"
REFITTED: dict[str, Any] = {"head_pool": 10, "refit": 0.5}


def run(
    method: str, joined: together.Together, device: str = "cpu", **changes: Any
) -> tuple[np.ndarray, train.TrainReport]:
    """A training on noise, with soft labels and evidence regions: its weights as one vector, and what it says of itself."""
    rng = np.random.default_rng(0)
    net = raum_net.build(config.NetworkConfig("vmamba_nano", num_classes=3, image_size=32, pretrained=False)).to(device)
    report = train.train(
        net,
        labelled_images=rng.integers(0, 256, (14, 36, 36, 3), dtype=np.uint8),
        labels_N=np.arange(14) % 3,
        unlabelled_images=rng.integers(0, 256, (20, 36, 36, 3), dtype=np.uint8),
        targets_NK=np.eye(3)[np.arange(14) % 3] * 0.7 + 0.1,
        regions_N4=np.where(np.arange(14)[:, None] % 2, np.nan, [[0.2, 0.2, 0.5, 0.5]]),
        config=dataclasses.replace(SHORT, method=method, **changes),
        together=joined,
    )
    return _joined(net.state_dict().values()), report


def norms(joined: together.Together) -> np.ndarray:
    """Slopes and statistics of a small net with batch norms after two batches of seven images."""
    draw = torch.Generator().manual_seed(0)
    images, wanted = torch.randn(7, 3, 8, 8, generator=draw) * 2 + 1, torch.randn(7, 3, 1, 1, generator=draw)
    net = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 3, 3), nn.BatchNorm2d(3))
    for parameter in net.parameters():
        nn.init.normal_(parameter, generator=draw)
    together_norms.share(net, joined)
    own = joined.part(7)
    for _ in range(2):
        ((net(images[own]) ** 2 * wanted[own]).sum() / 7).backward()
    joined.sum_gradients(list(net.parameters()), torch.zeros(1))
    return _joined([*(parameter.grad for parameter in net.parameters()), *net.buffers()])


def _joined(tensors: Any) -> np.ndarray:
    return torch.cat([tensor.detach().cpu().float().flatten() for tensor in tensors]).numpy()


if __name__ == "__main__":
    torch.set_num_threads(1)
    joined = together.join(os.environ, "cpu")
    for name in sys.argv[2:]:
        changes = REFITTED if name == REFIT else {}
        weights = norms(joined) if name == NORMS else run("raum" if changes else name, joined, **changes)[0]
        if joined.first:
            np.save(Path(sys.argv[1]) / f"{name}.npy", weights)
    joined.leave()
