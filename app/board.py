"""What loggers are told of a training: figures of each step, and the maps of some images while the network learns."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import explaining, loggers, painting

MOST = 8  # images of a row


def logs(
    writers: Sequence[loggers.Writer], net: Any, images: NDArray[np.uint8], *, every: int
) -> Callable[[int, dict[str, float]], None] | None:
    """Logs the figures of each step of a training, and the maps of `images` every so many steps; None without writers."""
    if not writers:
        return None

    def log(step: int, figures: dict[str, float]) -> None:
        tell(writers, "train", figures, step)
        if step % every == 0:
            for writer in writers:
                log_overlays(writer, net, images, step)
                writer.flush()

    return log


def tell(writers: Sequence[loggers.Writer], of: str, figures: dict[str, Any], step: int) -> None:
    """The figures that are numbers, as OF/NAME."""
    for name, value in figures.items():
        for writer in writers if isinstance(value, (int, float)) else ():
            writer.add_scalar(f"{of}/{name}", value, step)


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
