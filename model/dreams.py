"""Pictures dreamed from a classifier: what its batch norms and its classes remember of the photographs it learnt from.

DeepInversion (Yin et al., "Dreaming to distill", CVPR 2020, arXiv 1912.08795): a picture is moved until the classifier
sees a wanted class in it and each batch norm meets the means and variances that it knows. It starts from pictures, not
from noise, and its gradient is smoothed by frequency (Olah et al., "Feature visualization", 2017,
doi 10.23915/distill.00007), so that tens of steps do what took thousands.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from model import errors

STAGES = ((64, 16), (96, 20))  # side of the pictures, and steps at it
SIDE = STAGES[-1][0]
_RATE = 0.03  # how far one step moves a picture in [0, 1], root mean square
_MOMENTUM = 0.7
_CLASS, _ROUGHNESS = 0.1, 0.8  # weights beside the loss of the norms
_SMOOTH = 1.2  # the gradient falls with this power of the frequency


class Dreamer:
    """A frozen classifier, pictures normalised by `mean` and `std` in and an object with `logits` out, and its norms."""

    def __init__(self, classifier: nn.Module, *, mean: Sequence[float], std: Sequence[float]) -> None:
        self.classifier = classifier.eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.mean_311, self.std_311 = (torch.tensor(each).view(3, 1, 1) for each in (mean, std))
        norms = [module for module in classifier.modules() if isinstance(module, nn.BatchNorm2d)]
        if not norms:
            raise errors.BadConfig("this teacher has no batch norms to dream from; use another, or no dreamed pictures")
        self._far: list[Tensor] = []
        for at, norm in enumerate(norms):
            norm.register_forward_pre_hook(self._watch)
            norm.importance = 4.0 if at < 2 else 1.0  # the first ones alone see single pixels

    def __call__(
        self, starts_BHWC: NDArray[np.uint8], classes_B: Tensor, generator: torch.Generator
    ) -> NDArray[np.uint8]:
        """Pictures uint8 (B, SIDE, SIDE, 3), each from its start towards its class; the batch together towards the norms."""
        x = torch.from_numpy(starts_BHWC).permute(0, 3, 1, 2).float() / 255
        for side, steps in STAGES:
            x = F.interpolate(x, size=(side, side), mode="bilinear", antialias=True)
            x = self._improve(x.contiguous(memory_format=torch.channels_last), classes_B, steps, generator)
        return np.asarray(x.mul(255).round_().to(torch.uint8).permute(0, 2, 3, 1))

    def _improve(self, x_BCHW: Tensor, classes_B: Tensor, steps: int, generator: torch.Generator) -> Tensor:
        side = x_BCHW.shape[-1]
        smooth, motion = _falling(side), torch.zeros_like(x_BCHW)
        for step in range(steps):
            x_BCHW.requires_grad_()
            slope = torch.autograd.grad(self._loss(x_BCHW, classes_B, generator), x_BCHW)[0]
            slope = torch.fft.irfft2(torch.fft.rfft2(slope) * smooth, s=(side, side))
            motion = _MOMENTUM * motion + slope / (slope.square().mean((1, 2, 3), keepdim=True).sqrt() + 1e-12)
            rate = _RATE * (1 - _MOMENTUM) * min(1.0, 1.3 * (1 - step / steps))
            x_BCHW = (x_BCHW.detach() - rate * motion).clamp_(0, 1)
        return x_BCHW

    def _loss(self, x_BCHW: Tensor, classes_B: Tensor, generator: torch.Generator) -> Tensor:
        """How far the pictures, shifted and perhaps mirrored, are from what the classifier knows and wants."""
        most = x_BCHW.shape[-1] // 8
        down, right = torch.randint(-most, most + 1, (2,), generator=generator).tolist()
        seen = x_BCHW.roll((down, right), (2, 3))
        if torch.rand((), generator=generator).item() < 0.5:
            seen = seen.flip(3)
        self._far.clear()
        logits = self.classifier((seen - self.mean_311) / self.std_311).logits
        rough = x_BCHW.diff(dim=2).square().mean() + x_BCHW.diff(dim=3).square().mean()
        return torch.stack(self._far).mean() + _CLASS * F.cross_entropy(logits, classes_B) + _ROUGHNESS * rough

    def _watch(self, norm: nn.Module, inputs: tuple[Tensor]) -> None:
        """Distance of this batch's means and variances from a norm's own, in units of its variance."""
        variance, mean = torch.var_mean(inputs[0], (0, 2, 3), correction=0)
        known = norm.running_var + 1e-3
        far = (mean - norm.running_mean).square().div(known).mean() + (variance.add(1e-3) / known).log().square().mean()
        self._far.append(norm.importance * far)


def _falling(side: int) -> Tensor:
    """(side, side // 2 + 1): factor of each frequency, 1 at the lowest."""
    cycles = side * torch.hypot(torch.fft.fftfreq(side)[:, None], torch.fft.rfftfreq(side)[None])
    return cycles.clamp_(min=1) ** -_SMOOTH
