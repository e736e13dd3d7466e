"""Who of several workers learns: one at a time. In a workspace's own file its lock decides, on a server the server."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
            _stand_by(db, duty, settings)
        yield Duty(duty)


def _stand_by(db: database.Database, duty: duties.Duty, settings: Settings) -> None:
    """Return once the duty is taken, and help meanwhile; KeyboardInterrupt ends it, as SIGTERM does."""
    from app import sharing  # which imports torch

    name, beat_at, before = f"standby {duties.here()}"[:40], -BEAT_SECONDS, ""
    helper = sharing.Helper(db, settings)
    log.info("another worker learns: standing by")
    try:
        while not _taken(duty):
            said = _help(helper)
            if time.monotonic() - beat_at >= BEAT_SECONDS or bool(said) != bool(before):
                beat_at, before = time.monotonic(), said
                phase, message = ("helping", said) if said else ("standing by", "another worker learns")
                with contextlib.suppress(store_errors.Busy, store_errors.CannotWrite), db.write() as tx:
                    workers.beat(tx, name, pid=os.getpid(), phase=phase, message=message, now=time.time())
            if not said:
                time.sleep(LOOK_SECONDS)
    finally:
        helper.end()
        with contextlib.suppress(store_errors.Busy, store_errors.CannotWrite), db.write() as tx:
            workers.forget(tx, name)


def _help(helper: Any) -> str:
    try:
        return str(helper.step())
    except (store_errors.StoreError, OSError) as problem:
        log.warning("no help for who learns: %s", problem)
        helper.end()
        return ""


def _taken(duty: duties.Duty) -> bool:
    try:
        return duty.take()
    except store_errors.Unreachable as problem:
        log.warning("%s", problem)
        return False
