"""FAISS on a GPU, where there is one and a short trial finds it faster than the CPU; its temporary memory is capped.

What is said below of FAISS's memory, limits and threads is from its source (faiss/gpu: StandardGpuResources.cpp,
GpuDistance.h, impl/Distance.cu, impl/DistanceUtils.cuh) and its wiki ("Threads and asynchronous calls"). A card too full
for a search raises RuntimeError; most other errors of CUDA end the process.
"""

from __future__ import annotations

import dataclasses
import functools
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from model.faiss_kernels import faiss

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

TEMPORARY = 256 * 2**20  # bytes that FAISS keeps, where it would keep 1.5 GiB beside a network in training; what does
# not fit (distances of one piece, 1 GiB at most) it takes while it searches and gives back
RESIDENT = 2**30  # bytes of rows on the card at once: longer arrays pass in pieces
MOST_NEIGHBOURS = 2048  # that FAISS finds on a GPU; asked for more it ends the process
TRIAL = (2000, 20_000, 128)  # queries, rows, dimensions

alone = threading.Lock()  # FAISS's memory on a card serves one thread at a time


@dataclasses.dataclass(frozen=True)
class Choice:
    """Seconds of one search on either; `gpu_s` None where no GPU can be used, `why` then says so."""

    cpu_s: float | None
    gpu_s: float | None
    why: str = ""

    @property
    def gpu(self) -> bool:
        return self.cpu_s is not None and self.gpu_s is not None and self.gpu_s < self.cpu_s

    def __str__(self) -> str:
        if self.gpu_s is None or self.cpu_s is None:
            return f"CPU ({self.why})"
        return f"{'GPU' if self.gpu else 'CPU'} (a trial took {self.cpu_s:.3f} s on the CPU, {self.gpu_s:.3f} s on the GPU)"


@functools.cache
def choice() -> Choice:
    """Measured once in a process."""
    if not hasattr(faiss, "StandardGpuResources"):
        return Choice(None, None, "this build of faiss has no GPU part")
    if not faiss.get_num_gpus():
        return Choice(None, None, "faiss finds no GPU")
    rng = np.random.default_rng(0)
    queries, rows, dimensions = TRIAL
    query_MD, x_ND = (rng.standard_normal((n, dimensions), dtype=np.float32) for n in (queries, rows))
    try:
        nearest(query_MD, x_ND, 10)  # the first call prepares the card
        gpu_s = _seconds(lambda: nearest(query_MD, x_ND, 10))
    except RuntimeError as problem:  # a full card
        return Choice(None, None, f"the GPU failed a trial: {problem}".splitlines()[0])
    return Choice(_seconds(lambda: faiss.knn(query_MD, x_ND, 10)), gpu_s)


def told() -> str:
    """Which FAISS answers in this process, and why."""
    return f"faiss {faiss.__version__} on the {choice()}"


@functools.cache
def resources() -> Any:
    """FAISS's memory on the card, shared by all calls of this process."""
    held = faiss.StandardGpuResources()
    held.setTempMemory(TEMPORARY)
    return held


def nearest(query_MD: Floats, reference_ND: Floats, count: int) -> tuple[Floats, Ints]:
    """As `faiss.knn`, of at least one query; FAISS cuts into pieces only what is in main memory, row after row."""
    with alone:
        return faiss.knn_gpu(  # type: ignore[no-any-return, unused-ignore]
            resources(), query_MD, reference_ND, count, vectorsMemoryLimit=RESIDENT, queriesMemoryLimit=TEMPORARY
        )


def flat_index(dimensions: int) -> Any:
    """An exact index on the card, for k-means; its user holds `alone`."""
    return faiss.GpuIndexFlatL2(resources(), dimensions)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
