"""VMamba (the v05_noz family): the structure, names and shapes of the released checkpoints, channel-last inside.

Source: VMamba, arXiv 2401.10166, and its public configuration files. `vmamba_nano` is ours, for CPUs and few labels from
scratch: its last two stages keep the grid of the second (10 x 10 cells at 80 px instead of 3 x 3), so that small
differences and readable maps survive, and its norms see a whole map at once (MapNorm).
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model import errors, noise
from model.network import cross_scan, stages


@dataclasses.dataclass(frozen=True)
class Variant:
    """dims and depths per stage; ssm_ratio: inner channels over dims; drop_path: rate of the last block;
    strides: of the three downsamplings between stages; map_norm: MapNorm instead of a norm per cell (neither changes
    any name or shape of the weights)."""

    dims: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    ssm_ratio: float
    drop_path: float
    strides: tuple[int, int, int] = (2, 2, 2)
    map_norm: bool = False


class Shape(NamedTuple):
    """What the weights alone can tell of a variant."""

    dims: tuple[int, ...]
    depths: tuple[int, ...]
    ssm_ratio: float


def shape_of(variant: Variant) -> Shape:
    """The part of a variant that its weights show; strides and drop path leave no trace in them."""
    return Shape(variant.dims, variant.depths, variant.ssm_ratio)


VARIANTS = {
    "vmamba_nano": Variant((32, 64, 96, 160), (1, 1, 2, 1), 1.0, 0.0, (2, 1, 1), map_norm=True),
    "vmamba_tiny": Variant((96, 192, 384, 768), (2, 2, 8, 2), 1.0, 0.2),
    "vmamba_tiny_s2l5": Variant((96, 192, 384, 768), (2, 2, 5, 2), 2.0, 0.2),
    "vmamba_small": Variant((96, 192, 384, 768), (2, 2, 15, 2), 2.0, 0.3),
    "vmamba_small_s1l20": Variant((96, 192, 384, 768), (2, 2, 20, 2), 1.0, 0.3),
    "vmamba_base": Variant((128, 256, 512, 1024), (2, 2, 15, 2), 2.0, 0.6),
    "vmamba_base_s1l20": Variant((128, 256, 512, 1024), (2, 2, 20, 2), 1.0, 0.5),
}
STATES = 1
MLP_RATIO = 4


def build(name: str, num_classes: int = 1000, seed: int = 0) -> VMamba:
    """A variant by name with fresh weights from this seed; num_classes 0: without the linear head."""
    if name not in VARIANTS:
        raise errors.UnknownName("VMamba variant", name, VARIANTS)
    return from_variant(VARIANTS[name], num_classes=num_classes, seed=seed)


def from_variant(variant: Variant, *, num_classes: int, seed: int) -> VMamba:
    """A network with fresh weights; the global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VMamba(variant, num_classes)


class MapNorm(nn.Module):
    """Mean 0 and spread 1 over all cells and channels of one map (B, H, W, C) together, then a gain per channel.

    A norm per cell, as the released models have it, lifts an empty background to the strength of the mark that tells
    the classes apart; measured on the demo pool from scratch, 270 labels then stay at chance. Names and shapes are the
    same as LayerNorm's.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type == "cpu":  # the same in one pass there
            return F.group_norm(x.permute(0, 3, 1, 2), 1, self.weight, self.bias, 1e-5).permute(0, 2, 3, 1)
        cells = [int(side) for side in x.shape[1:]]  # plain numbers also where the network is traced
        return torch.addcmul(self.bias, F.layer_norm(x, cells, eps=1e-5), self.weight)


class VMamba(nn.Module):
    """`features` gives the normalised last map, `forward` the logits of the official classifier."""

    def __init__(self, variant: Variant, num_classes: int) -> None:
        super().__init__()
        self.variant = variant
        *self.stage_dims, self.dim = variant.dims
        self.patch_embed = _patch_embed(variant)
        last = max(1, sum(variant.depths) - 1)
        rates = [variant.drop_path * index / last for index in range(last + 1)]
        self.layers = nn.ModuleList(_stage(variant, index, rates) for index in range(4))
        self.classifier = nn.ModuleDict({"norm": _norm(variant, self.dim)})
        self.apply(_init_linear)
        if num_classes:
            self.classifier["head"] = nn.Linear(self.dim, num_classes)
            _init_linear(self.classifier["head"])

    def features(
        self, x_BCHW: Tensor, generator: noise.Source | None = None, after_stage: stages.After | None = None
    ) -> Tensor:
        """(B, H, W, D) after the classifier's norm. Drop path draws from `generator`, or from torch's global one.
        after_stage: as stages.py says."""
        return collections.deque(self._walk(x_BCHW, generator, after_stage), maxlen=1).pop()

    def maps(self, x_BCHW: Tensor, generator: noise.Source | None = None) -> list[Tensor]:
        """The map (B, H, W, C) that leaves each of the four stages, then what `features` gives."""
        return list(self._walk(x_BCHW, generator, None))

    def _walk(
        self, x_BCHW: Tensor, generator: noise.Source | None, after_stage: stages.After | None
    ) -> Iterator[Tensor]:
        """The same one after the other; no map is held longer than the next needs it."""
        x = self.patch_embed(x_BCHW.contiguous(memory_format=torch.channels_last))
        for index, layer in enumerate(self.layers):
            for block in layer["blocks"]:
                x = block(x, generator)
            yield x
            if "downsample" in layer:
                x = layer["downsample"](x if after_stage is None else after_stage(index, x))
        yield self.classifier["norm"](x)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits (B, K), as upstream: norm, then mean over the cells, then the linear head."""
        return self.classifier["head"](self.features(x_BCHW).mean((1, 2)))


