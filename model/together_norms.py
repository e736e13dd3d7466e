"""Batch norms that see the whole batch although several processes share it, on any of torch's means to talk."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn

from model.together import Together


class _Sum(torch.autograd.Function):
    """The sum over the processes; whoever used it anywhere sends its slope back to everyone."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, together: Together) -> Tensor:
        ctx.together = together
        return together.sum(own.clone())

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        return ctx.together.sum(slope.contiguous().clone()), None


def share(net: nn.Module, together: Together) -> None:
    """From now on, in training mode, the net's batch norms take mean and variance over the batches of all processes."""
    if together.count > 1:
        for module in _norms(net):
            module.forward = functools.partial(_normed, module, together)


def release(net: nn.Module) -> None:
    """Back to the batches of this process."""
    for module in _norms(net):
        module.__dict__.pop("forward", None)


def _norms(net: nn.Module) -> list[Any]:
    return [module for module in net.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


def _normed(norm: Any, together: Together, x: Tensor) -> Tensor:
    """As torch's own, in fp32, and for all processes; its running variance is the unbiased one."""
    if not norm.training:
        return type(norm).forward(norm, x)
    axes, shape = [0, *range(2, x.ndim)], [1, -1, *[1] * (x.ndim - 2)]
    wide = x.float()
    count = wide.new_full((1,), x.numel() / x.shape[1])
    sums_C1 = _Sum.apply(torch.cat([wide.sum(axes), count]), together)
    total = sums_C1[-1]
    mean_C = sums_C1[:-1] / total
    away = wide - mean_C.view(shape)
    variance_C = _Sum.apply(away.square().sum(axes), together) / total
    with torch.no_grad():
        norm.num_batches_tracked += 1
        momentum = norm.momentum if norm.momentum is not None else 1 / float(norm.num_batches_tracked)
        norm.running_mean.lerp_(mean_C, momentum)
        norm.running_var.lerp_(variance_C * total / (total - 1), momentum)
    normed = away * (variance_C + norm.eps).rsqrt().view(shape)
    return (normed * norm.weight.view(shape) + norm.bias.view(shape)).to(x.dtype)
