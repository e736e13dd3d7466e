"""How good a map is: boxes from it, energy in the true box, deletion and insertion, whether it follows the class.

Boxes as in clovaai/wsolevaluation (MaxBoxAccV2: every region above a threshold gives a tight box), energy as in Score-CAM,
deletion and insertion as in RISE, but by the map's own cells. A box is left, top, right, bottom in shares of the image.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Floats = NDArray[np.floating[Any]]
SIDE = 224  # pixels that maps and boxes are compared at
TAUS = np.arange(100) / 100  # thresholds, shares of the map's maximum
IOUS = (0.3, 0.5, 0.7)
BLUR = 5 / 224  # standard deviation of the blur that insertion starts from, a share of the side
STEPS = 20  # of deletion and insertion, as far as there are cells
_TOUCHING = np.ones((3, 3), int)  # corners join, as in OpenCV's contours


def resized(map_HW: Floats, side: int = SIDE, *, bicubic: bool = False) -> Floats:
    """A map drawn out to side x side."""
    how = Image.Resampling.BICUBIC if bicubic else Image.Resampling.BILINEAR
    grid = Image.fromarray(np.nan_to_num(map_HW).astype(np.float32))
    return np.asarray(grid.resize((side, side), how))


def box_ious(map_HW: Floats, box: Sequence[float]) -> NDArray[np.float64]:
    """(T,): for each of TAUS the largest IoU of the true box with the tight box of any region above the threshold.

    The map is drawn out bicubically and brought to 0..1; one that is the same everywhere has no region: 0.
    """
    smooth_HW = resized(map_HW, bicubic=True)
    low, high = float(smooth_HW.min()), float(smooth_HW.max())
    if high - low < 1e-9:
        return np.zeros(len(TAUS))
    levels_HW = (smooth_HW - low) / (high - low)
    true = np.clip(np.round(np.asarray(box) * SIDE), 0, SIDE - 1)
    found = np.zeros(len(TAUS))
    for at, tau in enumerate(TAUS):
        regions_HW, _ = ndimage.label(levels_HW > tau, structure=_TOUCHING)
        boxes = [
            (columns.start, rows.start, min(columns.stop, SIDE - 1), min(rows.stop, SIDE - 1))
            for rows, columns in ndimage.find_objects(regions_HW)
        ]
        found[at] = _ious(np.array(boxes, float), true).max() if boxes else 0.0
    return found


def _ious(boxes_J4: Floats, true: Floats) -> Floats:
    """IoU in pixels, both edges counted."""
    low_J2, high_J2 = np.maximum(boxes_J4[:, :2], true[:2]), np.minimum(boxes_J4[:, 2:], true[2:])
    shared_J = np.prod(np.maximum(high_J2 - low_J2 + 1, 0), axis=1)
    areas_J = np.prod(boxes_J4[:, 2:] - boxes_J4[:, :2] + 1, axis=1)
    return shared_J / (areas_J + np.prod(true[2:] - true[:2] + 1) - shared_J)


def max_box_acc(ious_NT: Floats) -> tuple[float, list[float], list[float]]:
    """MaxBoxAccV2, the best share of images at each of IOUS, and the threshold where it is reached (one for the whole
    set, another for each IoU, as the measure is defined)."""
    rates_DT = np.stack([(ious_NT >= least).mean(axis=0) for least in IOUS])
    best_D = rates_DT.max(axis=1)
    return float(best_D.mean()), best_D.tolist(), TAUS[rates_DT.argmax(axis=1)].tolist()


def energy_lift(map_HW: Floats, box: Sequence[float]) -> float:
    """The share of the map's positive part in the box, as a multiple of the box's share of the image; 1 is a map that
    is the same everywhere, and what an empty map gets."""
    energy_HW = np.maximum(resized(map_HW), 0)
    left, top, right, bottom = np.clip(np.round(np.asarray(box) * SIDE).astype(int), 0, SIDE)
    inside, total = float(energy_HW[top:bottom, left:right].sum()), float(energy_HW.sum())
    share = (right - left) * (bottom - top) / SIDE**2
    return inside / total / share if total > 0 and share > 0 else 1.0


def class_sensitivity(first_HW: Floats, second_HW: Floats) -> float:
    """1 - correlation of the maps of the first and the second class: 0 where the map does not follow the class; NaN
    where one is the same everywhere and the other is not."""
    a, b = np.asarray(first_HW, float).ravel(), np.asarray(second_HW, float).ravel()
    if np.array_equal(a, b):
        return 0.0
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return float("nan")
    return 1 - float(np.corrcoef(a, b)[0, 1])


def order(map_HW: Floats) -> NDArray[np.int64]:
    """Cells by the map, the largest first, ties by place."""
    return np.argsort(-np.nan_to_num(np.asarray(map_HW, float)).ravel(), kind="stable")


def curves(
    image_HWC: NDArray[np.uint8],
    order_L: NDArray[np.int64],
    grid: tuple[int, int],
    probabilities: Callable[[NDArray[np.uint8]], Floats],
    *,
    mean: Sequence[float],
) -> tuple[float, float]:
    """Areas under the probability of the image's own first class while the cells of the grid go in this order: deleted
    (they become the mean colour; less is better), and inserted into the blurred image (more is better).

    `probabilities` maps images (N, H, W, 3) to (N, K); `mean` is RGB in 0..1.
    """
    height, width, _ = image_HWC.shape
    rank_L = np.empty(len(order_L), np.int64)
    rank_L[order_L] = np.arange(len(order_L))
    rows, columns = np.arange(height) * grid[0] // height, np.arange(width) * grid[1] // width
    rank_HW = rank_L.reshape(grid)[np.ix_(rows, columns)]
    steps = min(STEPS, len(order_L))
    reached = [round(len(order_L) * step / steps) for step in range(steps + 1)]
    blurred = ndimage.gaussian_filter(image_HWC.astype(np.float32), sigma=(BLUR * height, BLUR * width, 0))
    filled = np.round(255 * np.asarray(mean)).astype(np.uint8)
    gone_SHW1 = np.stack([rank_HW < count for count in reached])[..., None]
    deleted = np.where(gone_SHW1, filled, image_HWC)
    inserted = np.where(gone_SHW1, image_HWC, np.clip(np.round(blurred), 0, 255).astype(np.uint8))
    shares = probabilities(np.concatenate([deleted, inserted]))
    own = int(shares[0].argmax())
    return area(shares[: steps + 1, own]), area(shares[steps + 1 :, own])


def area(curve_P: Floats) -> float:
    """(sum - first / 2 - last / 2) / steps, as RISE has it."""
    return float((curve_P.sum() - curve_P[0] / 2 - curve_P[-1] / 2) / (len(curve_P) - 1))
