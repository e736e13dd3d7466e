"""FAISS on a GPU, where there is one and a short trial finds it faster than the CPU; its temporary memory is capped."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

TEMPORARY = 256 * 2**20  # bytes; FAISS would take 18 % of the card, beside a network in training
RESIDENT = 2**30  # bytes of rows on the card at once: longer arrays pass in tiles
MOST_NEIGHBOURS = 2048  # that FAISS finds on a GPU
TRIAL = (2000, 20_000, 128)  # queries, rows, dimensions


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
    except RuntimeError as problem:  # FAISS reports CUDA's errors so: a full card, a driver too old
        return Choice(None, None, f"the GPU failed a trial: {problem}".splitlines()[0])
    return Choice(_seconds(lambda: faiss.knn(query_MD, x_ND, 10)), gpu_s)


@functools.cache
def resources() -> Any:
    """FAISS's memory on the card, shared by all calls of this process."""
    held = faiss.StandardGpuResources()
    held.setTempMemory(TEMPORARY)
    return held


def nearest(query_MD: Floats, reference_ND: Floats, count: int) -> tuple[Floats, Ints]:
    """As `faiss.knn`."""
    return faiss.knn_gpu(  # type: ignore[no-any-return, unused-ignore]
        resources(), query_MD, reference_ND, count, vectorsMemoryLimit=RESIDENT, queriesMemoryLimit=TEMPORARY
    )


def flat_index(dimensions: int) -> Any:
    """An exact index on the card, for k-means."""
    return faiss.GpuIndexFlatL2(resources(), dimensions)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
