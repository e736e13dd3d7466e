"""The Triton kernels of the selective scan with one state; triton_scan.py calls them and says what they compute.

One program holds one sequence and BLOCK_C channels and walks over the tokens in blocks of BLOCK_L: within a block the
recurrence is an associative scan, from block to block it is carried (BLOCKS is a constant, since Triton's interpreter
cannot loop up to an argument). Nothing is kept for the backward pass but the state before each block: the backward kernel
makes the states of a block again while it walks from the last block to the first.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _then(decay_a, state_a, decay_b, state_b):
    """One stretch of the recurrence after another."""
    return decay_b * decay_a, decay_b * state_a + state_b


@triton.jit
def _step(raw, SOFTPLUS: tl.constexpr):
    """softplus(raw), or raw itself."""
    if SOFTPLUS:
        soft = tl.maximum(raw, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(raw)))
        raw = tl.where(raw < -15.0, tl.exp(raw), soft)  # there log(1 + e^x) has lost its digits
    return raw


@triton.jit
def forward(
    u_ptr, delta_ptr, A_ptr, B_ptr, C_ptr, D_ptr, bias_ptr, y_ptr, starts_ptr, tokens, sequences, batch, channels,
    SOFTPLUS: tl.constexpr, HAS_D: tl.constexpr, HAS_BIAS: tl.constexpr, BLOCKS: tl.constexpr,
    BLOCK_L: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """y and the states before each block. Tensors are contiguous: (L, S, C) and (L, S), A, D, bias (G, C); S = G batch."""
    sequence = tl.program_id(0)
    cols = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    here = cols < channels
    vector = (sequence // batch) * channels + cols
    A = tl.load(A_ptr + vector, mask=here, other=0.0).to(tl.float32)
    carry = tl.zeros((BLOCK_C,), tl.float32)
    for block in range(BLOCKS):
        rows = block * BLOCK_L + tl.arange(0, BLOCK_L)
        inside = rows < tokens
        at = (rows[:, None].to(tl.int64) * sequences + sequence) * channels + cols[None, :]
        mask = inside[:, None] & here[None, :]
        u = tl.load(u_ptr + at, mask=mask, other=0.0).to(tl.float32)
        raw = tl.load(delta_ptr + at, mask=mask, other=0.0).to(tl.float32)
        if HAS_BIAS:
            raw += tl.load(bias_ptr + vector, mask=here, other=0.0).to(tl.float32)[None, :]
        step = tl.where(mask, _step(raw, SOFTPLUS), 0.0)  # beyond the end: the state stays as it is
        places = rows.to(tl.int64) * sequences + sequence
        B = tl.load(B_ptr + places, mask=inside, other=0.0).to(tl.float32)
        C = tl.load(C_ptr + places, mask=inside, other=0.0).to(tl.float32)
        decay = tl.exp(step * A[None, :])
        decays, states = tl.associative_scan((decay, step * u * B[:, None]), 0, _then)
        states += decays * carry[None, :]
        tl.store(starts_ptr + (block * sequences + sequence) * channels + cols, carry, mask=here)
        y = states * C[:, None]
        if HAS_D:
            y += u * tl.load(D_ptr + vector, mask=here, other=0.0).to(tl.float32)[None, :]
        tl.store(y_ptr + at, y, mask=mask)
        last = tl.arange(0, BLOCK_L) == BLOCK_L - 1
        carry = tl.sum(tl.where(last[:, None], states, 0.0), 0)


@triton.jit
def backward(
    u_ptr, delta_ptr, A_ptr, B_ptr, C_ptr, D_ptr, bias_ptr, gy_ptr, starts_ptr,
    gu_ptr, gdelta_ptr, gA_ptr, gB_ptr, gC_ptr, gD_ptr, gbias_ptr, tokens, sequences, batch, channels,
    SOFTPLUS: tl.constexpr, HAS_D: tl.constexpr, HAS_BIAS: tl.constexpr, BLOCKS: tl.constexpr,
    BLOCK_L: tl.constexpr, BLOCK_C: tl.constexpr,
):  # fmt: skip
    """All gradients. Sums over what programs share are left as parts: gA, gD, gbias (S, C), gB, gC (channel blocks, L, S)."""
    sequence, part = tl.program_id(0), tl.program_id(1)
    cols = part * BLOCK_C + tl.arange(0, BLOCK_C)
    here = cols < channels
    vector = (sequence // batch) * channels + cols
    A = tl.load(A_ptr + vector, mask=here, other=0.0).to(tl.float32)
    skip = tl.zeros((BLOCK_C,), tl.float32)
    bias = tl.zeros((BLOCK_C,), tl.float32)
    if HAS_D:
        skip = tl.load(D_ptr + vector, mask=here, other=0.0).to(tl.float32)
    if HAS_BIAS:
        bias = tl.load(bias_ptr + vector, mask=here, other=0.0).to(tl.float32)
    carry = tl.zeros((BLOCK_C,), tl.float32)
    gA = tl.zeros((BLOCK_C,), tl.float32)
    gD = tl.zeros((BLOCK_C,), tl.float32)
    gbias = tl.zeros((BLOCK_C,), tl.float32)
    for back in range(BLOCKS):
        block = BLOCKS - 1 - back
        rows = block * BLOCK_L + tl.arange(0, BLOCK_L)
        inside = rows < tokens
        at = (rows[:, None].to(tl.int64) * sequences + sequence) * channels + cols[None, :]
        mask = inside[:, None] & here[None, :]
        u = tl.load(u_ptr + at, mask=mask, other=0.0).to(tl.float32)
        gy = tl.load(gy_ptr + at, mask=mask, other=0.0).to(tl.float32)
        raw = tl.load(delta_ptr + at, mask=mask, other=0.0).to(tl.float32) + bias[None, :]
        step = tl.where(mask, _step(raw, SOFTPLUS), 0.0)
        places = rows.to(tl.int64) * sequences + sequence
        B = tl.load(B_ptr + places, mask=inside, other=0.0).to(tl.float32)
        C = tl.load(C_ptr + places, mask=inside, other=0.0).to(tl.float32)
        decay = tl.exp(step * A[None, :])
        entry = u * B[:, None]
        start = tl.load(starts_ptr + (block * sequences + sequence) * channels + cols, mask=here, other=0.0)
        decays, states = tl.associative_scan((decay, step * entry), 0, _then)
        states += decays * start[None, :]
        # g_t = C_t gy_t + decay_{t+1} g_{t+1}: the same recurrence from the end, with the decay of the next token
        next_in = mask & (rows[:, None] + 1 < tokens)
        next_at = at + sequences * channels
        next_raw = tl.load(delta_ptr + next_at, mask=next_in, other=0.0).to(tl.float32) + bias[None, :]
        next_decay = tl.where(next_in, tl.exp(_step(next_raw, SOFTPLUS) * A[None, :]), 0.0)
        decays, g = tl.associative_scan((next_decay, gy * C[:, None]), 0, _then, reverse=True)
        g += decays * carry[None, :]
        first = tl.arange(0, BLOCK_L) == 0
        carry = tl.sum(tl.where(first[:, None], g, 0.0), 0)
        before = states - step * entry  # decay_t h_{t-1}
        gstep = g * (before * A[None, :] + entry)
        if SOFTPLUS:
            gstep *= tl.sigmoid(raw)
        gstep = tl.where(mask, gstep, 0.0)
        gA += tl.sum(g * before * step, 0)
        gD += tl.sum(gy * u, 0)
        gbias += tl.sum(gstep, 0)
        shared = (part.to(tl.int64) * tokens + rows) * sequences + sequence
        tl.store(gB_ptr + shared, tl.sum(g * step * u, 1), mask=inside)
        tl.store(gC_ptr + shared, tl.sum(gy * states, 1), mask=inside)
        tl.store(gu_ptr + at, g * step * B[:, None] + gy * skip[None, :], mask=mask)
        tl.store(gdelta_ptr + at, gstep, mask=mask)
    total = sequence * channels + cols
    tl.store(gA_ptr + total, gA, mask=here)
    tl.store(gD_ptr + total, gD, mask=here)
    tl.store(gbias_ptr + total, gbias, mask=here)
