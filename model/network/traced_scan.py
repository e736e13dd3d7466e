"""The selective scan in plain operations on whole arrays, for what must be written down as a graph (ONNX).

No loop over tokens and nothing in place: about 2 log2(L) operations, each over all tokens at once.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def scan(
    u_LGBC: Tensor,
    delta_LGBC: Tensor,
    A_GCN: Tensor,
    B_LGBN: Tensor,
    C_LGBN: Tensor,
    D_GC: Tensor | None,
    bias_GC: Tensor | None,
    softplus: bool,
) -> Tensor:
    """y (L, G, B, C); axes and meaning as `selective_scan.scan_rows`."""
    raw = delta_LGBC if bias_GC is None else delta_LGBC + bias_GC[:, None]
    step = F.softplus(raw) if softplus else raw
    entering = u_LGBC * step
    y = 0.0 if D_GC is None else u_LGBC * D_GC[:, None]
    for n in range(A_GCN.shape[-1]):
        state = doubled(torch.exp(step * A_GCN[:, None, :, n]), entering * B_LGBN[..., n : n + 1])
        y = y + state * C_LGBN[..., n : n + 1]
    return y


def doubled(a: Tensor, b: Tensor) -> Tensor:
    """h_t = a_t h_{t-1} + b_t along the first axis, by Hillis and Steele's doubling.

    After a pass with distance d each row holds what its last 2 d tokens bring. Only products of decays appear, so nothing
    can overflow.
    """
    length, distance = a.shape[0], 1
    while distance < length:
        b = torch.cat([b[:distance], b[distance:] + a[distance:] * b[:-distance]])
        if 2 * distance < length:
            a = torch.cat([a[:distance], a[distance:] * a[:-distance]])
        distance *= 2
    return b
