"""Long arrays a piece at a time, in as many threads as FAISS may use: scratch memory stays small."""

from __future__ import annotations

from collections.abc import Callable
from concurrent import futures

import faiss

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
    with futures.ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, pieces):  # brings the first error back
            pass
