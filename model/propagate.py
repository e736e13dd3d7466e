"""Evidence propagation: boxes that people drew in a few images of a class are looked for in the class's other images.

Cells of the backbone's last map inside the boxes are told from the other cells of the same images by a linear rule with a
variance for each channel (a diagonal discriminant: no covariance can be had from one image); in another image the window
of the boxes' own size wins in which the rule says most, a little for lying where the boxes lie.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model import errors

Floats = NDArray[np.floating]
SHRINK = 0.1  # of the channels' mean variance, added to each
FINE = 4  # steps of a window in a cell
PLACE, REACH = (
    0.5,
    0.2,
)  # what a window loses a REACH (share of the side) away from the boxes: PLACE / 2 deviations of the map


@dataclasses.dataclass(frozen=True)
class Look:
    """What the marked cells look like: `direction_D`, the rule's mean in the boxes less that around them (`step`), and the
    boxes' mean size (w, h) and centre (x, y) in shares of the image."""

    direction_D: NDArray[np.float32]
    step: float
    size: tuple[float, float]
    centre: tuple[float, float]


def learn(features_MDHW: Any, boxes_M4: Any) -> Look:
    """What M marked images of one class tell; boxes as x, y, w, h in shares. Raises BadInput for what is no such thing."""
    cells_MDHW, boxes = _features(features_MDHW), np.asarray(boxes_M4, np.float64)
    if not len(cells_MDHW) or boxes.shape != (len(cells_MDHW), 4) or not np.isfinite(boxes).all():
        raise errors.BadInput(
            f"boxes_M4 has shape {boxes.shape}; a finite box is needed for each of at least one image"
        )
    if (boxes[:, 2:] <= 0).any():
        raise errors.BadInput("boxes_M4 has an empty box: w and h must be above 0")
    inside_MHW = np.stack([_covered(box, cells_MDHW.shape[2:]) for box in boxes])
    inside_MHW = np.clip(inside_MHW, 1e-4, 1 - 1e-4)  # a box of the whole image, or outside of it, divides by nothing
    in_MD, out_MD = _means(cells_MDHW, inside_MHW), _means(cells_MDHW, 1 - inside_MHW)
    spread_D = np.zeros(cells_MDHW.shape[1])
    for means_MD, share_MHW in ((in_MD, inside_MHW), (out_MD, 1 - inside_MHW)):
        spread_D += (((cells_MDHW - means_MD[:, :, None, None]) ** 2) * share_MHW[:, None]).sum(axis=(0, 2, 3))
    spread_D /= inside_MHW.size
    step_D = (in_MD - out_MD).mean(axis=0)
    direction_D = step_D / (spread_D + SHRINK * spread_D.mean() + 1e-9)
    centre_2 = (boxes[:, :2] + boxes[:, 2:] / 2).mean(axis=0)
    width, height = np.exp(np.log(boxes[:, 2:]).mean(axis=0))
    return Look(
        direction_D.astype(np.float32),
        float(step_D @ direction_D),
        (min(1.0, float(width)), min(1.0, float(height))),
        (float(centre_2[0]), float(centre_2[1])),
    )


def find(look: Look, features_NDHW: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The likeliest box of each image and how sure it is -> (x, y, w, h in shares (N, 4), scores (N,) in 0..1).

    A score of 1: the box stands out of its own image as the marked ones do out of theirs; 0: not at all.
    """
    cells_NDHW = _features(features_NDHW)
    if cells_NDHW.shape[1] != len(look.direction_D):
        raise errors.BadInput(
            f"features of {cells_NDHW.shape[1]} channels; the marked ones have {len(look.direction_D)}"
        )
    boxes_N4, scores_N = np.empty((len(cells_NDHW), 4)), np.empty(len(cells_NDHW))
    for at, cells_DHW in enumerate(cells_NDHW):
        map_HW = np.tensordot(look.direction_D, cells_DHW, axes=1)
        boxes_N4[at], said = _window(map_HW, look)
        scores_N[at] = np.clip(said / look.step, 0.0, 1.0) if look.step > 0 else 0.0
    return boxes_N4, scores_N


def _window(map_HW: Floats, look: Look) -> tuple[tuple[float, float, float, float], float]:
    """The best window of the look's size, and the map's mean in it less that around it."""
    fine_HW = _finer(map_HW)
    rows, columns = fine_HW.shape
    high, wide = (max(1, min(n, round(s * n))) for n, s in zip((rows, columns), look.size[::-1], strict=True))
    sums = np.pad(fine_HW.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    inside = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    mean_in = inside / (high * wide)
    left, top = np.arange(inside.shape[1]) / columns, np.arange(inside.shape[0]) / rows
    w, h = wide / columns, high / rows
    away = (left[None] + w / 2 - look.centre[0]) ** 2 + (top[:, None] + h / 2 - look.centre[1]) ** 2
    told = mean_in / max(float(fine_HW.std()), 1e-9) - PLACE * away / (2 * REACH**2)
    row, column = divmod(int(told.argmax()), told.shape[1])
    rest = rows * columns - high * wide
    around = (fine_HW.sum() - inside[row, column]) / rest if rest else mean_in[row, column]
    return (float(left[column]), float(top[row]), w, h), float(mean_in[row, column] - around)


def _finer(map_HW: Floats) -> Floats:
    """The map at FINE times its grid, linear between the cells' centres."""
    for axis in (0, 1):
        count = map_HW.shape[axis]
        at = np.clip((np.arange(count * FINE) + 0.5) / FINE - 0.5, 0, count - 1)
        low = np.floor(at).astype(int)
        share = np.expand_dims(at - low, 1 - axis)
        high = np.minimum(low + 1, count - 1)
        map_HW = map_HW.take(low, axis) * (1 - share) + map_HW.take(high, axis) * share
    return map_HW


def _covered(box: Floats, grid: tuple[int, ...]) -> Floats:
    """How much of each cell of a grid (rows, columns) lies within a box."""
    parts = []
    for count, start, length in ((grid[0], box[1], box[3]), (grid[1], box[0], box[2])):
        edges = np.linspace(0, 1, count + 1)
        overlap = np.minimum(edges[1:], start + length) - np.maximum(edges[:-1], start)
        parts.append(np.clip(overlap, 0, None) * count)
    return np.outer(*parts)


def _means(cells_MDHW: Floats, share_MHW: Floats) -> Floats:
    """The mean cell of each image (M, D), each cell counting by its share."""
    summed_MD: Floats = np.einsum("mdhw,mhw->md", cells_MDHW, share_MHW) / share_MHW.sum(axis=(1, 2))[:, None]
    return summed_MD


def _features(features: Any) -> NDArray[np.float32]:
    array = np.asarray(features, np.float32)
    if array.ndim != 4:
        raise errors.BadInput(f"features have shape {array.shape}; (images, channels, rows, columns) is needed")
    if not np.isfinite(array).all():
        raise errors.NotFinite("the features are not finite")
    return array
