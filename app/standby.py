"""Who of several workers learns: one at a time. In a workspace's own file its lock decides, on a server the server."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

from app import errors, processes
from app.settings import Settings
from store import database, duties, workers
from store import errors as store_errors

LOOK_SECONDS = 1.0
BEAT_SECONDS = 5.0

log = logging.getLogger("raum.worker")


class Duty:
    """The duty to learn, while it is done; on a server it is looked after once a second."""

    def __init__(self, held: duties.Duty | None = None) -> None:
        self.held, self.next_look = held, 0.0

    def lost(self, now: float) -> bool:
        """Whether the server was lost and another worker has the duty by now; `now` as of time.monotonic()."""
        if self.held is None or now < self.next_look:
            return False
        self.next_look = now + LOOK_SECONDS
        try:
            return not self.held.take()
        except store_errors.Unreachable:  # every step says so; nobody else learns either
            return False


@contextlib.contextmanager
def learning(settings: Settings, *, wait: bool = True) -> Iterator[Duty]:
    """Have the duty to learn. In a file: raises WorkspaceBusy naming the pid of who has it.

    On a server: waits for it, telling the page so; or with `wait` False raises WorkspaceBusy, too.
    """
    processes.writable(settings.workspace)
    if isinstance(settings.database, Path):
        with processes.only_one(settings.workspace, "worker"):
            yield Duty()
        return
    with contextlib.closing(database.open(settings.database)) as db, duties.Duty(db, duties.WORKER) as duty:
        if not duty.take():
            if not wait:
                raise errors.WorkspaceBusy(f"another worker learns on {settings.database}: end it first")
            _stand_by(db, duty)
        yield Duty(duty)


def _stand_by(db: database.Database, duty: duties.Duty) -> None:
    """Return once the duty is taken; KeyboardInterrupt ends it, as SIGTERM does."""
    name, beat_at = f"standby {duties.here()}"[:40], -BEAT_SECONDS
    log.info("another worker learns: standing by")
    try:
        while not _taken(duty):
            if time.monotonic() - beat_at >= BEAT_SECONDS:
                beat_at = time.monotonic()
                with contextlib.suppress(store_errors.Busy, store_errors.CannotWrite), db.write() as tx:
                    workers.beat(
                        tx, name, pid=os.getpid(), phase="standing by", message="another worker learns", now=time.time()
                    )
            time.sleep(LOOK_SECONDS)
    finally:
        with contextlib.suppress(store_errors.Busy, store_errors.CannotWrite), db.write() as tx:
            workers.forget(tx, name)


def _taken(duty: duties.Duty) -> bool:
    try:
        return duty.take()
    except store_errors.Unreachable as problem:
        log.warning("%s", problem)
        return False
