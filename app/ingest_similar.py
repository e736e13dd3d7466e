"""Finds which images seen so far are the same picture as a new one: equal files, bursts, near-duplicates.

Two images belong together when their files are equal, when they come from one folder within BURST_S seconds by the
camera's clock, or when they are near-duplicates: perceptual hashes at most NEAR_BITS of 64 apart and small pictures
that correlate by NEAR_CORRELATION. Measured on photographs of birds and groceries: rescaled, recompressed and
brightened copies stay within 4 bits and above .98; of 1.7 million pairs of different photographs only two dozen pass
both tests, shots of one carton in one place, whereas the hash alone also joins dark birds on sky, which at 100,000
images would chain everything into one group.
"""

from __future__ import annotations

import bisect
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from app import ingest_read
from model import hashes

BURST_S = 3.0
NEAR_BITS = 6
NEAR_CORRELATION = 0.90

Find = Callable[[int], ingest_read.Signature | None]


class Seen(NamedTuple):
    """What images are compared by; `phash` in hexadecimal digits, `taken_at` in seconds."""

    path: str
    digest: str | None
    phash: str | None
    taken_at: float | None
    signature: ingest_read.Signature | None = None


class Index:
    """Images by number, in the order they were added; `stored` gives the small picture of one whose own was let go."""

    def __init__(self, *, stored: Find) -> None:
        self._stored = stored
        self._count = 0
        self._signatures: dict[int, ingest_read.Signature] = {}
        self._digests: dict[str, int] = {}
        self._times: dict[str, list[tuple[float, int]]] = defaultdict(list)
        self._hashes = hashes.Near(NEAR_BITS)
        self._hashed: list[int] = []  # numbers of the images whose hash says something

    def add(self, images: Sequence[Seen]) -> list[list[int]]:
        """Add images; for each the numbers of those before it that it belongs together with."""
        first, same = self._count, []
        for number, image in enumerate(images, first):
            same.append(self._equal(image.digest, number) + self._burst(image, number))
            if image.signature is not None:
                self._signatures[number] = image.signature
        for number, other in self._near(images, first):
            same[number - first].append(other)
        self._count += len(images)
        return [list(dict.fromkeys(numbers)) for numbers in same]

    def let_go(self) -> None:
        """Forget the small pictures; from now on they are asked of `stored`."""
        self._signatures.clear()

    def _equal(self, digest: str | None, number: int) -> list[int]:
        if digest is None:
            return []
        other = self._digests.setdefault(digest, number)
        return [other] if other != number else []

    def _burst(self, image: Seen, number: int) -> list[int]:
        if image.taken_at is None:
            return []
        times = self._times[os.path.dirname(image.path)]
        start = bisect.bisect_left(times, (image.taken_at - BURST_S, -1))
        stop = bisect.bisect_right(times, (image.taken_at + BURST_S, number))
        found = [other for _, other in times[start:stop]]
        bisect.insort(times, (image.taken_at, number))
        return found

    def _near(self, images: Sequence[Seen], first: int) -> Iterator[tuple[int, int]]:
        """Numbers of new images and, for each, of its near-duplicates before it, ascending."""
        values = {number: int(image.phash, 16) for number, image in enumerate(images, first) if image.phash}
        values = {number: value for number, value in values.items() if telling(value)}
        self._hashes.add(np.array(list(values.values()), dtype=np.uint64))
        self._hashed.extend(values)
        asking = [number for number in values if number in self._signatures]
        rows, positions = self._hashes.pairs(np.array([values[number] for number in asking], dtype=np.uint64))
        for row, position in zip(rows.tolist(), positions.tolist(), strict=True):
            number, other = asking[row], self._hashed[position]
            if other < number and self._correlation(number, other) >= NEAR_CORRELATION:
                yield number, other

    def _correlation(self, number: int, other: int) -> float:
        mine, theirs = self._signatures[number], self._signatures.get(other)
        if theirs is None:
            theirs = self._stored(other)
        return -1.0 if theirs is None else float(np.dot(mine, theirs))


def burst(first: float | None, second: float | None) -> bool:
    """Say whether two pictures of one folder were taken in one burst, by their times."""
    return first is not None and second is not None and abs(first - second) <= BURST_S


def telling(value: int) -> bool:
    """Say whether a perceptual hash says anything: half its bits are set unless the image is plain."""
    return 16 <= value.bit_count() <= 48
