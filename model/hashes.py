"""Perceptual hashes near each other, found by FAISS: exact, whatever the order they came in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model import neighbours
from model.faiss_kernels import faiss

Hashes = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]

BITS = 64
CHUNK = 1000  # hashes asked about at once, so that the answers of a pool of copies stay small


class Near:
    """Hashes by position, in the order they were added; finds those at most `reach` bits (1 to 31) from others.

    Two hashes that differ in `reach` bits agree in at least one of reach + 1 bands, so in each band FAISS compares with
    those that agree there only (multi-index hashing; Norouzi, Punjani and Fleet, CVPR 2012). FAISS's IndexBinaryHash
    knows one band, the first bits, and keeps the hashes of a bucket side by side: one of it for each band, over hashes
    rotated to begin there, takes a twentieth of the time of its IndexBinaryMultiHash (measured with a million).
    """

    def __init__(self, reach: int) -> None:
        self.reach = reach
        self._width = BITS // (reach + 1)
        self._bands = [faiss.IndexBinaryHash(BITS, self._width) for _ in range(reach + 1)]

    def __len__(self) -> int:
        return int(self._bands[0].ntotal)

    def add(self, hashes_N: Hashes) -> None:
        """Append hashes; the first gets position len(self)."""
        for band, index in enumerate(self._bands):
            index.add(self._codes(hashes_N, band))

    def pairs(self, hashes_M: Hashes) -> tuple[Ints, Ints]:
        """Rows of `hashes_M` and positions within reach of them, one entry for each pair, by row and position."""
        starts = range(0, len(hashes_M), CHUNK)
        found = [self._pairs(hashes_M[start : start + CHUNK], start) for start in starts] or [np.empty(0, np.int64)]
        rows, positions = np.divmod(np.concatenate(found), max(len(self), 1))
        return rows, positions

    def _pairs(self, hashes_M: Hashes, start: int) -> Ints:
        """Each pair once, as one ascending number: row x len(self) + position."""
        found = []
        with neighbours.threads_for(0.0):
            for band, index in enumerate(self._bands):
                ends, _, positions = index.range_search(self._codes(hashes_M, band), self.reach + 1)  # nearer than
                rows = np.repeat(np.arange(start, start + len(hashes_M)), np.diff(ends).astype(np.int64))
                found.append(rows * len(self) + positions)
        return np.unique(np.concatenate(found))

    def _codes(self, hashes_N: Hashes, band: int) -> npt.NDArray[np.uint8]:
        """The hashes as FAISS takes them, rotated so that the band's bits come first."""
        by, all_N = band * self._width, np.ascontiguousarray(hashes_N, dtype="<u8")
        rotated_N = (all_N >> np.uint64(by)) | (all_N << np.uint64(BITS - by)) if by else all_N
        return rotated_N.view(np.uint8).reshape(-1, BITS // 8)
