"""The compiled scans: against the plain fp64 judge, forward and gradients; chosen where numba is, refused where not."""

from __future__ import annotations

from concurrent import futures

import pytest
import torch
from torch import Tensor

from model import errors
from model.network import compiled_scan, cross_scan, vmamba

needs_numba = pytest.mark.skipif(not compiled_scan.available(), reason="numba is not installed")
NAMES = ("z_BHWD", "x_proj_KED", "dt_proj_KDR", "dt_bias_KD", "A_logs", "Ds")


def problem(batch: int, height: int, width: int, channels: int, rank: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(batch + channels)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    return {
        "z_BHWD": draw(batch, height, width, channels),
        "x_proj_KED": draw(4, rank + 2, channels) * channels**-0.5,
        "dt_proj_KDR": draw(4, channels, rank),
        "dt_bias_KD": draw(4, channels) - 1,
        "A_logs": draw(4 * channels, 1),
        "Ds": draw(4 * channels),
    }


def answer(inputs: dict[str, Tensor], backend: str, *, wide: bool) -> list[Tensor]:
    """The output and every gradient of a weighted sum of it."""
    leaves = {n: (t.double() if wide else t).clone().requires_grad_() for n, t in inputs.items()}
    y = cross_scan.scan(**leaves, backend=backend)
    weight = torch.randn(y.shape, generator=torch.Generator().manual_seed(1)).to(y)
    return [y.detach(), *torch.autograd.grad((y * weight).sum(), list(leaves.values()))]


@needs_numba
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("shape", [(1, 5, 7, 40, 3), (5, 3, 2, 9, 1), (1, 1, 1, 1, 1), (2, 6, 6, 33, 4)])
def test_forward_and_gradients_equal_the_judge(shape: tuple[int, ...], threads: int) -> None:
    inputs, before = problem(*shape), torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        got = answer(inputs, "compiled", wide=False)
    finally:
        torch.set_num_threads(before)
    want = answer(inputs, "reference", wide=True)
    for name, ours, judge in zip(("y", *NAMES), got, want, strict=True):
        limit = 2e-5 * float(judge.abs().max())
        torch.testing.assert_close(ours.double(), judge, rtol=1e-4, atol=limit, msg=lambda text, n=name: f"{n}: {text}")


@needs_numba
def test_steps_and_decays_are_exact_for_extreme_numbers() -> None:
    raw_D = torch.tensor([-200.0, -87.5, -30.0, -8.0, -1e-3, 0.0, 1e-3, 0.5, 19.0, 88.0, 1e4])
    one, none = torch.ones(1, 2, len(raw_D)), torch.zeros(4, 1, len(raw_D))
    projected = torch.zeros(1, 2, 4, 3)
    projected[:, :, 0, 1:] = 1.0  # B = C = 1 in the first direction, nothing in the others
    for size in (1e-6, 0.3, 1.0, 40.0):
        A = torch.full((4, len(raw_D)), -size)
        y = compiled_scan.scan(one, projected, none, raw_D.expand(4, -1), A, width=2)[0].double()
        step = torch.logaddexp(raw_D.double(), torch.zeros(len(raw_D), dtype=torch.float64))
        torch.testing.assert_close(y[0], step, rtol=5e-7, atol=1e-37)
        decay = torch.exp(-size * step)
        torch.testing.assert_close(y[1], decay * step + step, rtol=1e-6, atol=1e-30)


@needs_numba
@pytest.mark.parametrize("name", ["z_BHWD", "dt_proj_KDR", "dt_bias_KD", "A_logs"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_never_hidden(name: str, value: float) -> None:
    inputs = problem(1, 3, 3, 24, 2)
    inputs[name].view(-1)[0] = value
    got, judge = (cross_scan.scan(**inputs, backend=backend) for backend in ("compiled", "loop"))
    assert not judge.isfinite().all() or (name, value) == ("A_logs", float("inf"))
    assert not (got.isfinite() & ~judge.isfinite()).any()


@needs_numba
def test_two_threads_may_scan_at_once() -> None:
    inputs = problem(4, 8, 8, 32, 2)
    want = cross_scan.scan(**inputs, backend="compiled")
    with futures.ThreadPoolExecutor(4) as people:
        for got in people.map(lambda _: cross_scan.scan(**inputs, backend="compiled"), range(40)):
            assert torch.equal(got, want)


@needs_numba
def test_half_precision_is_computed_wide() -> None:
    inputs = {name: tensor.bfloat16() for name, tensor in problem(2, 4, 4, 16, 2).items()}
    y = cross_scan.scan(**inputs, backend="compiled")
    assert y.dtype == torch.float32
    want = cross_scan.scan(**{name: tensor.double() for name, tensor in inputs.items()}, backend="reference")
    torch.testing.assert_close(y.double(), want, rtol=0.05, atol=0.05)


@needs_numba
def test_the_compiled_scan_is_the_cpus_own_and_wide_numbers_take_the_loop() -> None:
    assert cross_scan.chosen_backend("cpu") == "compiled"
    inputs = {name: tensor.double() for name, tensor in problem(1, 3, 4, 5, 2).items()}
    got = cross_scan.scan(**inputs)
    assert got.dtype == torch.float64
    torch.testing.assert_close(got, cross_scan.scan(**inputs, backend="reference"), rtol=1e-10, atol=1e-10)
    with pytest.raises(errors.BackendUnavailable, match="float64"):
        cross_scan.scan(**inputs, backend="compiled")


def test_without_numba_the_loop_is_chosen_and_the_compiled_scan_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_scan, "available", lambda: False)
    assert cross_scan.chosen_backend("cpu") == "loop"
    inputs = problem(1, 3, 3, 4, 1)
    torch.testing.assert_close(cross_scan.scan(**inputs), cross_scan.scan(**inputs, backend="loop"))
    with pytest.raises(errors.BackendUnavailable, match="import numba fails"):
        cross_scan.scan(**inputs, backend="compiled")


def test_backends_agree_inside_the_network() -> None:
    net = vmamba.build("vmamba_nano", num_classes=5)
    image = torch.randn(2, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    answers = {}
    for backend in ("loop", "two_level", "reference", *(["compiled"] if compiled_scan.available() else [])):
        for module in net.modules():
            if isinstance(module, vmamba.SS2D):
                module.backend = backend
        answers[backend] = net(image)
    for backend in answers:
        torch.testing.assert_close(answers[backend], answers["reference"], rtol=1e-4, atol=1e-5)
