"""What the grid and yes/no modes pick from: the open images that the model holds for each class, in the page process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from app import pool_open, pool_view
from store import classes, queue

SURE, LIKELY, MAYBE = 0.8, 0.6, 0.5  # scores: for a page; for yes or no; the least when the person names the class
CLASSES_TRIED = 8  # for one page, before nothing is free


class Board:
    """What both modes need of the pool, kept between requests: the model's word on every image and which are open."""

    def __init__(self, workspace: Path) -> None:
        self.reader = pool_view.Reader(workspace)
        self.open = pool_open.Open()


class Held:
    """Open images by the class that the model holds them for, at one moment; classes of today only."""

    def __init__(self, tx: Connection, board: Board) -> None:
        self.tx, self.board, self.shown = tx, board, queue.current(tx)
        self.view = board.reader.view(self.shown)
        self.names = {each.id: each.name for each in classes.all_(tx)}

    def counts(self, low: float, high: float = 2.0) -> dict[int, int]:
        if self.view is None:
            return {}
        counted = self.board.open.counts(self.tx, self.view, low=low, high=high)
        return {each: number for each, number in counted.items() if each in self.names}

    def fullest(self, low: float, high: float = 2.0) -> int | None:
        """The class with most images whose score is at least `low` and below `high`."""
        counted = self.counts(low, high)
        return max(counted, key=lambda each: (counted[each], -each), default=None)

    def pages(self, class_id: int | None, *, named: bool) -> Iterator[tuple[int, list[int]]]:
        """(class, its images, the safest first) in the order in which pages are tried; nothing that is empty."""
        if named:
            tried = [(class_id, MAYBE)]
        else:
            fullest = [
                (each, low)
                for low in (SURE, MAYBE)
                for each, _ in sorted(self.counts(low).items(), key=lambda pair: (-pair[1], pair[0]))
            ]
            tried = [(class_id, SURE), *fullest[:CLASSES_TRIED]]
        for each, low in tried:
            rows = self.rows(each, low) if each in self.names else ()
            if self.view is not None and each is not None and len(rows):
                yield each, self.view.image_ids_N[rows].tolist()

    def rows(self, class_id: int, low: float) -> NDArray[np.int64]:
        """Rows of the class's open images with a score of at least `low`, the safest first."""
        if self.view is None:
            return np.empty(0, np.int64)
        rows = self.view.best_first(class_id)
        rows = rows[self.view.score_N[rows] >= low]
        return rows[self.board.open.rows(self.tx, self.view)[rows]]

    def listed(self) -> list[dict[str, Any]]:
        """Classes with images worth a page, the fullest first."""
        counted = sorted(self.counts(MAYBE).items(), key=lambda each: (-each[1], each[0]))
        return [{"class_id": each, "name": self.names[each], "images": number} for each, number in counted]
