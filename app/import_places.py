"""Which stored image a row of a label file means: by its digest, its path, the end of its path, or its file name alone."""

from __future__ import annotations

import array
import bisect
import itertools
import os
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from app import scenes
from app.exchange import rows
from store import images

DEPTH = 4  # so many last parts of a path find it; a longer end of a path is compared in full
DETAILED = 20  # problems that are told with candidates
CANDIDATES = 4
_DIGEST = "\0"  # in front of digests, so that none is taken for a path


class Places:
    """Every stored image by hashes of 64 bits (about 100 bytes an image): two of 2 million names fall together with p = 1e-7.

    Python's hash of a text is keyed anew in each process, so nobody can choose names that fall together.
    """

    def __init__(self, tx: Connection) -> None:
        keys, owners = array.array("q"), array.array("i")
        self.ids, self.usable, self.digested = array.array("q"), bytearray(), bytearray()
        low, high = "", ""
        for position, (image_id, stored, digest, usable) in enumerate(images.places(tx)):
            path = _plain(stored)
            low, high = min(low or path, path), max(high, path)
            ends = {path, *_ends(path)} if digest is None else {path, _content(digest, path), *_ends(path)}
            keys.extend(map(hash, ends))
            owners.extend(itertools.repeat(position, len(ends)))
            self.ids.append(image_id)
            self.usable.append(usable)
            self.digested.append(digest is not None)
        self.root = _folder_of_both(low, high)
        unsorted = np.frombuffer(keys, np.int64) if keys else np.empty(0, np.int64)
        order = np.argsort(unsorted, kind="stable")
        self.keys: NDArray[np.int64] = unsorted[order]
        self.owners: NDArray[np.int32] = (np.frombuffer(owners, np.int32) if owners else np.empty(0, np.int32))[order]
        self.told = 0

    def find(self, tx: Connection, wanted: Sequence[rows.Row | rows.Guess]) -> list[int | rows.Problem]:
        """The position of each row's image (see `ids`), or what is wrong with it."""
        texts = [_plain(row.image).removeprefix("./") for row in wanted]
        found = self._of(map(_key, texts))
        again = [at for at, text in enumerate(texts) if not found[at] and "\\" in text]  # written by Windows
        for at, owners in zip(again, self._of(_key(texts[at].replace("\\", "/")) for at in again), strict=True):
            texts[at], found[at] = texts[at].replace("\\", "/"), owners
        again = [at for at, row in enumerate(wanted) if row.also and not found[at]]
        for at, owners in zip(again, self._of(_key(_plain(wanted[at].also)) for at in again), strict=True):
            if owners:
                texts[at], found[at] = _plain(wanted[at].also), owners
        digests = self._of(_content(row.digest, row.image) if row.digest else "" for row in wanted)
        again = [at for at, row in enumerate(wanted) if row.digest and row.also and not digests[at]]
        for at, owners in zip(again, self._of(_DIGEST + str(wanted[at].digest) for at in again), strict=True):
            digests[at] = owners  # the picture of a box is here whole
        out: list[int | rows.Problem] = []
        unclear: list[int] = []
        for at in range(len(wanted)):
            owners, same = found[at], digests[at]
            both = [owner for owner in same if owner in owners] if len(same) > 1 else same
            if len(both) == 1:
                out.append(both[0])
                continue
            if len(owners) == 1 and (texts[at].startswith("/") or texts[at].count("/") < DEPTH):
                out.append(owners[0])
                continue
            unclear.append(at)
            out.append(-1)
        exact = images.ids_of(tx, [self._in_root(texts[at]) for at in unclear])
        for at in unclear:
            image_id = exact.get(self._in_root(texts[at]))
            if image_id is None:
                out[at] = self._looked_at(tx, wanted[at], texts[at], found[at] or digests[at])
            else:
                out[at] = bisect.bisect_left(self.ids, image_id)
        return [self._same_file(row, each, same) for row, each, same in zip(wanted, out, digests, strict=True)]

    def _same_file(self, row: rows.Row | rows.Guess, found: int | rows.Problem, same: list[int]) -> int | rows.Problem:
        """What was found, unless the file gives it a digest that it has not."""
        if isinstance(found, rows.Problem) or not row.digest or found in same or not self.digested[found]:
            return found
        return rows.Problem(row.line, "another file", f"{rows.shown(row.image)} has another content here")

    def _of(self, texts: Iterable[str]) -> list[list[int]]:
        wanted = np.fromiter(map(hash, texts), np.int64)
        first, last = (np.searchsorted(self.keys, wanted, side) for side in ("left", "right"))
        return [self.owners[a:b].tolist() if a < b else [] for a, b in zip(first.tolist(), last.tolist(), strict=True)]

    def _in_root(self, text: str) -> str:
        return text if text.startswith("/") else f"{self.root}/{text}"

    def _looked_at(
        self, tx: Connection, row: rows.Row | rows.Guess, text: str, owners: list[int]
    ) -> int | rows.Problem:
        """Compare long ends of paths in full; what is left is unknown, or more than one image."""
        if text.count("/") >= DEPTH and owners:
            known = [_plain(image.path) for image in images.get_many(tx, [self.ids[each] for each in owners])]
            owners = [each for each, path in zip(owners, known, strict=True) if path.endswith(f"/{text.lstrip('/')}")]
            if len(owners) == 1:
                return owners[0]
        self.told += 1
        named = rows.shown(row.image or row.digest or "")
        if not owners:
            return rows.Problem(row.line, "unknown image", f"{named} is no image here{self._hint(tx, text)}")
        return rows.Problem(row.line, "ambiguous image", f"{named} may be any of {self._candidates(tx, owners)}")

    def _hint(self, tx: Connection, text: str) -> str:
        if self.told > DETAILED or "/" not in text:
            return ""
        (namesakes,) = self._of([text.rpartition("/")[2]])
        return f": the file name is that of {self._candidates(tx, namesakes)}" if namesakes else ""

    def _candidates(self, tx: Connection, owners: list[int]) -> str:
        if self.told > DETAILED:
            return f"{len(owners):,} images"
        paths = [image.path for image in images.get_many(tx, [self.ids[each] for each in owners[:CANDIDATES]])]
        more = f" and {len(owners) - CANDIDATES:,} more" if len(owners) > CANDIDATES else ""
        return ", ".join(rows.shown(path.removeprefix(f"{self.root}/")) for path in paths) + more


def _content(digest: str, path: str) -> str:
    """What content is looked up by: the boxes of one file share its digest, and are told apart."""
    box = scenes.parted(path)[1] if "#xywh=" in path else None
    return _DIGEST + (digest if box is None else scenes.named(digest, box))


def _plain(path: str) -> str:
    """A path with slashes, in the one Unicode form in which two systems compare."""
    path = path if os.sep == "/" else path.replace(os.sep, "/")
    return path if path.isascii() else unicodedata.normalize("NFC", path)


def _ends(path: str) -> list[str]:
    """The last parts of a path, one to DEPTH of them."""
    parts = path.rsplit("/", DEPTH)[1:]
    return ["/".join(parts[at:]) for at in range(len(parts))]


def _key(text: str) -> str:
    """What of a written path is looked up: all of a whole one, the last parts of a long end of one."""
    return text if text.startswith("/") or text.count("/") < DEPTH else "/".join(text.rsplit("/", DEPTH)[1:])


def _folder_of_both(low: str, high: str) -> str:
    """The deepest folder that holds the first and the last path, and with them all between."""
    pairs = zip(low.split("/")[:-1], high.split("/")[:-1], strict=False)
    return "/".join(part for part, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
