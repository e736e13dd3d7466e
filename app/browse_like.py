"""The images most like one: by cosine in the published embeddings, found in a small sketch and ordered by the whole rows.

The embeddings of a million images fill 768 MB and take most of a second to read through. Their first principal components
fit into memory; the rows that are nearest by them are then compared in full. Columns are standardised first and rows have
length one, as model.neighbours does it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from app import errors, pool_view

Floats = NDArray[np.float32]
KEPT = 48  # components
SAMPLE = 20_000  # rows that the components are found from
BLOCKS = 40  # places of the file where the sample is read
PIECE = 8_192  # rows read at a time
COMPARED = 4_000  # rows compared in full
MOST = 1_000  # images that are told


class Sketch:
    """State with a lifetime: the sketch `of` these embeddings. One thread at a time."""

    def __init__(self, of: pool_view.Embeddings, tell: Callable[[float], None] = lambda share: None) -> None:
        """Read the embeddings once, a piece at a time."""
        self.of, self.image_ids_N = of, of.image_ids_N
        self.rows = Rows(of.embeddings_ND)
        count, width = of.embeddings_ND.shape
        block = max(1, SAMPLE // BLOCKS)
        starts = sorted({int(start) for start in np.linspace(0, max(0, count - block), BLOCKS)})
        sample = np.concatenate([self.rows.piece(start, block) for start in starts])
        spread_D = sample.std(axis=0)
        self.mean_D, self.scale_D = sample.mean(axis=0), 1.0 / np.where(spread_D > 1e-6, spread_D, 1.0)
        like_MD = self._alike(sample)
        _, vectors_DD = np.linalg.eigh(like_MD.T @ like_MD)
        self.basis_DS: Floats = np.ascontiguousarray(vectors_DD[:, ::-1][:, : min(KEPT, width)], np.float32)
        self.sketch_NS: Floats = np.empty((count, self.basis_DS.shape[1]), np.float32)
        for start in range(0, count, PIECE):
            self.sketch_NS[start : start + PIECE] = self._alike(self.rows.piece(start, PIECE)) @ self.basis_DS
            tell(start / count)

    def nearest(self, image_id: int, count: int = MOST) -> list[int]:
        """Ids of the images most like this one, itself first; raises NotFound where it has no embedding yet."""
        at = int(np.searchsorted(self.image_ids_N, image_id))
        if at >= len(self.image_ids_N) or self.image_ids_N[at] != image_id:
            raise errors.NotFound(f"the model has not looked at image {image_id} yet; try again in a while")
        alike_N = self.sketch_NS @ self.sketch_NS[at]
        among = _largest(alike_N, COMPARED)
        alike_M = self._alike(self.rows.at(among)) @ self._alike(self.rows.at([at]))[0]
        alike_M[among == at] = np.inf
        best = among[np.argsort(-alike_M, kind="stable")[:count]]
        return [int(each) for each in self.image_ids_N[best]]

    def _alike(self, rows_MD: Floats) -> Floats:
        """Standardised columns, rows of length one; in place."""
        rows_MD -= self.mean_D
        rows_MD *= self.scale_D
        rows_MD /= np.maximum(np.sqrt(np.einsum("md,md->m", rows_MD, rows_MD))[:, None], 1e-12)
        return rows_MD


def _largest(values_N: Floats, count: int) -> NDArray[np.int64]:
    if count >= len(values_N):
        return np.arange(len(values_N))
    return np.sort(np.argpartition(-values_N, count)[:count])


class Rows:
    """Rows of a mapped .npy file, read and not mapped: pages of a map once touched count as this process's memory."""

    def __init__(self, mapped_ND: NDArray[np.floating]) -> None:
        assert isinstance(mapped_ND, np.memmap)
        self.kind, self.offset = mapped_ND.dtype, int(mapped_ND.offset)
        self.count, self.width = mapped_ND.shape
        self.file = open(str(mapped_ND.filename), "rb", buffering=0)  # noqa: SIM115 (open as long as this lives)

    def __del__(self) -> None:
        self.file.close()

    def piece(self, start: int, count: int) -> Floats:
        """`count` rows from `start`, fewer at the end."""
        return self._read(np.empty((min(count, self.count - start), self.width), self.kind), start).astype(np.float32)

    def at(self, rows: Sequence[int] | NDArray[np.int64]) -> Floats:
        """These rows."""
        out = np.empty((len(rows), self.width), self.kind)
        for into, row in zip(out, rows, strict=True):
            self._read(into, int(row))
        return out.astype(np.float32)

    def _read(self, into: NDArray[np.floating], row: int) -> NDArray[np.floating]:
        self.file.seek(self.offset + row * self.width * self.kind.itemsize)
        self.file.readinto(into.data.cast("B"))
        return into
