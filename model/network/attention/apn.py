"""RA-CNN's boxes: the attention proposal network, cutting a box out, and laying what was seen in it back in its place.

A box (B, 3) is centre x, centre y and half side, in units in which its view runs from -1 to 1 both ways.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAST = 1 / 3  # side of a box as a share of its view's
PEAK_HALF = 0.5  # half side of the box around a peak
GRID = 7  # cells a side that a proposal reads, whatever the map has
# Steepness of a mask's edge: 0.05 for each of 448 pixels, as the author's layer takes its gradient. With the 10 of later
# ports the derivative is 0 beyond a pixel from the edge.
STEEP = 0.05 * 448 / 2
_PAPER_HIDDEN, _LIGHT_CHANNELS, _LIGHT_HIDDEN = 1024, 64, 128


class APN(nn.Module):
    """From a view's last map (B, H, W, D) to a box inside that view.

    paper: the largest values on a 7 x 7 grid, FC 1024, tanh, FC 3, from normal weights of deviation 0.001 (103 M weights
    with 2048 channels). Else ours: 64 channels first, their means, 128 hidden values (0.4 M and 64 times the channels).
    The map is normed first, so that one of any backbone comes at one scale; the paper's long vector is divided by the
    root of its length, as steps of equal size in so many weights would saturate the tanh at once.
    """

    def __init__(self, dim: int, *, paper: bool) -> None:
        super().__init__()
        self.paper = paper
        self.norm = nn.LayerNorm(dim, elementwise_affine=False)
        channels, hidden = (dim, _PAPER_HIDDEN) if paper else (_LIGHT_CHANNELS, _LIGHT_HIDDEN)
        self.squeeze = nn.Identity() if paper else nn.Linear(dim, channels)
        self.hidden = nn.Linear(channels * GRID**2, hidden)
        self.box = nn.Linear(hidden, 3)
        for layer in (self.hidden, self.box) if paper else (self.box,):
            nn.init.normal_(layer.weight, std=0.001)
            nn.init.zeros_(layer.bias)

    def forward(self, map_BHWD: Tensor) -> Tensor:
        squeezed_BCHW = self.squeeze(self.norm(map_BHWD)).permute(0, 3, 1, 2)
        pool = F.adaptive_max_pool2d if self.paper else F.adaptive_avg_pool2d
        read_BN = pool(squeezed_BCHW, GRID).flatten(1)
        raw_BH = self.hidden(read_BN * read_BN.shape[1] ** -0.5 if self.paper else read_BN)
        raw_B3 = self.box(torch.tanh(raw_BH) if self.paper else F.gelu(raw_BH)).float()
        half_B1 = LEAST + (1 - LEAST) * torch.sigmoid(raw_B3[:, 2:])
        return torch.cat([(1 - half_B1) * torch.tanh(raw_B3[:, :2] / 2), half_B1], dim=1)


def inside(outer_B3: Tensor, box_B3: Tensor) -> Tensor:
    """A box of the view `outer` in the coordinates of what that one was cut from."""
    return torch.cat([outer_B3[:, :2] + outer_B3[:, 2:] * box_B3[:, :2], outer_B3[:, 2:] * box_B3[:, 2:]], dim=1)


def cut(image_BCHW: Tensor, box_B3: Tensor) -> Tensor:
    """The box scaled up to the size of the image, bilinear; its gradient reaches the box through every pixel."""
    x, y, half = box_B3.to(image_BCHW).unbind(1)
    none = torch.zeros_like(half)
    theta_B23 = torch.stack([torch.stack([half, none, x], 1), torch.stack([none, half, y], 1)], 1)
    at_BHW2 = F.affine_grid(theta_B23, list(image_BCHW.shape), align_corners=False)
    return F.grid_sample(image_BCHW, at_BHW2, padding_mode="border", align_corners=False)


def cut_masked(image_BCHW: Tensor, box_B3: Tensor) -> Tensor:
    """The same picture, but its gradient reaches the box as in the paper, through the mask M that cuts it out: X M.

    Forward the edge is hard, backward it is the soft mask's. The author's layer takes the sizes of the picture's gradient
    alone, turns the sign of the half side's, and adds a steady pull to shrink; this is the plain derivative of X M.
    """
    held_B3 = box_B3.detach()
    cut_BCHW = cut(image_BCHW, held_B3)
    ys_H, xs_W = cells(cut_BCHW.shape[2:], cut_BCHW.device)
    mask_BHW = soft(box_B3, held_B3[:, 1:2] + held_B3[:, 2:] * ys_H, held_B3[:, :1] + held_B3[:, 2:] * xs_W)
    return cut_BCHW * (1 + mask_BHW - mask_BHW.detach())[:, None]


def soft(box_B3: Tensor, ys_BH: Tensor, xs_BW: Tensor) -> Tensor:
    """M (B, H, W) of the paper at these places: [h(x - left) - h(x - right)] [h(y - top) - h(y - bottom)], h a sigmoid."""

    def along(at: Tensor, centre_B1: Tensor) -> Tensor:
        away, half_B1 = at - centre_B1, box_B3[:, 2:]
        return torch.sigmoid(STEEP * (away + half_B1)) - torch.sigmoid(STEEP * (away - half_B1))

    return along(ys_BH, box_B3[:, 1:2])[:, :, None] * along(xs_BW, box_B3[:, :1])[:, None, :]


def cells(grid: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
    """Centres of the rows and of the columns of a grid over a view, (H,) and (W,)."""
    rows, columns = ((2 * torch.arange(count, device=device) + 1) / count - 1 for count in grid)
    return rows, columns


@torch.no_grad()
def peaks(maps: Sequence[Tensor], parents: Sequence[int]) -> Tensor:
    """(B, Z, 3): for each zoom the box around the peak of the map that it is cut from; several from one map take one
    peak after the other, each away from those before.

    The paper takes the mean over the channels, which a map after a layer norm has alike in every cell; here it is how
    far a cell lies from the mean cell.
    """
    found, left = [], {parent: _away(maps[parent]) for parent in set(parents)}
    for parent in parents:
        away_BHW = left[parent]
        ys_H, xs_W = cells(away_BHW.shape[1:], away_BHW.device)
        at_B = away_BHW.flatten(1).argmax(1)
        y_B, x_B = ys_H[at_B // len(xs_W)], xs_W[at_B % len(xs_W)]
        near_BHW = ((ys_H - y_B[:, None]).abs() < PEAK_HALF)[:, :, None] & ((xs_W - x_B[:, None]).abs() < PEAK_HALF)[
            :, None
        ]
        left[parent] = away_BHW.masked_fill(near_BHW, -1.0)
        most = 1 - PEAK_HALF
        found.append(torch.stack([x_B.clamp(-most, most), y_B.clamp(-most, most), torch.full_like(x_B, PEAK_HALF)], 1))
    return torch.stack(found, dim=1)


def _away(map_BHWD: Tensor) -> Tensor:
    return (map_BHWD - map_BHWD.mean((1, 2), keepdim=True)).square().sum(3)


def laid_back(map_BHWD: Tensor, box_B3: Tensor, grid: Sequence[int]) -> Tensor:
    """The map of a box on the cells (H, W) of the whole input: each of its cells is shared by those it lies between, and
    counts so much more there that the mean over the grid is the mean of the map. No gradient goes to the box."""
    held_B3 = box_B3.detach()
    ys_h, xs_w = cells(map_BHWD.shape[1:3], map_BHWD.device)
    rows_BHh = _shares(held_B3[:, 1:2] + held_B3[:, 2:] * ys_h, grid[0])
    columns_BWw = _shares(held_B3[:, :1] + held_B3[:, 2:] * xs_w, grid[1])
    more = grid[0] * grid[1] / (map_BHWD.shape[1] * map_BHWD.shape[2])
    return more * torch.einsum("bHh,bWw,bhwd->bHWd", rows_BHh, columns_BWw, map_BHWD)


def _shares(at_Bn: Tensor, count: int) -> Tensor:
    """(B, N, n): what each of N cells gets of what stands at these places; the shares of a place sum to 1."""
    centres_N, _ = cells((count, count), at_Bn.device)
    hat_BNn = (1 - (at_Bn[:, None] - centres_N[:, None]).abs() * count / 2).clamp(min=0)
    return hat_BNn / hat_BNn.sum(1, keepdim=True).clamp(min=1e-6)
