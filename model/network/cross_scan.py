"""Four selective scans over one map: rows, columns, and both backwards, merged again per token.

Order of the directions (it is part of the released weights): 0 row-major, 1 column-major, 2 and 3 their reverses.
The projections are pointwise, so they are made once on the map. The backend `compiled` visits the map in four orders
(model/network/compiled_scan.py); the others get four sequences, tokens first, so that every step is one contiguous row.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from model import errors
from model.network import compiled_scan, selective_scan

DIRECTIONS = 4
COMPILED = "compiled"


def chosen_backend(device: torch.device | str) -> str:
    """The backend of a map's scans on this device: `compiled` on CPUs with numba, else that of `selective_scan`."""
    if torch.device(device).type == "cpu" and compiled_scan.available():
        return COMPILED
    return selective_scan.chosen_backend(device)


def scan(
    z_BHWD: Tensor,
    *,
    x_proj_KED: Tensor,
    dt_proj_KDR: Tensor,
    dt_bias_KD: Tensor,
    A_logs: Tensor,
    Ds: Tensor,
    backend: str | None = None,
) -> Tensor:
    """The SS2D core. E = R + 2N; A_logs (K D, N); Ds (K D). Returns (B, H, W, D), fp32 (or fp64).

    Unless a backend is asked for, fp64 and more than one state take `loop` where the device's own is `compiled`, and
    `two_level` where it is `triton`.
    Raises BackendUnavailable, UnknownName as selective_scan does.
    """
    plain = z_BHWD.dtype != torch.float64 and A_logs.shape[1] == 1
    if backend is None:
        backend = chosen_backend(z_BHWD.device)
        backend = backend if plain else {COMPILED: "loop", "triton": "two_level"}.get(backend, backend)
    weights = {"x_proj_KED": x_proj_KED, "dt_proj_KDR": dt_proj_KDR, "dt_bias_KD": dt_bias_KD}
    A = -torch.exp(A_logs.float() if A_logs.dtype != torch.float64 else A_logs).unflatten(0, (DIRECTIONS, -1))
    if backend == COMPILED:
        if not plain or z_BHWD.device.type != "cpu" or not compiled_scan.available():
            raise errors.BackendUnavailable(
                f"the scan backend 'compiled' needs numba (import numba {'works' if compiled_scan.available() else 'fails'}), "
                f"one state and half or fp32 tensors on the CPU, not {A_logs.shape[1]}, {z_BHWD.dtype} on {z_BHWD.device}"
            )
        y_BHWD = _compiled(z_BHWD, A_KD=A[..., 0], **weights)
    else:
        y_BHWD = _sequences(z_BHWD, A_KDN=A, backend=backend, **weights)
    skip = Ds.unflatten(0, (DIRECTIONS, -1)).sum(0)  # sum_k D_k u, and u is the same token in every direction
    return torch.addcmul(y_BHWD, z_BHWD, skip)


def _compiled(z_BHWD: Tensor, *, x_proj_KED: Tensor, dt_proj_KDR: Tensor, dt_bias_KD: Tensor, A_KD: Tensor) -> Tensor:
    z_BLD = z_BHWD.flatten(1, 2)
    projected_BLKE = F.linear(z_BLD, x_proj_KED.flatten(0, 1)).unflatten(-1, (DIRECTIONS, -1))
    y_BLD = compiled_scan.scan(
        z_BLD, projected_BLKE, dt_proj_KDR.transpose(1, 2), dt_bias_KD, A_KD, width=z_BHWD.shape[2]
    )
    return y_BLD.unflatten(1, z_BHWD.shape[1:3])


def _sequences(
    z_BHWD: Tensor, *, x_proj_KED: Tensor, dt_proj_KDR: Tensor, dt_bias_KD: Tensor, A_KDN: Tensor, backend: str
) -> Tensor:
    batch, height, width, channels = z_BHWD.shape
    rank, states, tokens = dt_proj_KDR.shape[2], A_KDN.shape[2], height * width
    z_HWBD = z_BHWD.permute(1, 2, 0, 3).contiguous()
    projected = F.linear(z_HWBD, x_proj_KED.flatten(0, 1)).unflatten(-1, (DIRECTIONS, -1))
    ordered_KLBE = torch.stack(_split(projected.unbind(3)))
    low_rank, B_KLBN, C_KLBN = ordered_KLBE.split([rank, states, states], dim=-1)
    ones_last = F.pad(low_rank, (0, 1), value=1.0)  # carries the bias through the product: one pass less
    steps_KED = torch.cat([dt_proj_KDR, dt_bias_KD[..., None]], dim=2).transpose(1, 2)
    raw_KLBD = torch.bmm(ones_last.flatten(1, 2), steps_KED.to(ones_last.dtype))
    raw_KLBD = raw_KLBD.view(DIRECTIONS, tokens, batch, channels)
    u_LKBD = torch.stack(_split([z_HWBD] * DIRECTIONS), dim=1)
    run = _packed if backend in ("mamba_ssm", "reference") else selective_scan.scan_rows
    y_LKBD = run(
        u_LKBD,
        raw_KLBD.transpose(0, 1),
        A_KDN,
        B_KLBN.transpose(0, 1),
        C_KLBN.transpose(0, 1),
        D=None,
        delta_bias=None,
        delta_softplus=True,
        backend=backend,
    )
    return _merge(y_LKBD, height, width).permute(2, 0, 1, 3)


def _split(maps: list[Tensor] | tuple[Tensor, ...]) -> list[Tensor]:
    """One (H, W, ...) map per direction -> one (L, ...) sequence per direction, in scan order."""
    rows, columns, rows_back, columns_back = maps
    return [
        rows.flatten(0, 1),
        columns.transpose(0, 1).flatten(0, 1),
        rows_back.flatten(0, 1).flip(0),
        columns_back.transpose(0, 1).flatten(0, 1).flip(0),
    ]


def _merge(y_LKBD: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `_split`, summed over the directions. The two reverses share one flip."""
    rows, columns, rows_back, columns_back = y_LKBD.unbind(1)

    def both(row_major: Tensor, column_major: Tensor) -> Tensor:
        turned = column_major.unflatten(0, (width, height)).transpose(0, 1)
        return row_major.unflatten(0, (height, width)) + turned

    return both(rows, columns) + both(rows_back, columns_back).flip(0, 1)


def _packed(u, delta, A, B, C, *, D, delta_bias, delta_softplus: bool, backend: str) -> Tensor:
    """The same call for backends that take (batch, K D, L)."""

    def channels_first(rows: Tensor) -> Tensor:
        return rows.permute(2, 1, 3, 0)

    y = selective_scan.selective_scan(
        channels_first(u).flatten(1, 2).contiguous(),
        channels_first(delta).flatten(1, 2).contiguous(),
        A.flatten(0, 1),
        channels_first(B),
        channels_first(C),
        delta_softplus=delta_softplus,
        backend=backend,
    )
    return y.unflatten(1, (u.shape[1], -1)).permute(3, 1, 0, 2).to(A.dtype)
