"""The Triton kernels against the plain fp64 judge: on CUDA, or on the CPU under Triton's interpreter."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from model import errors
from model.network import selective_scan, triton_scan

# The interpreter is chosen when the kernels are imported, so the CPU's check runs in a process of its own.
CHECK = """
import torch
from model.network import selective_scan
device = {device!r}
for length, groups, channels, optional in ((70, 2, 3, True), (3, 1, 33, False)):
    generator = torch.Generator().manual_seed(length)
    draw = lambda *shape: torch.randn(*shape, generator=generator).to(device)
    dim = groups * channels
    inputs = dict(u=draw(2, dim, length), delta=2 * draw(2, dim, length), A=-draw(dim, 1).exp(),
        B=draw(2, groups, 1, length), C=draw(2, groups, 1, length))
    if optional:
        inputs |= dict(D=draw(dim), delta_bias=draw(dim))
    leaves = [tensor.requires_grad_() for tensor in inputs.values()]
    wide = {{name: tensor.detach().double().requires_grad_() for name, tensor in inputs.items()}}
    got = selective_scan.selective_scan(**inputs, delta_softplus=optional, backend="triton")
    want = selective_scan.selective_scan_reference(**wide, delta_softplus=optional)
    torch.testing.assert_close(got.double(), want, rtol=1e-4, atol=1e-4)
    weight = draw(*want.shape)
    grads = torch.autograd.grad((got * weight).sum(), leaves)
    judged = torch.autograd.grad((want * weight).sum(), list(wide.values()))
    for name, grad, right in zip(inputs, grads, judged):
        scale = right.abs().max()
        assert (grad - right).abs().max() < 1e-4 * scale, name
print("checked")
"""


@pytest.mark.skipif(not triton_scan.available(), reason="triton is not installed")
def test_forward_and_gradients_equal_the_judge_under_the_interpreter():
    env = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run([sys.executable, "-c", CHECK.format(device="cpu")], env=env, capture_output=True, text=True)
    assert done.stdout.strip() == "checked", done.stderr[-2000:]


@pytest.mark.skipif(not (torch.cuda.is_available() and triton_scan.available()), reason="needs CUDA and triton")
def test_forward_and_gradients_equal_the_judge_on_a_gpu():
    exec(CHECK.format(device="cuda"), {})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_gpu_without_the_extension_takes_triton(monkeypatch):
    monkeypatch.setattr(selective_scan, "has_cuda_extension", lambda: False)
    assert selective_scan.chosen_backend("cuda") == ("triton" if triton_scan.available() else "two_level")


def test_without_a_gpu_it_is_refused_by_name_and_never_replaced(monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    row = torch.zeros(1, 1, 1)
    with pytest.raises(errors.BackendUnavailable, match=r"triton.*CUDA.*use backend='loop'"):
        selective_scan.selective_scan(row, row, torch.zeros(1, 1), row, row, backend="triton")


def test_what_the_kernels_cannot_take_goes_elsewhere(monkeypatch):
    monkeypatch.setattr(triton_scan, "available", lambda: True)
    monkeypatch.setattr(selective_scan, "has_cuda_extension", lambda: False)
    assert selective_scan.chosen_backend("cuda") == "triton"
    assert selective_scan.chosen_backend("cuda", plain=False) == "two_level"
