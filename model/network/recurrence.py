"""The first-order recurrence under the selective scan: h_t = a_t h_{t-1} + b_t along the first axis."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def loop(a: Tensor, b: Tensor, *, reverse: bool = False) -> Tensor:
    """h_t = a_t h_{t-1} + b_t along the first axis, written over b; reverse: h_t = a_{t+1} h_{t+1} + b_t."""
    a_rows, b_rows = a.unbind(0), b.unbind(0)
    if reverse:
        a_rows, b_rows = a_rows[:0:-1], b_rows[::-1]
    else:
        a_rows = a_rows[1:]
    state = b_rows[0]
    for decay, row in zip(a_rows, b_rows[1:], strict=True):
        state = row.addcmul_(decay, state)
    return b


def two_level(a: Tensor, b: Tensor, *, reverse: bool = False) -> Tensor:
    """The same recurrence in about 3 sqrt(L) launches; only products of decays appear, so nothing can overflow.

    The tokens are cut into n pieces of Q; all pieces are scanned side by side, then their carries one after another.
    """
    if reverse:
        shifted = torch.cat([torch.zeros_like(a[:1]), a.flip(0)[:-1]])
        return two_level(shifted, b.flip(0)).flip(0)
    length = a.shape[0]
    piece = max(1, math.isqrt(length))
    count = -(-length // piece)
    pad = count * piece - length
    lanes = a.shape[1:]
    decay = torch.cat([a, a.new_ones(pad, *lanes)]).view(count, piece, *lanes).transpose(0, 1).contiguous()
    state = torch.cat([b, b.new_zeros(pad, *lanes)]).view(count, piece, *lanes).transpose(0, 1).contiguous()
    for step in range(1, piece):
        state[step].addcmul_(decay[step], state[step - 1])
        decay[step].mul_(decay[step - 1])
    carry = torch.zeros_like(state[-1])
    for index in range(1, count):
        carry[index] = torch.addcmul(state[-1, index - 1], decay[-1, index - 1], carry[index - 1])
    state.addcmul_(decay, carry)
    return state.transpose(0, 1).reshape(count * piece, *lanes)[:length]


RECURRENCES = {"loop": loop, "two_level": two_level}
