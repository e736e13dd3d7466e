"""The selective scan: every backend against the plain fp64 judge, forward and gradients."""

from __future__ import annotations

import pytest
import torch

from model import errors
from model.network import selective_scan

FAST = ["loop", "two_level"]
NAMES = ("u", "delta", "A", "B", "C", "D", "delta_bias")


def problem(batch=2, groups=4, channels=3, length=11, states=1, seed=0, dtype=torch.float64):
    """Random inputs in the public layout."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    dim = groups * channels
    return {
        "u": draw(batch, dim, length),
        "delta": draw(batch, dim, length),
        "A": -draw(dim, states).exp(),
        "B": draw(batch, groups, states, length),
        "C": draw(batch, groups, states, length),
        "D": draw(dim),
        "delta_bias": draw(dim),
    }


@pytest.mark.parametrize("backend", FAST)
@pytest.mark.parametrize(("length", "states", "softplus"), [(1, 1, True), (2, 1, True), (11, 3, True), (50, 1, False)])
def test_forward_and_gradients_equal_the_judge(backend, length, states, softplus):
    inputs = problem(length=length, states=states)
    if not softplus:
        inputs["delta"] = inputs["delta"].abs()
        inputs["delta_bias"] = inputs["delta_bias"].abs()
    leaves = {name: tensor.requires_grad_() for name, tensor in inputs.items()}
    want = selective_scan.selective_scan_reference(**leaves, delta_softplus=softplus)
    got = selective_scan.selective_scan(**leaves, delta_softplus=softplus, backend=backend)
    torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-10)
    weight = torch.randn(want.shape, dtype=want.dtype, generator=torch.Generator().manual_seed(1))
    want_grads = torch.autograd.grad((want * weight).sum(), list(leaves.values()))
    got_grads = torch.autograd.grad((got * weight).sum(), list(leaves.values()))
    for name, want_grad, got_grad in zip(NAMES, want_grads, got_grads, strict=True):
        torch.testing.assert_close(got_grad, want_grad, rtol=1e-9, atol=1e-9, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.parametrize("backend", FAST)
def test_gradcheck(backend):
    inputs = problem(batch=1, groups=2, channels=2, length=5, states=2)
    leaves = tuple(inputs[name].requires_grad_() for name in NAMES)
    assert torch.autograd.gradcheck(
        lambda *args: selective_scan.selective_scan(*args, delta_softplus=True, backend=backend), leaves
    )


@pytest.mark.parametrize("backend", FAST)
def test_single_precision_stays_close_over_a_long_sequence(backend):
    inputs = problem(length=600, dtype=torch.float32, channels=8)
    want = selective_scan.selective_scan_reference(**inputs, delta_softplus=True)
    got = selective_scan.selective_scan(**inputs, delta_softplus=True, backend=backend)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("largest", [79.0, 1e4])
def test_softplus_is_exact_for_extreme_steps(largest):
    raw = torch.tensor([-80.0, -30.0, -8.0, 0.0, 19.0, 21.0, largest])
    want = torch.logaddexp(raw.double(), torch.zeros(7, dtype=torch.float64))
    torch.testing.assert_close(selective_scan._softplus(raw).double(), want, rtol=3e-7, atol=0)


def test_ungrouped_and_optional_arguments():
    inputs = problem(groups=1, channels=6)
    bare = {name: inputs[name] for name in ("u", "delta", "A")}
    flat = {name: inputs[name].squeeze(1) for name in ("B", "C")}
    want = selective_scan.selective_scan_reference(**bare, **flat)
    torch.testing.assert_close(selective_scan.selective_scan(**bare, **flat), want)


def test_half_precision_is_computed_wide_and_returned_narrow():
    inputs = {name: tensor.bfloat16() for name, tensor in problem(length=40).items()}
    want = selective_scan.selective_scan_reference(**{n: t.double() for n, t in inputs.items()}, delta_softplus=True)
    got = selective_scan.selective_scan(**inputs, delta_softplus=True)
    assert got.dtype == torch.bfloat16
    torch.testing.assert_close(got.double(), want, rtol=1e-2, atol=1e-2)


def test_the_backend_is_told_and_never_swapped_silently():
    assert selective_scan.chosen_backend("cpu") == "loop"
    inputs = problem()
    with pytest.raises(errors.BackendUnavailable, match=r"mamba_ssm.*cpu"):
        selective_scan.selective_scan(**inputs, backend="mamba_ssm")
    with pytest.raises(errors.UnknownName, match="did you mean 'loop'"):
        selective_scan.selective_scan(**inputs, backend="lop")


def test_wrong_shapes_are_refused_by_name():
    inputs = problem()
    with pytest.raises(errors.BadInput, match="C must be"):
        selective_scan.selective_scan(**{**inputs, "C": inputs["C"][..., :-1]})
    with pytest.raises(errors.BadInput, match="dividing dim"):
        selective_scan.selective_scan(**{**inputs, "B": inputs["B"][:, :1].expand(-1, 5, -1, -1)})
