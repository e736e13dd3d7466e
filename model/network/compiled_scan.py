"""The four scans of one map as compiled CPU loops (numba), forward and backward, for one state per channel.

Everything that the torch loop writes out per direction and token (steps, decays, states, turned copies of the map) stays
in the cache here: a direction is only another order of visiting the same tokens. Nothing is kept for the backward pass
but the inputs; it runs the scan once more. The loops are model/network/compiled_loops.py, the only module with numba.

Axes: B batch, L tokens in row-major order, D channels, K the four directions, R the rank of the steps.
"""

from __future__ import annotations

import functools
import importlib
import itertools
from collections.abc import Callable
from concurrent import futures
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

DIRECTIONS = 4


@functools.cache
def available() -> bool:
    """Whether numba can be imported: one that does not fit the installed NumPy says so only then."""
    try:
        importlib.import_module("numba")
    except ImportError:
        return False
    return True


def scan(
    z_BLD: Tensor, projected_BLKE: Tensor, weight_KRD: Tensor, bias_KD: Tensor, A_KD: Tensor, *, width: int
) -> Tensor:
    """Sum over the directions of C_t h_t, h_t = exp(s_t A) h_{t-1} + s_t B_t z_t, s_t = softplus(low_rank_t W + bias).

    projected holds the R inputs of the steps, then B, then C, of every token for each direction. (B, L, D), fp32.
    """
    tensors = (z_BLD, projected_BLKE, weight_KRD, bias_KD, A_KD)
    answer: Tensor = _Scan.apply(*(tensor.float().contiguous() for tensor in tensors), width)
    return answer


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z, projected, weight, bias, A, width: int) -> Tensor:
        ctx.save_for_backward(z, projected, weight, bias, A)
        order_KL = ctx.order = _order(z.shape[1] // width, width)
        inputs = [tensor.detach().numpy() for tensor in (z, projected, weight, bias, A)]
        parts, kernel = _parts(len(z)), _loops().forward
        told = _zeros(parts, inputs[:1])
        _each(parts, lambda at, part: kernel(*inputs, *told[at], order_KL, *part))
        return torch.from_numpy(_total(told)[0])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
        inputs = [tensor.detach().numpy() for tensor in ctx.saved_tensors]
        gy_BLD, parts, kernel = gy.float().contiguous().numpy(), _parts(len(gy)), _loops().backward
        of_images, of_weights = _zeros(parts, inputs[:2]), [[np.zeros_like(w) for w in inputs[2:]] for _ in parts]
        _each(parts, lambda at, part: kernel(*inputs, gy_BLD, *of_images[at], *of_weights[at], ctx.order, *part))
        return (*(torch.from_numpy(each) for each in (*_total(of_images), *_total(of_weights))), None)


@functools.lru_cache(maxsize=64)
def _order(height: int, width: int) -> NDArray[np.int32]:
    """Which token each direction visits t-th: row-major, column-major, and both from the end."""
    rows_HW = np.arange(height * width, dtype=np.int32).reshape(height, width)
    rows, columns = rows_HW.ravel(), rows_HW.T.ravel()
    return np.ascontiguousarray(np.stack([rows, columns, rows[::-1], columns[::-1]]))


Part = tuple[int, int, int, int]  # images from, to; directions from, to
Arrays = list[NDArray[np.float32]]


def _parts(batch: int) -> list[Part]:
    """One part for each of torch's threads: of the images, or where those are too few, of the directions."""
    threads = torch.get_num_threads()
    if batch >= threads:
        return [(start, end, 0, DIRECTIONS) for start, end in _cut(batch, threads)]
    return [(0, batch, start, end) for start, end in _cut(DIRECTIONS, min(threads, DIRECTIONS))]


def _zeros(parts: list[Part], like: Arrays) -> list[Arrays]:
    """What the parts add into: one and the same where each has images of its own."""
    if parts[0][3] == DIRECTIONS:
        return [[np.zeros_like(each) for each in like]] * len(parts)
    return [[np.zeros_like(each) for each in like] for _ in parts]


def _total(told: list[Arrays]) -> Arrays:
    """The sum of what different parts added up."""
    if all(each is told[0] for each in told):
        return told[0]
    return [np.sum(each, axis=0) for each in zip(*told, strict=True)]


def _cut(count: int, pieces: int) -> list[tuple[int, int]]:
    edges = [round(count * i / pieces) for i in range(pieces + 1)]
    return list(itertools.pairwise(edges))


def _each(parts: list[Part], run: Callable[[int, Part], None]) -> None:
    """All parts at once, the first one here; the loops let go of Python's lock."""
    others = [_pool(len(parts)).submit(run, at, part) for at, part in enumerate(parts[1:], 1)]
    run(0, parts[0])
    for other in others:
        other.result()


@functools.cache
def _pool(threads: int) -> futures.ThreadPoolExecutor:
    return futures.ThreadPoolExecutor(threads, "scan")


@functools.cache
def _loops() -> Any:
    return importlib.import_module("model.network.compiled_loops")
