"""In which order ingest reads: shuffled, so that the first hundred stand for all, but a burst stays in one piece."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from app import ingest_files, ingest_similar

AHEAD = 32  # files that are announced before their turn


def shuffled(
    files: Sequence[ingest_files.Found],
    *,
    rng: np.random.Generator,
    time_of: Callable[[str], float | None],
    soon: Callable[[str], None] | None = None,
) -> Iterator[ingest_files.Found]:
    """Every file once, in random order; with a file come its neighbours by name that belong to the same burst.

    A burst that arrived in pieces would first look like several groups, and one of them might be drawn for the holdout
    while its neighbours were not. Expects the files sorted by path; asks `time_of` for the EXIF
    time of a path as it goes, and tells `soon` which it will ask for next.
    """

    @functools.lru_cache(maxsize=4096)
    def taken_at(number: int) -> float | None:
        told = time_of(files[number].path)
        return files[number].taken_at if told is None else told

    def linked(first: int, second: int) -> bool:
        if os.path.dirname(files[first].path) != os.path.dirname(files[second].path) or taken_at(first) is None:
            return False
        return ingest_similar.burst(taken_at(first), taken_at(second))

    done = np.zeros(len(files), dtype=bool)
    order = rng.permutation(len(files)).tolist()
    for turn, number in enumerate(order):
        if soon is not None:
            for later in order[turn : turn + AHEAD] if turn == 0 else order[turn + AHEAD - 1 : turn + AHEAD]:
                for near in range(max(0, later - 1), min(len(files), later + 2)):
                    if not done[near]:
                        soon(files[near].path)
        if done[number]:
            continue
        start = stop = number
        while start > 0 and not done[start - 1] and linked(start, start - 1):
            start -= 1
        while stop + 1 < len(files) and not done[stop + 1] and linked(stop, stop + 1):
            stop += 1
        for member in range(start, stop + 1):
            done[member] = True
            yield files[member]
