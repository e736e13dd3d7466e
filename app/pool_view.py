"""What the newest publication says of the whole pool, for the page process: memory-mapped arrays, NumPy only.

Reads predictions/<publication>/ (24 bytes an image, see app/predictions.py) and embeddings/<network>/ without copying
them, so that a million images cost the page a few pages of disk cache. Files are written whole and renamed; a view goes
on reading what it has opened, also after the worker has removed it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import predictions
from store.records import Publication

Ints = NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """Parallel arrays over all embedded images, holdout and labelled ones included; `image_ids_N` ascends.

    `publication` is the one that left these predictions, `top_class_N` holds class ids, `confidence_N` the calibrated
    probability of that class, `out_of_class_N` the probability that no class fits and `bad_image_N` that of a bad picture
    (0..1, float32; None where nothing is known of it). `meta` as in app/predictions.py:
    kind, round, checkpoint, embeddings, watermark, labels, class_ids, created_at.
    """

    publication: int
    image_ids_N: Ints
    top_class_N: NDArray[np.int32]
    confidence_N: NDArray[np.float32]
    out_of_class_N: NDArray[np.float32]
    meta: dict[str, Any]
    bad_image_N: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.image_ids_N)

    @functools.cached_property
    def score_N(self) -> NDArray[np.float32]:
        """How safe the top class is, as app/predictions.py says. Kept in memory."""
        return predictions.safe(self.confidence_N, self.out_of_class_N, self.bad_image_N)

    def rows_of(self, image_ids: Ints | list[int]) -> Ints:
        """The row of each image, -1 where it is not in the view."""
        wanted = np.asarray(image_ids, dtype=np.int64)
        if not len(self):
            return np.full(wanted.shape, -1, np.int64)
        at = np.minimum(np.searchsorted(self.image_ids_N, wanted), len(self) - 1)
        return np.where(self.image_ids_N[at] == wanted, at, -1)

    def best_first(self, class_id: int) -> Ints:
        """Rows whose top class this is, the safest first; sorted once for each class."""
        kept: dict[int, Ints] = self._orders
        if class_id not in kept:
            rows = np.flatnonzero(self.top_class_N == class_id)
            kept[class_id] = rows[np.argsort(-self.score_N[rows], kind="stable")]
        return kept[class_id]

    @functools.cached_property
    def _orders(self) -> dict[int, Ints]:
        return {}


@dataclasses.dataclass(frozen=True, eq=False)
class Embeddings:
    """`embeddings_ND` is float16 on disk, row by row the images of `image_ids_N` (ascending)."""

    image_ids_N: Ints
    embeddings_ND: NDArray[np.float16]


class Reader:
    """Keeps the newest view and embeddings of one workspace open; safe to call from many threads."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self._lock = threading.Lock()
        self._view: View | None = None
        self._embeddings: tuple[str, Embeddings] | None = None

    def view(self, shown: Publication | None) -> View | None:
        """The predictions of the publication that is shown, or for the moment until they are written those of the one
        before it on the same network; None at cold start or when the files cannot be read."""
        if shown is None or shown.kind == "cold":
            return None
        with self._lock:
            if self._view is None or self._view.publication != shown.id:
                self._view = self._newest(shown)
            return self._view

    def embeddings(self, shown: Publication | None) -> Embeddings | None:
        """Every image's embedding by the network that is shown; None before there are any."""
        if shown is None or shown.embeddings is None:
            return None
        folder = self.workspace / shown.embeddings
        with self._lock:
            mark = f"{shown.embeddings} {_changed(folder / 'meta.json')}"
            if self._embeddings is None or self._embeddings[0] != mark:
                found = _open_embeddings(folder)
                self._embeddings = None if found is None else (mark, found)
            return None if self._embeddings is None else self._embeddings[1]

    def _newest(self, shown: Publication) -> View | None:
        for publication in predictions.published(self.workspace):
            if publication > shown.id:
                continue
            known = self._view if self._view is not None and self._view.publication == publication else None
            found = known or _open_view(self.workspace, publication)
            if found is not None and _same_network(found.meta, shown):
                return found
        return None


def _same_network(meta: dict[str, Any], shown: Publication) -> bool:
    """Two untrained networks differ by their embeddings alone."""
    names = (meta.get("checkpoint"), meta.get("embeddings", shown.embeddings))
    return names == (shown.checkpoint, shown.embeddings)


def _open_view(workspace: Path, publication: int) -> View | None:
    place = predictions.folder(workspace, publication)
    try:
        meta = json.loads((place / "meta.json").read_text(encoding="utf-8"))
        arrays = [np.load(place / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in predictions.ARRAYS]
        bad = place / predictions.BAD
        bad_N = np.load(bad, mmap_mode="r", allow_pickle=False) if bad.exists() else None
    except (OSError, ValueError, EOFError):
        return None
    fits = all(a.dtype == kind and a.ndim == 1 for a, kind in zip(arrays, predictions.ARRAYS.values(), strict=True))
    if not fits or len({len(array) for array in arrays}) != 1 or not isinstance(meta, dict):
        return None
    if bad_N is not None and (bad_N.dtype != np.float32 or bad_N.shape != arrays[0].shape):
        return None
    ids_N, top_N, confidence_N, out_N = arrays
    return View(publication, ids_N, top_N, confidence_N, out_N, meta, bad_N)


def _open_embeddings(folder: Path) -> Embeddings | None:
    try:
        ids_N = np.load(folder / "image_ids.npy", mmap_mode="r", allow_pickle=False)
        embeddings_ND = np.load(folder / "embeddings.npy", mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    fits = ids_N.dtype == np.int64 and embeddings_ND.ndim == 2 and len(ids_N) == len(embeddings_ND)
    return Embeddings(ids_N, embeddings_ND) if fits else None


def _changed(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0
