"""Which images of the pool can still be picked, kept in step with the label events: a byte an image, in the page process."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from app import pool_view
from store import labels, picked

Ints = NDArray[np.int64]


class Open:
    """State with a lifetime: read whole once, then event by event; safe to call from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = np.zeros(1, dtype=bool)  # by image id
        self._known_to = 0  # newest image id that was looked at
        self._watermark = 0
        self._counts: tuple[int, int, dict[float, dict[int, int]]] = (0, 0, {})

    def rows(self, tx: Connection, view: pool_view.View) -> NDArray[np.bool_]:
        """For each row of the view whether its image is open: in the pool, not settled, skipped by nobody."""
        with self._lock:
            self._follow(tx, view)
            return ~self._closed[view.image_ids_N]

    def counts(self, tx: Connection, view: pool_view.View, *, low: float, high: float = 2.0) -> dict[int, int]:
        """Open images by top class whose score is at least `low` and below `high`; at most a page of answers old."""
        publication, watermark, known = self._counts
        now = labels.watermark(tx)
        if publication != view.publication or not watermark <= now < watermark + 24:
            known = {}
            self._counts = (view.publication, now, known)
        key = low + 10 * high
        if key not in known:
            chosen_N = self.rows(tx, view) & (view.score_N >= low) & (view.score_N < high)
            ids, numbers = np.unique(view.top_class_N[chosen_N], return_counts=True)
            known[key] = dict(zip(ids.tolist(), numbers.tolist(), strict=True))
        return known[key]

    def _follow(self, tx: Connection, view: pool_view.View) -> None:
        newest = int(view.image_ids_N[-1]) if len(view) else 0
        watermark = labels.watermark(tx)
        if newest > self._known_to:
            closed = picked.closed_after(tx, self._known_to)
            if not self._known_to:
                self._watermark = watermark
            self._known_to = max(newest, *closed, 0)
            grown = np.zeros(self._known_to + 1, dtype=bool)
            grown[: len(self._closed)] = self._closed
            grown[closed] = True
            self._closed = grown
        if watermark > self._watermark:
            for image_id, open_ in picked.open_since(tx, self._watermark).items():
                if image_id <= self._known_to:
                    self._closed[image_id] = not open_
            self._watermark = watermark
