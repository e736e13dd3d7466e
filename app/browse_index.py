"""The facts that browsing filters and orders by, held in memory: about 80 bytes an image, kept up to date by watermark.

An order is known whole, so that a page of it is a slice and any place of a million images can be scrolled to.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store import browse, labels
from store.database import Database

Rows = NDArray[np.int32]
Mask = NDArray[np.bool_]
PAGE = 20_000  # images read at a time
NOBODY = ""


class Index:
    """State with a lifetime: parallel arrays over all images, ascending by id. Use it with `lock` held.

    `said_N` numbers the texts of `sayings` (",3,14,": who has answered), `class_N` is -1 and `round_N` 0 where there is none.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.ids_N: NDArray[np.int64] = np.empty(0, np.int64)
        self.marks_N: NDArray[np.uint8] = np.empty(0, np.uint8)
        self.class_N: NDArray[np.int32] = np.empty(0, np.int32)
        self.round_N: NDArray[np.int32] = np.empty(0, np.int32)
        self.said_N: NDArray[np.int32] = np.empty(0, np.int32)
        self.sayings: dict[str, int] = {NOBODY: 0}
        self.names = Names()
        self.by_name_N: Rows = np.empty(0, np.int32)
        self.blind_rows: Rows = np.empty(0, np.int32)  # of the pool, to be asked blind by chance
        self.watermark = 0
        self.newest = 0

    def __len__(self) -> int:
        return len(self.ids_N)

    def update(self, db: Database, tell: Callable[[float], None] = lambda share: None) -> bool:
        """Read what is new in the store; says whether anything was. `tell` hears the share of the images read."""
        with db.read() as tx:
            newest, watermark = browse.newest_image(tx), labels.watermark(tx)
            if (newest, watermark) == (self.newest, self.watermark):
                return False
            if watermark != self.watermark and len(self):
                self._write(browse.of(tx, browse.changed_since(tx, self.watermark)))
            parts: list[list[Any]] = []
            while self.newest < newest and (page := browse.after(tx, self.newest, PAGE)):
                parts.append(self._columns(page))
                self.newest = page[-1].image_id
                tell(self.newest / newest)
            if parts:
                self._append(parts)
                self.by_name_N = np.searchsorted(self.ids_N, np.array(browse.by_path(tx), np.int64)).astype(np.int32)
            self.newest, self.watermark = newest, watermark
        return True

    def rows_of(self, ids: Sequence[int] | NDArray[np.int64]) -> tuple[Rows, Mask]:
        """Row numbers of these ids, and which of them are known (the rows of the others mean nothing)."""
        wanted = np.asarray(ids, np.int64)
        if not len(self):
            return np.zeros(len(wanted), np.int32), np.zeros(len(wanted), np.bool_)
        rows = np.minimum(np.searchsorted(self.ids_N, wanted), len(self) - 1)
        return rows.astype(np.int32), self.ids_N[rows] == wanted

    def said_by(self, person: int | None) -> Mask:
        """Which rows this person has answered."""
        return self._with(f",{person},")[self.said_N] if person is not None else np.zeros(len(self), np.bool_)

    def hidden_from(self, person: int | None) -> Mask:
        """Rows that others have answered and that this person may still be asked blind: their answers are not told."""
        more_N = (self.marks_N & browse.MORE) > 0
        return more_N & ~self.said_by(person)

    def unsuggested(self) -> Mask:
        """Rows about which the model keeps quiet: the holdout, always, and what is still to be answered blind."""
        return self.measuring() | ((self.marks_N & browse.MORE) > 0)

    def measuring(self) -> Mask:
        """Rows whose blind answers measure the model: the holdout, and audits that are to come. What looks like them is
        not told either: a neighbour's class is a hint."""
        found_N = (self.marks_N & browse.HOLDOUT) > 0
        found_N[self.blind_rows] = True
        return found_N

    def _with(self, part: str) -> Mask:
        return np.array([part in saying for saying in self.sayings], np.bool_)

    def _columns(self, page: Sequence[browse.Facts]) -> list[Any]:
        ids, paths, marks, class_ids, said, rounds = zip(*page, strict=True)
        return [
            np.array(ids, np.int64),
            np.array(marks, np.uint8),
            np.array([-1 if each is None else each for each in class_ids], np.int32),
            np.array([each or 0 for each in rounds], np.int32),
            np.array([self.sayings.setdefault(each, len(self.sayings)) for each in said], np.int32),
            Names.spelled(paths),
        ]

    def _append(self, parts: list[list[Any]]) -> None:
        *numbers, names = zip(*parts, strict=True)
        old = (self.ids_N, self.marks_N, self.class_N, self.round_N, self.said_N)
        grown = [np.concatenate([before, *new]) for before, new in zip(old, numbers, strict=True)]
        self.ids_N, self.marks_N, self.class_N, self.round_N, self.said_N = grown
        self.names.append(names)

    def _write(self, changed: Sequence[browse.Facts]) -> None:
        known = [facts for facts in changed if facts.image_id <= self.newest]
        if known:
            _, marks_M, class_M, round_M, said_M, _ = self._columns(known)
            rows, _ = self.rows_of([facts.image_id for facts in known])
            self.marks_N[rows], self.class_N[rows] = marks_M, class_M
            self.round_N[rows], self.said_N[rows] = round_M, said_M


class Names:
    """Folder and file name of every image as one text, to be searched at once whatever the case."""

    def __init__(self) -> None:
        self.text: NDArray[np.uint8] = np.empty(0, np.uint8)
        self.ends_N: NDArray[np.int64] = np.empty(0, np.int64)  # one behind each name's line end
        self.often: NDArray[np.int64] = np.zeros(256, np.int64)

    @staticmethod
    def spelled(paths: Sequence[str]) -> list[bytes]:
        """The last two parts of each path, in lower case, as one line of bytes."""
        short = ("/".join(path.replace("\\", "/").rsplit("/", 2)[-2:]) for path in paths)
        return [_bytes(name.replace("\n", " ")) + b"\n" for name in short]

    def append(self, parts: Sequence[list[bytes]]) -> None:
        """Add names behind those that are there."""
        text = b"".join(b"".join(part) for part in parts)
        lengths = np.fromiter((len(name) for part in parts for name in part), np.int64)
        self.ends_N = np.concatenate([self.ends_N, len(self.text) + np.cumsum(lengths)])
        self.text = np.concatenate([self.text, np.frombuffer(text, np.uint8)])
        self.often = np.bincount(self.text, minlength=256)

    def holding(self, wanted: str) -> Mask:
        """Which names hold this text. Looks for its rarest letter first, then for the others around those places."""
        letters = np.frombuffer(_bytes(wanted), np.uint8)
        found_N = np.zeros(len(self.ends_N), np.bool_)
        if not 0 < len(letters) <= len(self.text):
            return found_N
        rarest = int(np.argmin(self.often[letters]))
        starts = np.flatnonzero(self.text == letters[rarest]) - rarest
        starts = starts[(starts >= 0) & (starts <= len(self.text) - len(letters))]
        for at, letter in enumerate(letters):
            if at != rarest:
                starts = starts[self.text[starts + at] == letter]
        found_N[np.searchsorted(self.ends_N, starts, side="right")] = True
        return found_N


def _bytes(text: str) -> bytes:
    return text.casefold().encode("utf-8", "surrogatepass")
