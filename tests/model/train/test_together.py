"""A batch in parts gives what it gives in one: shared by two processes of torchrun, or in pieces one after the other."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from model import errors, fitting, precision, together
from tests.model.train import shared

pytestmark = pytest.mark.usefixtures("one_thread")

ROOT = Path(__file__).resolve().parents[3]
SHARED = ("supervised", "raum", "freematch")
ALONE = together.Together()


@pytest.fixture(scope="module")
def whole() -> dict[str, np.ndarray]:
    """Weights that come of whole batches in one process, by method."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    found = {name: shared.run(name, ALONE)[0] for name in SHARED}
    torch.set_num_threads(before)
    return found


def test_two_processes_end_where_one_does(whole: dict[str, np.ndarray], tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    told = {
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "OMP_NUM_THREADS": "1",
    }  # as torchrun tells
    command = [sys.executable, "-m", "tests.model.train.shared", str(tmp_path), shared.NORMS, shared.REFIT, *SHARED]
    processes = [
        subprocess.Popen(command, cwd=ROOT, env={**os.environ, **told, "RANK": rank}, stderr=subprocess.PIPE, text=True)
        for rank in ("0", "1")
    ]
    said = [each.communicate(timeout=200)[1] for each in processes]
    assert [each.returncode for each in processes] == [0, 0], said
    for name in SHARED:
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), whole[name], atol=1e-6, err_msg=name)
    np.testing.assert_allclose(np.load(tmp_path / "norms.npy"), shared.norms(ALONE), rtol=1e-4, atol=1e-5)
    refitted = shared.run("raum", ALONE, **shared.REFITTED)[0]  # by a solver that stops somewhere within 1e-5
    np.testing.assert_allclose(np.load(tmp_path / "refit.npy"), refitted, atol=1e-5)
    assert np.abs(refitted - whole["raum"]).max() > 1e-3


def test_the_methods_end_elsewhere_so_that_the_comparison_says_something(whole: dict[str, np.ndarray]) -> None:
    assert all(np.abs(whole[name] - whole["supervised"]).max() > 1e-3 for name in SHARED[1:])


@pytest.mark.parametrize("method", ["raum", "freematch"])  # the latter has a loss on the whole batch
def test_pieces_one_after_the_other_end_where_the_batch_does(whole: dict[str, np.ndarray], method: str) -> None:
    weights, report = shared.run(method, ALONE, accumulate=4)
    assert report.metrics["pieces"] == 4
    np.testing.assert_allclose(weights, whole[method], atol=1e-6)


def test_half_precision_ends_near() -> None:
    exact, *near = (shared.run("raum", ALONE, precision=name, steps=1)[0] for name in ("fp32", "bf16", "fp16"))
    for weights in near:
        assert 0 < np.abs(weights - exact).max() < 0.01


def test_auto_is_fp32_on_a_cpu_and_unknown_names_are_refused() -> None:
    assert precision.chosen("auto", torch.device("cpu")) == "fp32"
    with pytest.raises(errors.UnknownName, match="did you mean 'bf16'"):
        precision.chosen("bf61", torch.device("cpu"))


@pytest.mark.parametrize(
    ("room", "most", "begin", "found"), [(100, 32, 1, 1), (10, 32, 1, 4), (10, 32, 3, 6), (0, 5, 1, 5), (8, 0, 1, 1)]
)
def test_a_batch_is_halved_until_it_fits(room: int, most: int, begin: int, found: int) -> None:
    assert fitting.pieces(lambda count: count <= room, most, begin=begin) == found


def test_more_processes_than_images_and_pieces_that_are_none_are_refused() -> None:
    several = together.Together(0, 8)
    with pytest.raises(errors.BadConfig, match="a batch of 5 images for 8 processes; start at most 5"):
        shared.run("raum", several)
    with pytest.raises(errors.BadConfig, match="accumulate is 0"):
        shared.run("supervised", ALONE, accumulate=0)


def test_parts_are_whole_and_in_order() -> None:
    for total in (0, 1, 5, 12):
        parts = [together.Together(rank, 3).part(total, piece, 2) for rank in range(3) for piece in range(2)]
        assert [row for part in parts for row in range(part.start, part.stop)] == list(range(total))


def test_on_a_gpu_half_precision_is_taken_and_a_batch_that_fits_stays_whole() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU here: bf16 by default, and pieces by its memory, are not tried")
    device = torch.device("cuda")
    assert precision.chosen("auto", device) in ("bf16", "fp16")
    weights, report = shared.run("raum", ALONE, device="cuda")
    assert report.metrics["pieces"] == 1
    assert np.isfinite(weights).all()
