"""Long arrays a piece at a time, in as many threads as FAISS may use: scratch memory stays small."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import threadpoolctl

from model.faiss_kernels import faiss

VALUES = 250_000  # of one piece: its scratch fits a core's cache
WORTH_THREADS = 4  # pieces; on a busy machine a thread may take longer to start than these to compute


def slices(rows: int, width: int) -> list[slice]:
    """Pieces of `rows` rows of `width` values, none with more than about VALUES of them."""
    step = max(1, VALUES // max(1, width))
    return [slice(at, min(at + step, rows)) for at in range(0, rows, step)]


def each(work: Callable[[slice], None], rows: int, width: int) -> None:
    """`work` on every piece; it writes to places of its own. NumPy lets go of Python's lock, so threads help."""
    pieces = slices(rows, width)
    threads = min(len(pieces), faiss.omp_get_max_threads())
    if threads < 2 or len(pieces) < WORTH_THREADS:
        for piece in pieces:
            work(piece)
        return
    with _ONE_EACH(), futures.ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, pieces):  # brings the first error back
            pass


class _OneThreadEach:
    """Matrix products in one thread while pieces have threads of their own; calls may overlap and nest.

    Threads of the BLAS library and of ours that wait for each other took twice as long as either alone.
    """

    def __init__(self) -> None:
        self.lock, self.inside = threading.Lock(), 0
        self.limit: Any = None

    @functools.cached_property
    def libraries(self) -> Any:
        """Looked for once: it takes longer than most of the work does."""
        return threadpoolctl.ThreadpoolController().select(user_api="blas")

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self.lock:
            self.inside += 1
            if self.inside == 1:
                self.limit = self.libraries.limit(limits=1)
        try:
            yield
        finally:
            with self.lock:
                self.inside -= 1
                if not self.inside:
                    self.limit.restore_original_limits()


_ONE_EACH = _OneThreadEach()
