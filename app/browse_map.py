"""The map of a pool on the page's side: lets a process of its own lay it out, keeps it in the workspace, and reads it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from app import background, browse_index, errors, pool_view, processes
from store import browse

PATIENCE_S = 1.0
KEPT = 2  # maps in the workspace
GROWN = 1.1  # a pool that has grown by this is laid out anew


class Map(NamedTuple):
    """Where the images lie: `places_M2` from 0 to 65535, `total` images of the pool when it was drawn."""

    name: str
    image_ids_M: NDArray[np.int64]
    places_M2: NDArray[np.uint16]
    total: int


class Maps:
    """State with a lifetime: the map of this workspace that is shown, and the process that makes the next one."""

    def __init__(self, workspace: Path) -> None:
        self.workspace, self.folder = workspace, workspace / "cache" / "map"
        self.shown: Map | None = None
        self._lock = threading.Lock()
        self._work: background.Work[Map] | None = None
        self._work_for = ""

    def of(self, embeddings: pool_view.Embeddings | None) -> Map:
        """The map of these embeddings, or of nearly all of them; raises background.Later while it is being made."""
        if embeddings is None or not len(embeddings.image_ids_N):
            raise errors.NotFound("no map yet: the model has not looked at the images; try again in a while")
        source = _folder(embeddings)
        with self._lock:
            if self.shown is not None and _fits(self.shown, embeddings):
                return self.shown
            if self._work is None or self._work_for != source.name or self._work.failed or self._outgrown(embeddings):
                self._work_for = source.name
                self._work = background.Work("laying out the map", lambda tell: self._made(embeddings))
            work = self._work
        self.shown = work.result(PATIENCE_S)
        return self.shown

    def rows(self, index: browse_index.Index) -> tuple[browse_index.Rows, NDArray[np.uint16]] | None:
        """Rows of the images that are on the map, and their places; None before there is a map. What measures the model is
        left out: what lies beside an image is a hint at its class."""
        if self.shown is None:
            return None
        rows, known = index.rows_of(self.shown.image_ids_M)
        known &= _drawn(index)[rows]
        return rows[known], self.shown.places_M2[known]

    def _outgrown(self, embeddings: pool_view.Embeddings) -> bool:
        return self.shown is not None and self.shown.name == self._work_for and not _fits(self.shown, embeddings)

    def _made(self, embeddings: pool_view.Embeddings) -> Map:
        source = _folder(embeddings)
        target = self.folder / source.name
        kept = _read(target)
        if kept is not None and _fits(kept, embeddings):
            return kept
        command = [sys.executable, "-m", "app.browse_layout", str(source), str(target)]
        limits = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # people are labelling meanwhile
        done = subprocess.run(
            command, cwd=processes.LAUNCH.parent, capture_output=True, text=True, env={**os.environ, **limits}
        )
        found = _read(target)
        if done.returncode or found is None:
            last = (done.stderr.strip().splitlines() or [processes.ending(done.returncode)])[-1]
            raise errors.NotFound(f"the map could not be laid out ({last[:200]}); try again in a while")
        newest = sorted(self.folder.glob("*/meta.json"), key=lambda file: file.stat().st_mtime, reverse=True)
        for old in newest[KEPT:]:
            shutil.rmtree(old.parent, ignore_errors=True)
        return found


def points(
    found: Map, index: browse_index.Index, top_N: NDArray[np.int32] | None, viewer: int | None
) -> dict[str, Any]:
    """What a canvas draws -> {"body": bytes, "count": points}: ids, classes said and suggested (int32), places (uint16 x, y)
    and states (uint8: 0 open, 1 labelled, 2 rejected), each for all points. A class is -1 where the viewer is not to know."""
    rows, known = index.rows_of(found.image_ids_M)
    known &= _drawn(index)[rows]
    rows, places_M2 = rows[known], found.places_M2[known]
    marks_M, hidden_M = index.marks_N[rows], index.hidden_from(viewer)[rows]
    said_M = np.where(hidden_M, -1, index.class_N[rows])
    top_M = np.full(len(rows), -1) if top_N is None else np.where(index.unsuggested()[rows], -1, top_N[rows])
    state_M = np.where(marks_M & browse.LABELLED, 1, np.where(marks_M & browse.REJECTED, 2, 0)).astype(np.uint8)
    numbers = [array_M.astype("<i4").tobytes() for array_M in (index.ids_N[rows], said_M, top_M)]
    return {"body": b"".join([*numbers, places_M2.astype("<u2").tobytes(), state_M.tobytes()]), "count": len(rows)}


def _drawn(index: browse_index.Index) -> browse_index.Mask:
    usable_N: browse_index.Mask = (index.marks_N & browse.QUARANTINED) == 0
    return usable_N & ~index.measuring()


def _folder(embeddings: pool_view.Embeddings) -> Path:
    assert isinstance(embeddings.embeddings_ND, np.memmap)
    return Path(str(embeddings.embeddings_ND.filename)).parent


def _fits(found: Map, embeddings: pool_view.Embeddings) -> bool:
    return found.name == _folder(embeddings).name and len(embeddings.image_ids_N) <= GROWN * found.total


def _read(folder: Path) -> Map | None:
    try:
        ids_M = np.load(folder / "image_ids.npy", allow_pickle=False)
        places_M2 = np.load(folder / "places.npy", allow_pickle=False)
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        fits = places_M2.dtype == np.uint16 and places_M2.shape == (len(ids_M), 2)
        return Map(folder.name, ids_M, places_M2, int(meta["images"])) if fits else None
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return None
