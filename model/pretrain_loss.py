"""How far a student's features are from the teacher's: cosine distance after the teacher's are centred and scaled."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.together import Together

_MEMORY = 0.998  # of the running mean and spread, once they have seen enough


class Spread(nn.Module):
    """Running mean and standard deviation of each of D features; until it has seen any, it changes nothing."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("square", torch.ones(dim))
        self.register_buffer("seen", torch.zeros(()))

    def watch(self, rows_ND: Tensor, together: Together) -> None:
        """Take the rows of one batch, of all processes, into account."""
        moments_2D = together.mean(torch.stack([rows_ND.mean(0), rows_ND.square().mean(0)]))
        keep = torch.minimum(self.seen / (self.seen + 1), self.seen.new_tensor(_MEMORY))
        self.mean.lerp_(moments_2D[0], 1 - keep)
        self.square.lerp_(moments_2D[1], 1 - keep)
        self.seen += 1

    def forward(self, x: Tensor) -> Tensor:
        """(..., D), each feature with mean 0 and spread 1; one that never varies stays near 0."""
        deviation = (self.square - self.mean.square()).clamp(min=0).sqrt()
        return (x - self.mean) / (deviation + 0.05 * deviation.mean() + 1e-6)


class FeatureLoss(nn.Module):
    """Two linear maps from the student's S features to the teacher's D, and the teacher's running spreads.

    Scaled per feature, a rare feature of the teacher counts as much as a common one: for a cosine on raw features, a
    few that are always large would be all that matters.
    """

    def __init__(self, student_dim: int, teacher_dim: int) -> None:
        super().__init__()
        self.to_mean = nn.Linear(student_dim, teacher_dim)
        self.to_cell = nn.Linear(student_dim, teacher_dim)
        self.mean_spread, self.cell_spread = Spread(teacher_dim), Spread(teacher_dim)

    def watch(self, teacher_BHWD: Tensor, together: Together) -> None:
        """Learn the spread of a new batch of the teacher's."""
        self.mean_spread.watch(teacher_BHWD.mean((1, 2)), together)
        self.cell_spread.watch(teacher_BHWD.flatten(0, 2), together)

    def forward(self, student_BHWS: Tensor, teacher_BHWD: Tensor) -> tuple[Tensor, Tensor]:
        """Mean over the batch of 1 - cosine, of the pooled features and of the cells.

        Cells are compared on the coarser of both grids, each cell there the mean of what it covers: a teacher's map
        stretched over a finer grid says nothing new, and the comparison itself would take a fifth of a step.
        """
        wanted_BD = self.mean_spread(teacher_BHWD.mean((1, 2)))
        pooled = 1 - F.cosine_similarity(self.to_mean(student_BHWS.mean((1, 2))), wanted_BD, dim=-1)
        grid = min(student_BHWS.shape[1], teacher_BHWD.shape[1]), min(student_BHWS.shape[2], teacher_BHWD.shape[2])
        told_BHWD = self.to_cell(_coarse(student_BHWS, grid))
        cells = 1 - F.cosine_similarity(told_BHWD, self.cell_spread(_coarse(teacher_BHWD, grid)), dim=-1)
        return pooled.mean(), cells.mean()


class HintLoss(nn.Module):
    """Linear maps from the student's stages to inner maps of the teacher, compared per cell as the last maps are.

    Inner maps tell of edges, textures and parts, whatever the picture shows: what is learnt of them on few kinds of
    pictures holds on others, and it is learnt sooner (Romero et al., "FitNets", arXiv 1412.6550). Shapes are (B, H, W, C),
    the student's one for each stage, the teacher's in order. Each stage but the last is paired with a map of the grid
    nearest to its own; stages that share a grid divide the teacher's maps of it. `chosen` are the places of those maps.
    """

    def __init__(self, stages: Sequence[Sequence[int]], maps: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.chosen = _paired([shape[1] for shape in stages[:-1]], [shape[1] for shape in maps])
        pairs = list(zip(stages[:-1], (maps[at] for at in self.chosen), strict=True))
        self.to_map = nn.ModuleList(nn.Linear(stage[-1], wanted[-1]) for stage, wanted in pairs)
        self.spreads = nn.ModuleList(Spread(wanted[-1]) for _, wanted in pairs)

    def watch(self, teacher: Sequence[Tensor], together: Together) -> None:
        """Learn the spreads of a new batch of the chosen maps."""
        for spread, map_BHWD in zip(self.spreads, teacher, strict=True):
            spread.watch(map_BHWD.flatten(0, 2), together)

    def forward(self, stages: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Sum over the pairs of the mean over the cells of 1 - cosine; 0 where there is no pair."""
        total = torch.zeros((), device=stages[0].device)
        for linear, spread, own_BHWS, told_BHWD in zip(self.to_map, self.spreads, stages, teacher, strict=False):
            grid = min(own_BHWS.shape[1], told_BHWD.shape[1]), min(own_BHWS.shape[2], told_BHWD.shape[2])
            own_BHWD, wanted_BHWD = linear(_coarse(own_BHWS.float(), grid)), spread(_coarse(told_BHWD, grid))
            total = total + (1 - F.cosine_similarity(own_BHWD, wanted_BHWD, dim=-1)).mean()
        return total


def _paired(stages: Sequence[int], maps: Sequence[int]) -> list[int]:
    """For each stage's grid the place of a map: of the nearest grid, the n-th of k such stages at n / k of its maps."""
    nearest = [min(set(maps), key=lambda side: abs(math.log(side / stage))) for stage in stages]
    chosen = []
    for at, side in enumerate(nearest):
        places = [place for place, other in enumerate(maps) if other == side]
        n, k = nearest[: at + 1].count(side), nearest.count(side)
        chosen.append(places[math.ceil(n * len(places) / k) - 1])
    return chosen


def _coarse(map_BHWD: Tensor, grid: tuple[int, int]) -> Tensor:
    """The map on a grid that is no finer than its own."""
    if tuple(map_BHWD.shape[1:3]) == grid:
        return map_BHWD
    return F.adaptive_avg_pool2d(map_BHWD.permute(0, 3, 1, 2), grid).permute(0, 2, 3, 1)
