"""What people's evidence regions teach: the attention shall lie within the box that somebody drew."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from model.data import augment


def outside(
    alpha_BHW: torch.Tensor, regions_C4: torch.Tensor, theta_C23: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """- log of the attention's share inside the regions of a batch's first C images, 0 of the others -> (B,), and of whom.

    A box says that the evidence is in it, not that all of it is evidence: where inside the attention lies is free.
    `regions_C4` as in train(), `theta_C23` the views' geometry; a view that leaves the box out is told nothing.
    """
    rest, grid = len(alpha_BHW) - len(regions_C4), (alpha_BHW.shape[1], alpha_BHW.shape[2])
    inside_CHW = augment.boxes(regions_C4, theta_C23, grid=grid).to(alpha_BHW.device)
    said_B = F.pad(inside_CHW.sum(dim=(1, 2)) > 0, (0, rest))
    share_C = (alpha_BHW[: len(regions_C4)].float() * inside_CHW).sum(dim=(1, 2)).clamp(1e-4, 1.0)
    return F.pad(-share_C.log(), (0, rest)).masked_fill(~said_B, 0.0), said_B
