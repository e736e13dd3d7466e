"""What one training run may be given, checked."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from model import config as configs
from model import errors


def check(net: nn.Module, images: Any, labels_N: Any, unlabelled: Any) -> None:
    """Refuse arrays that cannot be trained on, by value."""
    if len(images) == 0 or len(images) != len(labels_N):
        raise errors.BadInput(f"{len(images)} labelled images for {len(labels_N)} labels; both must be equal and not 0")
    classes = net.config.num_classes
    if labels_N.min() < 0 or labels_N.max() >= classes:
        span = f"{labels_N.min()} to {labels_N.max()}"
        raise errors.BadInput(f"labels run from {span}; the network has {classes} classes")
    for name, array in (("labelled", images), ("unlabelled", unlabelled)):
        if len(array) and (array.dtype != np.uint8 or array.ndim != 4 or array.shape[-1] != 3):
            raise errors.BadInput(f"{name} images are {array.dtype} {array.shape}; uint8 (N, H, W, 3) is needed")


def check_shares(config: configs.TrainConfig, processes: int) -> None:
    """Refuse batches of which some process would get nothing, and pieces that are none; `config` is settled."""
    if config.accumulate < 1:
        raise errors.BadConfig(f"accumulate is {config.accumulate}; a batch has at least 1 piece")
    least = min(config.batch_labelled, configs.looked(config) or config.batch_labelled)
    if least < processes:
        raise errors.BadConfig(f"a batch of {least} images for {processes} processes; start at most {least}")


def soft(targets_NK: Any, labels_N: Any, classes: int) -> NDArray[np.float32] | None:
    """The soft labels, checked; None when every row is certain, for then the labels say it all."""
    if targets_NK is None:
        return None
    soft = np.asarray(targets_NK, dtype=np.float32)
    if soft.shape != (len(labels_N), classes) or not np.isfinite(soft).all() or (soft < 0).any():
        raise errors.BadInput(f"targets_NK of shape {soft.shape} are no probabilities; ({len(labels_N)}, {classes})")
    if not np.allclose(soft.sum(axis=1), 1.0, atol=1e-3):
        raise errors.BadInput(f"a row of targets_NK sums to {soft.sum(axis=1)[np.abs(soft.sum(axis=1) - 1).argmax()]}")
    if (soft[np.arange(len(soft)), labels_N] < soft.max(axis=1)).any():
        raise errors.BadInput("labels_N must be the largest of targets_NK in each row")
    return None if (soft.max(axis=1) == 1.0).all() else soft


def regions(regions_N4: Any, labels_N: Any) -> NDArray[np.float32] | None:
    """Evidence regions, checked; None where no image has one."""
    if regions_N4 is None:
        return None
    boxes_N4 = np.asarray(regions_N4, dtype=np.float32)
    if boxes_N4.shape != (len(labels_N), 4):
        raise errors.BadInput(f"regions_N4 has shape {boxes_N4.shape}; ({len(labels_N)}, 4) is needed")
    given_N = ~np.isnan(boxes_N4).any(axis=1)
    wrong_N = given_N & ~((boxes_N4 >= 0).all(axis=1) & (boxes_N4[:, 2:] > 0).all(axis=1))
    wrong_N |= given_N & (boxes_N4[:, :2] + boxes_N4[:, 2:] > 1 + 1e-3).any(axis=1)
    if wrong_N.any():
        raise errors.BadInput(f"{boxes_N4[wrong_N][0].tolist()} is no region x, y, w, h in shares of the image")
    return boxes_N4 if given_N.any() else None
