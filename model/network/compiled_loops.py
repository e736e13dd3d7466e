"""The compiled loops of compiled_scan: one image and one direction after another, all channels side by side.

Imported only where numba is there; the first import compiles for some seconds, later ones read numba's cache.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

F = np.float32
EXACT = {
    "reassoc",
    "contract",
    "arcp",
    "nsz",
    "afn",
}  # of fast mathematics all that keeps NaN and infinity what they are
INNER = {"fastmath": EXACT, "error_model": "numpy", "inline": "always"}


def _compiled(signature):
    """Compile now for this signature, or read what an earlier process left; without a place to leave it, do without."""

    def compile_(function):
        options = {"nogil": True, "fastmath": EXACT, "error_model": "numpy"}
        try:
            return njit(signature, cache=True, **options)(function)
        except RuntimeError:
            return njit(signature, **options)(function)

    return compile_


@intrinsic
def _as_float(context, number):
    """The float32 that has the bits of this int32."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@njit(**INNER)
def _exp(x):
    """exp(x) for x <= 0, float32: 2^n times the Cephes polynomial on |r| <= ln 2 / 2. At least e^-87; NaN stays NaN."""
    x = F(-87.0) if x < F(-87.0) else x
    n = np.int32(x * F(1.44269504) - F(0.5))
    r = x - F(n) * F(0.693359375) + F(n) * F(2.12194440e-4)
    p = F(1.9875691500e-4)
    p = p * r + F(1.3981999507e-3)
    p = p * r + F(8.3334519073e-3)
    p = p * r + F(4.1665795894e-2)
    p = p * r + F(1.6666665459e-1)
    p = p * r + F(5.0000001201e-1)
    return (p * r * r + r + F(1.0)) * _as_float((n + np.int32(127)) << np.int32(23))


@njit(**INNER)
def _softplus(x):
    """log(1 + exp(x)), float32; log1p(e) as 2 artanh(e / (2 + e)), whose argument is at most 1/3."""
    e = _exp(-abs(x))
    s = e / (F(2.0) + e)
    q = s * s
    series = F(1 / 11)
    series = series * q + F(1 / 9)
    series = series * q + F(1 / 7)
    series = series * q + F(1 / 5)
    series = series * q + F(1 / 3)
    series = series * q + F(1.0)
    return (F(0.0) if x < F(0.0) else x) + F(2.0) * s * series


@njit(**INNER)
def _before_softplus(raw, told, weight_RD, bias_D):
    """Write one token's low-rank product plus the bias, all channels, into raw."""
    raw[:] = bias_D
    for r in range(weight_RD.shape[0]):
        weight, share = weight_RD[r], told[r]
        for d in range(len(raw)):
            raw[d] += share * weight[d]


_IN = "float32[:, :, ::1], float32[:, :, :, ::1], float32[:, :, ::1], float32[:, ::1], float32[:, ::1]"
_PART = "int32[:, ::1], int64, int64, int64, int64"


@_compiled(f"void({_IN}, float32[:, :, ::1], {_PART})")
def forward(z_BLD, projected_BLKE, weight_KRD, bias_KD, A_KD, y_BLD, order_KL, first, last, way, ways):
    """Add the scans of images first..last in directions way..ways into y."""
    tokens, rank, count = z_BLD.shape[1], weight_KRD.shape[1], z_BLD.shape[2]
    state, raw = np.empty(count, F), np.empty(count, F)
    for b in range(first, last):
        for k in range(way, ways):
            state[:] = F(0.0)
            A = A_KD[k]
            for t in range(tokens):
                at = order_KL[k, t]
                told = projected_BLKE[b, at, k]
                _before_softplus(raw, told, weight_KRD[k], bias_KD[k])
                B, C = told[rank], told[rank + 1]
                z, y = z_BLD[b, at], y_BLD[b, at]
                for d in range(count):
                    step = _softplus(raw[d])
                    state[d] = _exp(step * A[d]) * state[d] + step * B * z[d]
                    y[d] += C * state[d]


_OUT = "float32[:, :, ::1], float32[:, :, ::1], float32[:, :, :, ::1], float32[:, :, ::1], float32[:, ::1], float32[:, ::1]"


@_compiled(f"void({_IN}, {_OUT}, {_PART})")
def backward(
    z_BLD, projected_BLKE, weight_KRD, bias_KD, A_KD, gy_BLD, g_z, g_projected, g_weight, g_bias, g_A,
    order_KL, first, last, way, ways,
):  # fmt: skip
    """Add the gradients of the same part: the scan once more, keeping steps and states of one direction, then back."""
    tokens, rank, count = z_BLD.shape[1], weight_KRD.shape[1], z_BLD.shape[2]
    steps, states = np.empty((tokens, count), F), np.empty((tokens + 1, count), F)
    raw, g_state, g_raw = np.empty(count, F), np.empty(count, F), np.empty(count, F)
    states[0] = F(0.0)
    for b in range(first, last):
        for k in range(way, ways):
            A = A_KD[k]
            for t in range(tokens):
                at = order_KL[k, t]
                told = projected_BLKE[b, at, k]
                _before_softplus(raw, told, weight_KRD[k], bias_KD[k])
                B, z, step_t, before, after = told[rank], z_BLD[b, at], steps[t], states[t], states[t + 1]
                for d in range(count):
                    step = _softplus(raw[d])
                    step_t[d] = step
                    after[d] = _exp(step * A[d]) * before[d] + step * B * z[d]
            g_state[:] = F(0.0)
            slope_A, slope_bias = g_A[k], g_bias[k]
            for s in range(tokens):
                t = tokens - 1 - s
                at = order_KL[k, t]
                told, slopes = projected_BLKE[b, at, k], g_projected[b, at, k]
                B, C = told[rank], told[rank + 1]
                z, gy, gz = z_BLD[b, at], gy_BLD[b, at], g_z[b, at]
                step_t, before, after = steps[t], states[t], states[t + 1]
                g_B, g_C = F(0.0), F(0.0)
                for d in range(count):
                    step = step_t[d]
                    decay = _exp(step * A[d])
                    g = g_state[d] + C * gy[d]
                    g_C += gy[d] * after[d]
                    g_decay = g * before[d] * decay
                    slope_A[d] += g_decay * step
                    g_B += g * step * z[d]
                    gz[d] += g * step * B
                    x = (g * B * z[d] + g_decay * A[d]) * (F(1.0) - _exp(-step))
                    g_raw[d] = x
                    slope_bias[d] += x
                    g_state[d] = g * decay
                slopes[rank] += g_B
                slopes[rank + 1] += g_C
                for r in range(rank):
                    weight, slope_weight = weight_KRD[k, r], g_weight[k, r]
                    share, total = told[r], F(0.0)
                    for d in range(count):
                        total += g_raw[d] * weight[d]
                        slope_weight[d] += g_raw[d] * share
                    slopes[r] += total
