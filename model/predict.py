"""One pass of the network over many images: embeddings, and the last maps where they are asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model import config, errors, half
from model.data import augment
from model.network import raum_net


@dataclasses.dataclass(frozen=True)
class Picture:
    """One of the attention's own overlays for one image, as attention/contract.py has it; class_index: the class that it
    speaks for, or None where it speaks for none."""

    map_HW: NDArray[np.float16]
    class_index: int | None
    box: tuple[float, ...] | None = None
    votes_SK: NDArray[np.float32] | None = None
    erased_HW: NDArray[np.bool_] | None = None


@dataclasses.dataclass(frozen=True)
class Embedded:
    """The features are half precision to save memory; they, the attention (pooling weights) and its own pictures of each
    image by kind only when asked for."""

    embeddings_ND: NDArray[np.float32]
    features_NDHW: NDArray[np.float16] | None = None
    attention_NHW: NDArray[np.float32] | None = None
    own_N: list[dict[str, Picture]] | None = None


def embed(
    net: raum_net.RaumNet,
    images: Sequence[Any] | NDArray[np.uint8],
    *,
    batch: int = 0,
    progress: Callable[[float, str], None] | None = None,
    keep_features: bool = False,
    rank: int = 0,
    whole: bool = False,
) -> Embedded:
    """Embeddings (RaumNet.embedding) of uint8 images (N, H, W, 3), which may be a memory map; each is scaled whole to the
    net's input, and what is kept beside the embedding is of the pass over the whole. For those maps alone `whole` saves the
    other pass: the embedding is then the whole's, too.

    The attention's own pictures speak for the class that is at `rank` by the network's own logits, 0 its likeliest.
    batch 0 chooses one. progress gets the share done and a message after each batch. The net's mode is left as it was.
    Raises NotFinite with the position of the first image whose embedding is NaN or infinite, and BadInput for other arrays.
    """
    if batch < 0:
        raise errors.BadInput(f"batch is {batch}; give at least 1, or 0 for a good one")
    batch, crops = batch or good_batch(net), config.WHOLE if whole else net.config.crops
    parts: list[list[NDArray[Any]]] = [[], [], []]
    own: list[dict[str, Picture]] = []
    was_training = net.training
    net.eval()
    try:
        with torch.inference_mode(), half.looking(net.backbone):
            for start in range(0, len(images), batch):
                embedding_BE, output = net.embedding(_input(net, images[start : start + batch], start), crops)
                _check_finite(embedding_BE, start)
                parts[0].append(embedding_BE.float().cpu().numpy())
                if keep_features:
                    parts[1].append(output.features.to(torch.float16).cpu().numpy())
                    parts[2].append(output.attention.float().cpu().numpy())
                    own += _own(net, output, rank)
                if progress:
                    done = min(start + batch, len(images))
                    progress(done / len(images), f"{done:,} of {len(images):,} images embedded")
    finally:
        net.train(was_training)
    if not parts[0]:
        return Embedded(np.empty((0, net.dim), np.float32))
    joined = [np.concatenate(part) if part else None for part in parts]
    return Embedded(*joined, own if keep_features else None)


def _own(net: raum_net.RaumNet, output: raum_net.Output, rank: int) -> list[dict[str, Picture]]:
    """The attention's own pictures of each image of a batch."""
    rank = min(rank, output.logits.shape[1] - 1)
    classes_B = output.logits.topk(rank + 1).indices[:, rank]
    found = {
        kind: (
            overlay.class_specific,
            *map(_plain, (overlay.maps_BHW, overlay.boxes_B4, overlay.votes_BSK, overlay.erased_BHW)),
        )
        for kind, overlay in net.overlays(output, classes_B).items()
    }
    return [
        {
            kind: Picture(
                maps[row].astype(np.float16),
                int(classes_B[row]) if for_class else None,
                None if boxes is None else tuple(float(edge) for edge in boxes[row]),
                None if votes is None else votes[row],
                None if erased is None else erased[row].astype(bool),
            )
            for kind, (for_class, maps, boxes, votes, erased) in found.items()
        }
        for row in range(len(classes_B))
    ]


def _plain(tensor: torch.Tensor | None) -> NDArray[np.float32] | None:
    return None if tensor is None else tensor.float().cpu().numpy()


def good_batch(net: raum_net.RaumNet) -> int:
    """As many images as keep the maps of one layer near a processor's caches (on a GPU: enough to fill it)."""
    if next(net.parameters()).device.type != "cpu":
        return 256
    return max(1, min(64, 1_000_000 // net.config.image_size**2))


def _input(net: raum_net.RaumNet, images: Any, start: int) -> torch.Tensor:
    pixels_BHWC = np.ascontiguousarray(images)
    if pixels_BHWC.dtype != np.uint8 or pixels_BHWC.ndim != 4 or pixels_BHWC.shape[-1] != 3:
        raise errors.BadInput(
            f"images from {start} are {pixels_BHWC.dtype} {pixels_BHWC.shape}; give uint8 (N, H, W, 3), RGB"
        )
    device = next(net.parameters()).device
    batch_BHWC = torch.from_numpy(pixels_BHWC).to(device)
    return augment.center(batch_BHWC, size=net.config.image_size, mean=net.config.mean, std=net.config.std)


def _check_finite(embedding_BD: torch.Tensor, start: int) -> None:
    finite_B = embedding_BD.isfinite().all(1)
    if not finite_B.all():
        raise errors.NotFinite(
            f"the embedding of image {start + int(finite_B.logical_not().nonzero()[0])} is not finite; "
            "the checkpoint is broken: roll back to the one before"
        )
