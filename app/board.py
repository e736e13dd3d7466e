"""TensorBoard, where it is installed: figures of a run, and the maps of some images while the network learns."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import errors, explaining, painting

MOST = 8  # images of a row


def writer(folder: Path) -> Any:
    """TensorBoard's writer, or None where the package is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils import tensorboard

    return tensorboard.SummaryWriter(str(folder))


def run(folder: Path, net: Any, images: NDArray[np.uint8], *, every: int) -> Callable[[int, dict[str, float]], None]:
    """Logs the figures of each step of a training, and the maps of `images` every so many steps.

    Raises BadRequest where TensorBoard is not installed.
    """
    to = writer(folder)
    if to is None:
        raise errors.BadRequest("TensorBoard is not installed: pip install tensorboard, or run without --log")

    def log(step: int, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            to.add_scalar(f"train/{name}", value, step)
        if step % every == 0:
            log_overlays(to, net, images, step)
            to.flush()

    return log


def log_overlays(writer: Any, net: Any, images: NDArray[np.uint8], step: int) -> None:
    """One row of pictures for each kind of map, named overlays/KIND, of the first images (N, H, W, 3); the net's mode is
    left as it was, and no random number is drawn."""
    chosen, was_training = images[:MOST], net.training
    net.eval()
    try:
        found, _ = explaining.pictures(net, chosen)
    finally:
        net.train(was_training)
    for kind in dict.fromkeys(kind for each in found for kind in each):
        row = [
            np.asarray(
                painting.paint(
                    image,
                    each[kind].map_HW,
                    frame_only=kind == "zoom",
                    box=each[kind].box,
                    erased_HW=each[kind].erased_HW,
                )
            )
            for image, each in zip(chosen, found, strict=True)
            if kind in each
        ]
        writer.add_image(f"overlays/{kind}", np.concatenate(row, axis=1), step, dataformats="HWC")
