"""Decodes the next images while whoever takes them is busy with the last ones; imports no torch."""

from __future__ import annotations

import collections
import itertools
import os
from collections.abc import Iterable, Iterator
from concurrent import futures

import numpy as np

from model import errors
from model.data import pixels, sources

AHEAD = 3  # batches that are decoded or being decoded at any time


def batches(
    paths: Iterable[sources.Where], *, side: int, batch: int, workers: int = 0, ahead: int = AHEAD
) -> Iterator[pixels.Batch]:
    """The images of `paths` in order, `batch` files at a time, each a square of `side`; unreadable ones are reported.

    workers: threads that decode; 0: one for each core. At most `ahead` batches are held, however long the list is.
    """
    if batch < 1 or ahead < 1:
        raise errors.BadInput(f"batch is {batch} and ahead {ahead}; give at least 1")

    def one(path: sources.Where) -> pixels.Pixels | errors.UnreadableImage:
        try:
            return pixels.decode(path, size=side)
        except errors.UnreadableImage as problem:
            return problem

    left, waiting = iter(paths), collections.deque[futures.Future[pixels.Pixels | errors.UnreadableImage]]()
    with futures.ThreadPoolExecutor(workers or os.cpu_count() or 1, thread_name_prefix="decode") as pool:
        try:
            while True:
                wanted = ahead * batch - len(waiting)
                waiting.extend(pool.submit(one, path) for path in itertools.islice(left, wanted))
                if not waiting:
                    return
                yield _joined([waiting.popleft().result() for _ in range(min(batch, len(waiting)))], side)
        finally:
            for each in waiting:
                each.cancel()


def _joined(found: list[pixels.Pixels | errors.UnreadableImage], side: int) -> pixels.Batch:
    problems = [each for each in found if isinstance(each, errors.UnreadableImage)]
    good = [(at, each) for at, each in enumerate(found) if not isinstance(each, errors.UnreadableImage)]
    images_NHWC = np.stack([each for _, each in good]) if good else np.empty((0, side, side, 3), np.uint8)
    return pixels.Batch(images_NHWC, np.array([at for at, _ in good], np.int64), problems)
