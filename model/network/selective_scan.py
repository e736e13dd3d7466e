"""Selective scan: h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t, y_t = C_t h_t + D u_t, with one exact backward.

Backends (chosen_backend says which one a device gets; a backend asked for by name runs or raises):
    loop        tokens first, one fused multiply-add per token; the best on CPUs
    two_level   about 3 sqrt(L) launches instead of L; for accelerators without a kernel of their own
    triton      our own kernels for one state, on CUDA where that extension is missing (triton_scan.py)
    mamba_ssm   the CUDA extension of mamba-ssm, where `import selective_scan_cuda` works
    traced      plain operations on whole arrays, for a graph that is written down (traced_scan.py)
    reference   plain and slow, in fp64: the judge of the others

Why one autograd Function: plain autograd through a loop over slices allocates a full-size gradient per token and
costs O(L^2); measured 400 times slower at L = 3136.

Axes: B batch, G groups (scan directions in VMamba), C channels of a group, L tokens, N states.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from model import errors
from model.network import recurrence, traced_scan, triton_scan

BACKENDS = ("loop", "two_level", "triton", "mamba_ssm", "traced", "reference")


def chosen_backend(device: torch.device | str, *, plain: bool = True) -> str:
    """The backend that `selective_scan` uses on this device when none is asked for; `plain`: one state and no fp64."""
    kind = torch.device(device).type
    if kind == "cpu":
        return "loop"
    if kind == "cuda" and has_cuda_extension():
        return "mamba_ssm"
    if kind == "cuda" and plain and triton_scan.available():
        return "triton"
    return "two_level"


@functools.cache
def has_cuda_extension() -> bool:
    """Whether the compiled extension of mamba-ssm is importable: the package alone proves nothing."""
    try:
        importlib.import_module("selective_scan_cuda")
    except ImportError:
        return False
    return True


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    backend: str | None = None,
) -> Tensor:
    """The semantics of mamba_ssm's selective_scan_fn. Output (batch, dim, L) in u's dtype.

    u, delta (batch, dim, L); A (dim, N) real; B, C (batch, N, L), or (batch, G, N, L) where group g serves the
    channels [g dim/G, (g+1) dim/G); D, delta_bias (dim). Half precision is computed in fp32.
    Raises BadInput for shapes that do not fit, BackendUnavailable for a backend that cannot run here.
    """
    plain = A.shape[-1] == 1 and u.dtype != torch.float64
    backend = backend or chosen_backend(u.device, plain=plain)
    B, C = _with_groups(B), _with_groups(C)
    _check(u, delta, A, B, C, D=D, delta_bias=delta_bias)
    require(backend, u.device, plain=plain)
    if backend == "reference":
        return selective_scan_reference(u, delta, A, B, C, D, delta_bias, delta_softplus)
    if backend == "mamba_ssm":
        return _mamba_ssm(u, delta, A, B, C, D, delta_bias, delta_softplus)
    groups = B.shape[1]

    def per_group(vector: Tensor | None) -> Tensor | None:
        return None if vector is None else vector.unflatten(0, (groups, -1))

    y_LGBC = scan_rows(
        u.unflatten(1, (groups, -1)).permute(3, 1, 0, 2),
        delta.unflatten(1, (groups, -1)).permute(3, 1, 0, 2),
        A.unflatten(0, (groups, -1)),
        B.permute(3, 1, 0, 2),
        C.permute(3, 1, 0, 2),
        D=per_group(D),
        delta_bias=per_group(delta_bias),
        delta_softplus=delta_softplus,
        backend=backend,
    )
    return y_LGBC.permute(2, 1, 3, 0).flatten(1, 2).to(u.dtype)


def scan_rows(
    u_LGBC: Tensor,
    delta_LGBC: Tensor,
    A_GCN: Tensor,
    B_LGBN: Tensor,
    C_LGBN: Tensor,
    *,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
    backend: str,
) -> Tensor:
    """The scan in the layout in which it runs: tokens first, so that one step is one contiguous row.

    Any strides are taken; D, delta_bias (G, C). Returns y (L, G, B, C), contiguous, fp32 (fp64 for fp64 input).
    """
    if backend == "triton":
        require(backend, u_LGBC.device, plain=A_GCN.shape[-1] == 1 and u_LGBC.dtype != torch.float64)
        one = A_GCN[..., 0], B_LGBN[..., 0], C_LGBN[..., 0]
        return triton_scan.scan(u_LGBC, delta_LGBC, *one, D, delta_bias, delta_softplus)
    wide = torch.float64 if u_LGBC.dtype == torch.float64 else torch.float32
    tensors = (u_LGBC, delta_LGBC, A_GCN, B_LGBN, C_LGBN, D, delta_bias)
    keep = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    with torch.autocast(u_LGBC.device.type, enabled=False):
        taken = [None if t is None else t.to(wide) for t in tensors]
        if backend == "traced":
            return traced_scan.scan(*taken, delta_softplus)
        return _Scan.apply(*taken, delta_softplus, backend, keep)


def selective_scan_reference(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
) -> Tensor:
    """The definition, token by token in fp64 with plain autograd: slow, and the judge of every backend."""
    dtype, channels = u.dtype, u.shape[1]
    u, delta, A, B, C = (t.double() for t in (u, delta, A, _with_groups(B), _with_groups(C)))
    B, C = (t.repeat_interleave(channels // t.shape[1], dim=1) for t in (B, C))
    if delta_bias is not None:
        delta = delta + delta_bias.double()[:, None]
    if delta_softplus:
        delta = F.softplus(delta)
    state, outputs = torch.zeros_like(B[..., 0]), []
    tokens = (t.unbind(-1) for t in (u, delta, B, C))
    for step_u, step_delta, step_B, step_C in zip(*tokens, strict=True):
        decay = torch.exp(step_delta[..., None] * A)
        state = decay * state + (step_delta * step_u)[..., None] * step_B
        outputs.append((state * step_C).sum(-1))
    y = torch.stack(outputs, dim=-1)
    if D is not None:
        y = y + D.double()[:, None] * u
    return y.to(dtype)


class _Scan(torch.autograd.Function):
    """Forward and exact backward around one linear recurrence in each direction; loops over the N states."""

    @staticmethod
    def forward(ctx: Any, u, delta, A, B, C, D, bias, softplus: bool, backend: str, keep: bool) -> Tensor:
        recur = recurrence.RECURRENCES[backend]
        raw = delta if bias is None else delta + bias[:, None]
        step = _softplus(raw) if softplus else raw
        y = None if D is None else _rows(u, D[:, None])
        decays, states = [], []
        for n in range(A.shape[-1]):
            decay = _rows(step, A[:, None, :, n]).exp_()
            state = recur(decay, _rows(u, B[..., n : n + 1]).mul_(step))
            y = _accumulate(y, state, C[..., n : n + 1], reuse=not keep)
            if keep:
                decays.append(decay)
                states.append(state)
        if keep:
            ctx.softplus, ctx.backend, ctx.states = softplus, backend, len(states)
            ctx.save_for_backward(u, raw, step, A, B, C, D, bias, *decays, *states)
        return y

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gy: Tensor) -> tuple[Tensor | None, ...]:
        u, raw, step, A, B, C, D, bias, *kept = ctx.saved_tensors
        decays, states = kept[: ctx.states], kept[ctx.states :]
        g_u = None if D is None else _rows(gy, D[:, None])
        g_step: Tensor | None = None
        g_A, g_B, g_C = torch.empty_like(A), torch.empty_like(B), torch.empty_like(C)
        product = torch.empty(gy.shape, dtype=gy.dtype, device=gy.device)
        for n, (decay, state) in enumerate(zip(decays, states, strict=True)):
            B_n, A_n = B[..., n : n + 1], A[:, None, :, n]
            g = recurrence.RECURRENCES[ctx.backend](decay, _rows(gy, C[..., n : n + 1]), reverse=True)
            g_C[..., n] = torch.mul(gy, state, out=product).sum(-1)
            entry = _rows(u, B_n)
            g_decay = torch.addcmul(state, entry, step, value=-1).mul_(g)  # a_t h_{t-1} g_t without dividing by a_t
            g_A[..., n] = torch.mul(g_decay, step, out=product).sum((0, 2))
            g_step = _accumulate(g_step, entry.mul_(g), None).addcmul_(g_decay, A_n)
            g_entry = g.mul_(step)
            g_B[..., n] = torch.mul(g_entry, u, out=product).sum(-1)
            g_u = _accumulate(g_u, g_entry, B_n, reuse=True)
        if ctx.softplus:
            g_step.mul_(torch.sigmoid(raw))
        g_D = None if D is None else torch.mul(gy, u, out=product).sum((0, 2))
        g_bias = None if bias is None else g_step.sum((0, 2))
        return g_u, g_step, g_A, g_B, g_C, g_D, g_bias, None, None, None


def _rows(tensor: Tensor, factor: Tensor) -> Tensor:
    """The product in a new (L, G, B, C) tensor that is contiguous whatever the strides of what goes in."""
    product = torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device)
    return torch.mul(tensor, factor, out=product)


def _accumulate(total: Tensor | None, tensor: Tensor, factor: Tensor | None, *, reuse: bool = False) -> Tensor:
    """total + tensor factor, in place; the first term becomes the total (`reuse`: written over the tensor)."""
    if total is None:
        if factor is None:
            return tensor
        return tensor.mul_(factor) if reuse else _rows(tensor, factor)
    return total.add_(tensor) if factor is None else total.addcmul_(tensor, factor)


def _softplus(raw: Tensor) -> Tensor:
    """log(1 + exp(raw)); torch's own CPU kernel is several times slower than these two passes."""
    if raw.device.type != "cpu" or raw.amax() > 80.0:  # exp would overflow
        return F.softplus(raw)
    return torch.exp(raw).log1p_()


