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
BLOCK = 2048  # numbers that one pass over some tokens works on: they stay in the nearest cache
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
def _steps(order_L, projected_LKE, k, weight_RD, bias_D, steps_ND):
    """Softplus of the low-rank product plus the bias of the tokens order_L, into as many rows of steps."""
    for i in range(len(order_L)):
        told, row = projected_LKE[order_L[i], k], steps_ND[i]
        weight, share = weight_RD[0], told[0]
        for d in range(len(row)):
            row[d] = bias_D[d] + share * weight[d]
        for r in range(1, len(weight_RD)):
            weight, share = weight_RD[r], told[r]
            for d in range(len(row)):
                row[d] += share * weight[d]
    flat = steps_ND.reshape(-1)
    for j in range(len(order_L) * steps_ND.shape[1]):
        flat[j] = _softplus(flat[j])


@njit(**INNER)
def _decays(steps_ND, A_D, count, decays_ND):
    """exp(step A) of the first `count` rows of steps."""
    for i in range(count):
        step, row = steps_ND[i], decays_ND[i]
        for d in range(len(row)):
            row[d] = step[d] * A_D[d]
    flat = decays_ND.reshape(-1)
    for j in range(count * steps_ND.shape[1]):
        flat[j] = _exp(flat[j])


_IN = "float32[:, :, ::1], float32[:, :, :, ::1], float32[:, :, ::1], float32[:, ::1], float32[:, ::1]"
_PART = "int32[:, ::1], int64, int64, int64, int64"


@_compiled(f"void({_IN}, float32[:, :, ::1], {_PART})")
def forward(z_BLD, projected_BLKE, weight_KRD, bias_KD, A_KD, y_BLD, order_KL, first, last, way, ways):
    """Add the scans of images first..last in directions way..ways into y."""
    tokens, rank, count = z_BLD.shape[1], weight_KRD.shape[1], z_BLD.shape[2]
    block = max(1, BLOCK // count)
    state, steps, decays = np.empty(count, F), np.empty((block, count), F), np.empty((block, count), F)
    for b in range(first, last):
        for k in range(way, ways):
            state[:] = F(0.0)
            for start in range(0, tokens, block):
                order = order_KL[k, start : min(start + block, tokens)]
                _steps(order, projected_BLKE[b], k, weight_KRD[k], bias_KD[k], steps)
                _decays(steps, A_KD[k], len(order), decays)
                for i in range(len(order)):
                    at = order[i]
                    told = projected_BLKE[b, at, k]
                    B, C = told[rank], told[rank + 1]
                    z, y, step, decay = z_BLD[b, at], y_BLD[b, at], steps[i], decays[i]
                    for d in range(count):
                        now = decay[d] * state[d] + step[d] * B * z[d]
                        state[d] = now
                        y[d] += C * now


_OUT = "float32[:, :, ::1], float32[:, :, ::1], float32[:, :, :, ::1], float32[:, :, ::1], float32[:, ::1], float32[:, ::1]"


@_compiled(f"void({_IN}, {_OUT}, {_PART})")
def backward(
    z_BLD, projected_BLKE, weight_KRD, bias_KD, A_KD, gy_BLD, g_z, g_projected, g_weight, g_bias, g_A,
    order_KL, first, last, way, ways,
):  # fmt: skip
    """Add the gradients of the same part: the scan once more, keeping steps and states of one direction, then back."""
    tokens, rank, count = z_BLD.shape[1], weight_KRD.shape[1], z_BLD.shape[2]
    kept = np.empty((3, tokens, count), F)
    steps, decays, bends = kept[0], kept[1], kept[2]
    states, g_state, g_raw = np.empty((tokens + 1, count), F), np.empty(count, F), np.empty(count, F)
    states[0] = F(0.0)
    for b in range(first, last):
        for k in range(way, ways):
            A = A_KD[k]
            _steps(order_KL[k], projected_BLKE[b], k, weight_KRD[k], bias_KD[k], steps)
            _decays(steps, A, tokens, decays)
            flat, bend_of = steps.reshape(-1), bends.reshape(-1)
            for j in range(len(flat)):
                bend_of[j] = F(1.0) - _exp(-flat[j])  # the slope of softplus
            for t in range(tokens):
                at = order_KL[k, t]
                B = projected_BLKE[b, at, k, rank]
                z, step, decay, before, after = z_BLD[b, at], steps[t], decays[t], states[t], states[t + 1]
                for d in range(count):
                    after[d] = decay[d] * before[d] + step[d] * B * z[d]
            g_state[:] = F(0.0)
            slope_A, slope_bias = g_A[k], g_bias[k]
            for s in range(tokens):
                t = tokens - 1 - s
                at = order_KL[k, t]
                told, slopes = projected_BLKE[b, at, k], g_projected[b, at, k]
                B, C = told[rank], told[rank + 1]
                z, gy, gz = z_BLD[b, at], gy_BLD[b, at], g_z[b, at]
                step, decay, bend, before, after = steps[t], decays[t], bends[t], states[t], states[t + 1]
                g_B, g_C = F(0.0), F(0.0)
                for d in range(count):
                    g = g_state[d] + C * gy[d]
                    g_C += gy[d] * after[d]
                    g_state[d] = g * decay[d]
                    g_decay = g_state[d] * before[d]
                    slope_A[d] += g_decay * step[d]
                    g_B += g * step[d] * z[d]
                    gz[d] += g * step[d] * B
                    x = (g * B * z[d] + g_decay * A[d]) * bend[d]
                    g_raw[d] = x
                    slope_bias[d] += x
                slopes[rank] += g_B
                slopes[rank + 1] += g_C
                for r in range(rank):
                    weight, slope_weight = weight_KRD[k, r], g_weight[k, r]
                    share, total = told[r], F(0.0)
                    for d in range(count):
                        total += g_raw[d] * weight[d]
                        slope_weight[d] += g_raw[d] * share
                    slopes[r] += total
