"""A frame around what a map shows."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

FINE = 56  # cells a side that a map is drawn out to before it is cut


def largest_region(maps_BHW: Tensor, *, above: float) -> Tensor:
    """boxes_B4 (left, top, right, bottom in shares of the input): the largest connected region where a map in 0..1,
    drawn out bilinearly, is above `above` of its maximum; 0, 0, 0, 0 for a map without one."""
    fine_BHW = F.interpolate(maps_BHW[:, None].float(), size=(FINE, FINE), mode="bilinear", align_corners=False)[:, 0]
    boxes = [_box(fine_HW, above) for fine_HW in fine_BHW.cpu().numpy()]
    return torch.tensor(boxes, dtype=torch.float32, device=maps_BHW.device).view(-1, 4)


def _box(fine_HW: np.ndarray, above: float) -> list[float]:
    regions_HW, count = ndimage.label(fine_HW > above * fine_HW.max())
    if count == 0:
        return [0.0] * 4
    largest = int(np.bincount(regions_HW.ravel())[1:].argmax())
    rows, columns = ndimage.find_objects(regions_HW)[largest]
    return [side / FINE for side in (columns.start, rows.start, columns.stop, rows.stop)]