def _with_groups(tensor: Tensor) -> Tensor:
    return tensor.unsqueeze(1) if tensor.dim() == 3 else tensor


def require(backend: str, device: torch.device, *, plain: bool = True) -> None:
    """Raise unless this backend exists and can run on this device; `plain`: one state and no fp64."""
    if backend not in BACKENDS:
        raise errors.UnknownName("scan backend", backend, BACKENDS)
    if backend == "mamba_ssm" and (device.type != "cuda" or not has_cuda_extension()):
        raise errors.BackendUnavailable(
            f"the scan backend 'mamba_ssm' needs CUDA tensors (these are on {device.type}) and its compiled extension "
            f"(import selective_scan_cuda {'works' if has_cuda_extension() else 'fails'}); "
            f"use backend={chosen_backend(device)!r}"
        )
    if backend == "triton" and not (triton_scan.runs_on(device) and plain):
        raise errors.BackendUnavailable(
            f"the scan backend 'triton' needs CUDA tensors (these are on {device.type}), triton (import triton "
            f"{'works' if triton_scan.available() else 'fails'}), one state and no fp64; "
            f"use backend={chosen_backend(device, plain=plain)!r}"
        )


def _mamba_ssm(u, delta, A, B, C, D, delta_bias, delta_softplus: bool) -> Tensor:
    """The kernel wants one dtype for u, delta, B and C, fp32 for the rest, and a last stride of 1."""
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn  # heavy, and only on CUDA

    u, delta, B, C = (t.to(u.dtype).contiguous() for t in (u, delta, B, C))
    A, D, bias = (None if t is None else t.float().contiguous() for t in (A, D, delta_bias))
    with torch.autocast("cuda", enabled=False):
        return selective_scan_fn(u, delta, A, B, C, D=D, delta_bias=bias, delta_softplus=delta_softplus)


