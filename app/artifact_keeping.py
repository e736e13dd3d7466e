"""Artifacts beside page and worker: who learns puts them on the storage, a page fetches what it shows; neither ever waits."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import Connection

from app import artifacts, errors, overlays, predictions
from app.settings import Settings
from store import database, queue
from store import errors as store_errors
from store import settings as stored
from store.database import Database

LOOK_SECONDS = 1.0
LONGEST_PAUSE = 300.0  # between two tries
FAILED = "artifacts_failed:"  # settings rows: why, and when it was tried last, by side and machine
OLD_SECONDS = 3 * LONGEST_PAUSE  # then whoever failed has ended

CANNOT = (errors.RemoteError, errors.BadRequest, OSError)  # the storage, room on the disk, the disk

log = logging.getLogger("raum.artifacts")
Step = Callable[[Database, Settings], object]


def keeping(settings: Settings) -> contextlib.AbstractContextManager[None]:
    """While the block runs, what is new in the workspace is put on the storage. For who learns."""
    return _beside(settings, "put", artifacts.keep)


def bringing(settings: Settings) -> contextlib.AbstractContextManager[None]:
    """While the block runs, what a page shows is fetched from the storage. For pages."""
    return _beside(settings, "fetch", bring_shown)


def bring_shown(db: Database, settings: Settings) -> int:
    """Fetch what the page shows and this workspace lacks; returns how many came. Raises RemoteError."""
    with db.read() as tx:
        names, current = artifacts.shown(tx, settings), queue.current(tx)
    came = sum(artifacts.bring(db, settings, name) for name in names)
    if came and current is not None:
        overlays.forget_old(settings.workspace, current.id, time.time())
        predictions.prune(settings.workspace)
    return came


def at_hand(db: Database, settings: Settings, checkpoint: str | None = None) -> None:
    """Fetch a round's network and embeddings, or else all that belongs to what is shown; what cannot be had is told in the
    log, and learning does without."""
    if not settings.artifacts:
        return
    with db.read() as tx:
        current = queue.current(tx)
        names = [checkpoint, f"embeddings/{Path(checkpoint).stem}"] if checkpoint else artifacts.shown(tx, settings)
    for name in names if checkpoint or not current else [current.checkpoint, *names]:
        try:
            if name:
                artifacts.bring(db, settings, name)
        except CANNOT as problem:
            log.warning("%s is not at hand: %s", name, problem)


def put_now(db: Database, settings: Settings) -> None:
    """Put what is new, once, for a verb that ends; what cannot be put is told on the page and in the log."""
    if settings.artifacts:
        tried(db, settings, "put", artifacts.keep, 0.0)


def failures(tx: Connection, *, now: float) -> list[str]:
    """What could not be put or fetched of late, each as a sentence."""
    found = stored.with_prefix(tx, FAILED)
    return [f"artifacts: {told['why']}" for told in found.values() if now - told["at"] < OLD_SECONDS]


@contextlib.contextmanager
def _beside(settings: Settings, side: str, step: Step) -> Iterator[None]:
    if not settings.artifacts:
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=_run, args=(settings, side, step, ended), daemon=True, name=f"artifacts {side}")
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(LOOK_SECONDS)  # one that waits for the storage ends with the process: the next one goes on


def _run(settings: Settings, side: str, step: Step, ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            with contextlib.closing(database.open(settings.database)) as db:
                pause = 0.0
                while not ended.wait(pause):
                    pause = tried(db, settings, side, step, pause)
        except store_errors.StoreError as problem:  # busy, full, or a server that is away: look again later
            log.warning("artifacts: %s", problem)
            ended.wait(10 * LOOK_SECONDS)


def tried(db: Database, settings: Settings, side: str, step: Step, pause: float) -> float:
    """One look; returns the seconds until the next one, longer after each that failed. What failed is told on the page."""
    key = f"{FAILED}{side} {socket.gethostname()}"
    try:
        step(db, settings)
        why = ""
    except CANNOT as problem:
        why = str(problem)
        log.warning("artifacts (%s): %s", side, why)
    with db.read() as tx:
        before = stored.get_setting(tx, key)
    if why or before:
        with db.write() as tx:
            stored.set_setting(tx, key, {"why": why, "at": time.time()}) if why else stored.remove_setting(tx, key)
    return min(LONGEST_PAUSE, max(2 * pause, 2 * LOOK_SECONDS)) if why else LOOK_SECONDS
