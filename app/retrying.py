"""Images that could not be read when the network looked at them are tried again, in growing pauses, while the rest goes on."""

from __future__ import annotations

import copy
import time
from concurrent import futures

import numpy as np

from app import errors, pictures, pool, pool_files
from app.settings import Settings
from model.data import pixels
from store import images
from store.database import Database
from store.records import Image

FIRST_PAUSE, LONGEST_PAUSE = 60.0, 3600.0  # seconds between two tries
MOST = 5_000  # images of one try
STEP_SECONDS = 0.4


class Retry:
    """State with a lifetime: what is fetched in a thread of its own, and what has been embedded since of it."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self.db, self.settings = db, settings
        self.pause, self.next_try = FIRST_PAUSE, time.monotonic() + FIRST_PAUSE
        self.thread = futures.ThreadPoolExecutor(1, thread_name_prefix="again")
        self.running: futures.Future[list[Image]] | None = None
        self.ended = False
        self.held: pool.Pool | None = None  # whose images are tried
        self.left: list[Image] = []
        self.found: pool.Pool | None = None  # the same network with these images alone

    def step(self, held: pool.Pool) -> pool.Pool | None:
        """The pool with what could be read after all, to publish from; None while there is none. Takes STEP_SECONDS at most."""
        if self.held is not held:  # the network is another one now
            self.held, self.found, self.left, self.running = held, None, [], None
        if self.found is not None:
            return self._look(held, self.found)
        if self.running is None and held.unreadable and held.complete and time.monotonic() >= self.next_try:
            with self.db.read() as tx:
                wanted = images.get_many(tx, sorted(held.unreadable)[:MOST])
            self.running = self.thread.submit(self._readable, wanted)
        if self.running is not None and self.running.done():
            self.left, self.running = self.running.result(), None
            self.pause = FIRST_PAUSE if self.left else min(LONGEST_PAUSE, 2 * self.pause)
            self.next_try = time.monotonic() + self.pause
            if self.left and held.net is not None:
                self.found = pool.Pool(self.settings, held.net, held.checkpoint, held.name)
        return None

    def end(self) -> None:
        """No more is fetched: the process ends once the file that is being fetched has come."""
        self.ended = True
        self.thread.shutdown(wait=False, cancel_futures=True)

    def _readable(self, wanted: list[Image]) -> list[Image]:
        """In the thread: those whose files can be had now."""
        found = []
        for image in wanted:
            if self.ended:
                break
            try:
                pixels.open_file(pictures.file(image, self.settings.workspace)).close()
            except (OSError, errors.AppError):
                continue
            found.append(image)
        return found

    def _look(self, held: pool.Pool, found: pool.Pool) -> pool.Pool | None:
        self.left = self.left[pool.extend(found, self.left, seconds=STEP_SECONDS) :]
        if self.left:
            return None
        self.found = None
        if not len(found.image_ids):
            self.pause = min(LONGEST_PAUSE, 2 * self.pause)
            return None
        whole = merged(held, found)
        pool_files.save(whole)
        return whole


def merged(held: pool.Pool, found: pool.Pool) -> pool.Pool:
    """A pool of the rows of both; `held` stays as it is, for whoever reads it in a thread."""
    whole = copy.copy(held)
    at_M = np.searchsorted(held.image_ids, found.image_ids)
    whole.image_ids = np.insert(held.image_ids, at_M, found.image_ids)
    whole.embeddings_ND = np.insert(held.embeddings_ND, at_M, found.embeddings_ND, axis=0)
    whole.looks_NF = np.insert(held.looks_NF, at_M, found.looks_NF, axis=0)
    whole.unreadable = held.unreadable.difference(found.image_ids.tolist())
    return whole