def _check(u, delta, A, B, C, *, D: Tensor | None, delta_bias: Tensor | None) -> None:
    """Refuse shapes that do not fit, by name."""
    if u.dim() != 3 or 0 in u.shape:
        raise errors.BadInput(f"u must be (batch, dim, L), none of them 0, but is {tuple(u.shape)}")
    batch, dim, length = u.shape
    if A.dim() != 2 or A.is_complex():
        raise errors.BadInput(f"A must be real and (dim, N), but is {A.dtype} {tuple(A.shape)}")
    groups = B.shape[1] if B.dim() == 4 else 0
    if groups == 0 or dim % groups:
        raise errors.BadInput(f"B {tuple(B.shape)} must be (batch, G, N, L) with G dividing dim {dim}")
    wanted = {
        "delta": (delta, (batch, dim, length)),
        "A": (A, (dim, A.shape[1])),
        "B": (B, (batch, groups, A.shape[1], length)),
        "C": (C, (batch, groups, A.shape[1], length)),
        "D": (D, (dim,)),
        "delta_bias": (delta_bias, (dim,)),
    }
    for name, (tensor, shape) in wanted.items():
        if tensor is not None and tuple(tensor.shape) != shape:
            raise errors.BadInput(f"{name} must be {shape} to fit u {tuple(u.shape)}, but is {tuple(tensor.shape)}")