class VSSBlock(nn.Module):
    """x + SS2D(norm(x)), then x + MLP(norm(x)), on (B, H, W, C)."""

    def __init__(self, variant: Variant, dim: int, drop_path: float) -> None:
        super().__init__()
        self.norm = _norm(variant, dim)
        self.op = SS2D(dim, variant.ssm_ratio)
        self.norm2 = _norm(variant, dim)
        self.mlp = Mlp(dim)
        self.drop_path = drop_path

    def forward(self, x: Tensor, generator: noise.Source | None = None) -> Tensor:
        x = x + self._drop(self.op(self.norm(x)), generator)
        return x + self._drop(self.mlp(self.norm2(x)), generator)

    def _drop(self, branch: Tensor, generator: noise.Source | None) -> Tensor:
        if not self.training or self.drop_path == 0.0:
            return branch
        keep = 1.0 - self.drop_path
        device = branch.device if generator is None else generator.device
        drawn = noise.rand(branch.shape[0], 1, 1, 1, source=generator, device=device)
        return branch * (drawn < keep).to(branch).div_(keep)


class SS2D(nn.Module):
    """Linear, depth-wise 3x3 convolution, SiLU, four scans, norm, linear; no gate ("noz")."""

    def __init__(self, dim: int, ssm_ratio: float) -> None:
        super().__init__()
        inner, rank, directions = int(ssm_ratio * dim), math.ceil(dim / 16), cross_scan.DIRECTIONS
        self.in_proj = nn.Linear(dim, inner, bias=False)
        self.conv2d = nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=False)
        self.x_proj_weight = nn.Parameter(torch.empty(directions, rank + 2 * STATES, inner))
        self.dt_projs_weight = nn.Parameter(torch.empty(directions, inner, rank))
        self.dt_projs_bias = nn.Parameter(torch.empty(directions, inner))
        self.A_logs = nn.Parameter(torch.empty(directions * inner, STATES))
        self.Ds = nn.Parameter(torch.ones(directions * inner))
        self.out_norm = nn.LayerNorm(inner)
        self.out_proj = nn.Linear(inner, dim, bias=False)
        self.backend: str | None = None
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """The initialisation of VMamba's training code: steps log-uniform in [1e-3, 1e-1], A = -(1..N)."""
        bound = self.x_proj_weight.shape[2] ** -0.5
        self.x_proj_weight.uniform_(-bound, bound)
        bound = self.dt_projs_weight.shape[2] ** -0.5
        self.dt_projs_weight.uniform_(-bound, bound)
        step = self.dt_projs_bias.uniform_(math.log(1e-3), math.log(1e-1)).exp_().clamp_(min=1e-4)
        self.dt_projs_bias.copy_(step + torch.log(-torch.expm1(-step)))
        self.A_logs.copy_(torch.arange(1, STATES + 1).log().expand_as(self.A_logs))

    def forward(self, x_BHWC: Tensor) -> Tensor:
        z = self.conv2d(self.in_proj(x_BHWC).permute(0, 3, 1, 2))
        y_BHWD = cross_scan.scan(
            F.silu(z).permute(0, 2, 3, 1),
            x_proj_KED=self.x_proj_weight,
            dt_proj_KDR=self.dt_projs_weight,
            dt_bias_KD=self.dt_projs_bias,
            A_logs=self.A_logs,
            Ds=self.Ds,
            backend=self.backend,
        )
        return self.out_proj(self.out_norm(y_BHWD).to(x_BHWC.dtype))


class Mlp(nn.Module):
    """Linear, exact GELU, linear."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, MLP_RATIO * dim)
        self.fc2 = nn.Linear(MLP_RATIO * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Permute(nn.Module):
    """A view with other axes; it stands where upstream has an identity, so that indices in names agree."""

    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.axes)


TO_CHANNELS_LAST = (0, 2, 3, 1)
TO_CHANNELS_FIRST = (0, 3, 1, 2)


def _norm(variant: Variant, dim: int) -> nn.Module:
    return MapNorm(dim) if variant.map_norm else nn.LayerNorm(dim)


def _patch_embed(variant: Variant) -> nn.Sequential:
    """(B, 3, H, W) -> (B, H/4, W/4, dim)."""
    dim = variant.dims[0]
    return nn.Sequential(
        nn.Conv2d(3, dim // 2, 3, stride=2, padding=1),
        Permute(*TO_CHANNELS_LAST),
        _norm(variant, dim // 2),
        Permute(*TO_CHANNELS_FIRST),
        nn.GELU(),
        nn.Conv2d(dim // 2, dim, 3, stride=2, padding=1),
        Permute(*TO_CHANNELS_LAST),
        _norm(variant, dim),
    )


def _stage(variant: Variant, index: int, rates: list[float]) -> nn.ModuleDict:
    dim, start = variant.dims[index], sum(variant.depths[:index])
    blocks = [VSSBlock(variant, dim, rates[start + j]) for j in range(variant.depths[index])]
    stage = nn.ModuleDict({"blocks": nn.Sequential(*blocks)})
    if index < 3:
        stage["downsample"] = nn.Sequential(
            Permute(*TO_CHANNELS_FIRST),
            nn.Conv2d(dim, variant.dims[index + 1], 3, stride=variant.strides[index], padding=1),
            Permute(*TO_CHANNELS_LAST),
            _norm(variant, variant.dims[index + 1]),
        )
    return stage


def _init_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
