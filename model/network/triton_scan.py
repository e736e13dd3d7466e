"""The scan backend `triton`: our own kernels for one state, for GPUs where mamba-ssm's extension is not installed.

Same recurrence and exact gradients as selective_scan.py; computed in fp32 whatever the inputs are, which are read as they
lie (half precision is half the traffic). It keeps its inputs and one state in BLOCK_L tokens for the backward pass.
"""

from __future__ import annotations

import functools
import importlib
import os
from typing import Any

import torch
from torch import Tensor

BLOCK_L = 64
MOST_CHANNELS = 32  # of one program


@functools.cache
def available() -> bool:
    """Whether triton can be imported: CUDA builds of torch bring it along."""
    try:
        importlib.import_module("triton")
    except ImportError:
        return False
    return True


def runs_on(device: torch.device) -> bool:
    """Whether the kernels can run there: on CUDA, or anywhere under Triton's interpreter (TRITON_INTERPRET=1)."""
    return available() and (device.type == "cuda" or os.environ.get("TRITON_INTERPRET") == "1")


def scan(
    u_LGBC: Tensor,
    delta_LGBC: Tensor,
    A_GC: Tensor,
    B_LGB: Tensor,
    C_LGB: Tensor,
    D_GC: Tensor | None,
    bias_GC: Tensor | None,
    softplus: bool,
) -> Tensor:
    """y (L, G, B, C), fp32."""
    answer: Tensor = _TritonScan.apply(u_LGBC, delta_LGBC, A_GC, B_LGB, C_LGB, D_GC, bias_GC, softplus)
    return answer


class _TritonScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u, delta, A, B, C, D, bias, softplus: bool) -> Tensor:
        from model.network import triton_kernels

        inputs = [None if t is None else t.contiguous() for t in (u, delta, A, B, C, D, bias)]
        tokens, groups, batch, channels = u.shape
        sequences = groups * batch
        block = min(MOST_CHANNELS, _power_of_two(channels))
        grid = (sequences, -(-channels // block))
        blocks = -(-tokens // BLOCK_L)
        y = torch.empty(u.shape, dtype=torch.float32, device=u.device)
        starts = torch.empty(blocks, sequences, channels, dtype=torch.float32, device=u.device)
        ctx.flags = {
            "SOFTPLUS": softplus, "HAS_D": D is not None, "HAS_BIAS": bias is not None, "BLOCKS": blocks,
            "BLOCK_L": BLOCK_L, "BLOCK_C": block,
        }  # fmt: skip
        ctx.grid, ctx.sizes = grid, (tokens, sequences, batch, channels)
        triton_kernels.forward[grid](*_pointers(inputs), y, starts, *ctx.sizes, **ctx.flags)
        ctx.save_for_backward(*inputs, starts)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
        from model.network import triton_kernels

        *inputs, starts = ctx.saved_tensors
        u, B = inputs[0], inputs[3]
        tokens, sequences, batch, channels = ctx.sizes
        g_u, g_delta = (torch.empty(u.shape, dtype=torch.float32, device=u.device) for _ in range(2))
        sums = torch.empty(3, sequences, channels, dtype=torch.float32, device=u.device)
        shared = torch.empty(2, ctx.grid[1], tokens, sequences, dtype=torch.float32, device=u.device)
        triton_kernels.backward[ctx.grid](
            *_pointers(inputs), gy.float().contiguous(), starts, g_u, g_delta,
            sums[0], shared[0], shared[1], sums[1], sums[2], *ctx.sizes, **ctx.flags,
        )  # fmt: skip
        g_A, g_D, g_bias = sums.unflatten(1, (-1, batch)).sum(2)
        g_B, g_C = shared.sum(1).view(2, *B.shape)
        grads = (g_u, g_delta, g_A, g_B, g_C, g_D, g_bias)
        return *(None if t is None else g.to(t.dtype) for t, g in zip(inputs, grads, strict=True)), None


def _pointers(inputs: list[Tensor | None]) -> list[Tensor | None]:
    """What is absent is never read, but a pointer must be given."""
    return [inputs[0] if tensor is None else tensor for tensor in inputs]


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()
