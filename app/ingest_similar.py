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
from collections.abc import Callable

import numpy as np

from app import ingest_read

BURST_S = 3.0
NEAR_BITS = 6
NEAR_CORRELATION = 0.90

_BANDS = tuple((9 * band, 9 if band < NEAR_BITS else 10) for band in range(NEAR_BITS + 1))  # (first bit, bits)
# two hashes at most NEAR_BITS apart agree in at least one of NEAR_BITS + 1 bands

Find = Callable[[int], ingest_read.Signature | None]


class Index:
    """Images by number, in the order they were added; `stored` gives the small picture of one whose own was let go."""

    def __init__(self, *, stored: Find) -> None:
        self._stored = stored
        self._hashes: list[int] = []
        self._signatures: dict[int, ingest_read.Signature] = {}
        self._digests: dict[str, int] = {}
        self._times: dict[str, list[tuple[float, int]]] = defaultdict(list)
        self._bands: dict[tuple[int, int], list[int]] = defaultdict(list)

    def add(
        self,
        path: str,
        digest: str | None,
        phash: str | None,
        taken_at: float | None,
        signature: ingest_read.Signature | None = None,
    ) -> tuple[int, list[int]]:
        """Add an image; returns its number and those of the images it belongs together with."""
        folder, value = os.path.dirname(path), int(phash, 16) if phash else 0
        same = self._equal(digest) + self._burst(folder, taken_at) + self._near(value, signature)
        number = len(self._hashes)
        self._hashes.append(value)
        if digest is not None:
            self._digests.setdefault(digest, number)
        if taken_at is not None:
            bisect.insort(self._times[folder], (taken_at, number))
        if signature is not None:
            self._signatures[number] = signature
        if telling(value):
            for band in _bands(value):
                self._bands[band].append(number)
        return number, list(dict.fromkeys(same))

    def let_go(self) -> None:
        """Forget the small pictures; from now on they are asked of `stored`."""
        self._signatures.clear()

    def _equal(self, digest: str | None) -> list[int]:
        return [self._digests[digest]] if digest in self._digests else []

    def _burst(self, folder: str, taken_at: float | None) -> list[int]:
        if taken_at is None:
            return []
        times = self._times[folder]
        start = bisect.bisect_left(times, (taken_at - BURST_S, -1))
        stop = bisect.bisect_right(times, (taken_at + BURST_S, len(self._hashes)))
        return [number for _, number in times[start:stop]]

    def _near(self, value: int, signature: ingest_read.Signature | None) -> list[int]:
        if signature is None or not telling(value):
            return []
        maybe = {number for band in _bands(value) for number in self._bands.get(band, ())}
        close = [number for number in sorted(maybe) if (self._hashes[number] ^ value).bit_count() <= NEAR_BITS]
        return [number for number in close if self._correlation(number, signature) >= NEAR_CORRELATION]

    def _correlation(self, number: int, signature: ingest_read.Signature) -> float:
        other = self._signatures.get(number)
        if other is None:
            other = self._stored(number)
        return -1.0 if other is None else float(np.dot(signature, other))


def burst(first: float | None, second: float | None) -> bool:
    """Say whether two pictures of one folder were taken in one burst, by their times."""
    return first is not None and second is not None and abs(first - second) <= BURST_S


def telling(value: int) -> bool:
    """Say whether a perceptual hash says anything: half its bits are set unless the image is plain."""
    return 16 <= value.bit_count() <= 48


def _bands(value: int) -> list[tuple[int, int]]:
    return [(first, (value >> first) & ((1 << bits) - 1)) for first, bits in _BANDS]
