"""Draws attention maps as small grey PNGs at the network's own grid; the page tints and scales them."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Grid = NDArray[np.floating]


def folder(workspace: Path, publication: int | str) -> Path:
    """Where the maps of one publication lie."""
    return workspace / "overlays" / str(publication)


def path(workspace: Path, publication: int | str, image_id: int, kind: str) -> Path:
    """One map's file; `kind` must be one of KINDS, so no text of a client ever becomes part of a path."""
    if kind not in KINDS:
        raise ValueError(f"there is no overlay kind {kind!r} (known: {', '.join(KINDS)})")
    return folder(workspace, publication) / f"{int(image_id)}-{kind}.png"


def evidence(features_DHW: Grid, pooling_HW: Grid, directions_KD: Grid, classes: Sequence[int]) -> list[Grid]:
    """Evidence for each class per cell: pooling weight times direction . features, which sums to the class's logit."""
    projected_JHW = np.tensordot(directions_KD[list(classes)], features_DHW.astype(np.float32), axes=(1, 0))
    return list(projected_JHW * pooling_HW.astype(np.float32))


def kinds_of(
    features_DHW: Grid, pooling_HW: Grid, directions_KD: Grid, top: Sequence[int], *, trained: bool
) -> dict[str, Grid]:
    """The maps of one image: evidence for its top class, the contrast with the runner-up, attention once it is trained.

    Evidence is centred over the cells, because adding the same to every cell says nothing about where; attention is
    the pooling weight above its floor.
    """
    maps = evidence(features_DHW, pooling_HW, directions_KD, top[:2])
    drawn = {"evidence": maps[0] - maps[0].mean()}
    if len(maps) > 1:
        difference = maps[0] - maps[1]
        drawn["contrast"] = difference - difference.mean()
    if trained:
        drawn["region"] = pooling_HW - pooling_HW.min()
    return drawn


def write(target: Path, grid_HW: Grid) -> None:
    """Save the positive part of a map, scaled to its maximum, as an 8-bit grey PNG."""
    positive = np.maximum(np.nan_to_num(grid_HW), 0.0)
    most = float(positive.max())
    grey = np.zeros(positive.shape, np.uint8) if most <= 0 else np.round(255 * positive / most).astype(np.uint8)
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_suffix(f".{os.getpid()}.tmp")
    Image.fromarray(grey, "L").save(beside, format="PNG")
    os.replace(beside, target)


KINDS = ("evidence", "contrast", "region")
