"""Four selective scans over one map: rows, columns, and both backwards, merged again per token.

Order of the directions (it is part of the released weights): 0 row-major, 1 column-major, 2 and 3 their reverses.
The map is (H, W, B, D), tokens first, so that every step of the scan is one contiguous row; the projections are
pointwise, so they are made once on the map and only their few outputs are put into scan order.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from model.network import selective_scan

DIRECTIONS = 4


def scan(
    z_HWBD: Tensor,
    *,
    x_proj_KED: Tensor,
    dt_proj_KDR: Tensor,
    dt_bias_KD: Tensor,
    A_logs: Tensor,
    Ds: Tensor,
    backend: str | None = None,
) -> Tensor:
    """The SS2D core. E = R + 2N; A_logs (K D, N); Ds (K D). Returns (H, W, B, D), fp32 (or fp64)."""
    height, width, batch, channels = z_HWBD.shape
    rank, states = dt_proj_KDR.shape[2], A_logs.shape[1]
    tokens = height * width
    backend = backend or selective_scan.chosen_backend(z_HWBD.device)
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
        -torch.exp(A_logs.float() if A_logs.dtype != torch.float64 else A_logs).unflatten(0, (DIRECTIONS, channels)),
        B_KLBN.transpose(0, 1),
        C_KLBN.transpose(0, 1),
        D=None,
        delta_bias=None,
        delta_softplus=True,
        backend=backend,
    )
    skip = Ds.unflatten(0, (DIRECTIONS, channels)).sum(0)  # sum_k D_k u, and u is the same token in every direction
    return torch.addcmul(_merge(y_LKBD, height, width), z_HWBD, skip)


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
