"""Several workers on one server's database embed one pool: who stands by takes slices from its end, the learner the rest.

The learner is the worker with new images, its round with a new network, or its child that embeds with another backbone.
A slice is a range of image ids. Whoever embeds it holds an advisory lock of the server, which ends with the process, so
that no slice is done twice; what is done lies as a file in the workspace, with artifacts on their storage too, until the
learner, who goes through the ids in order, takes it up.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection

from app import artifact_keeping, artifacts, children, errors, pool
from app.settings import Settings
from model import checkpoint
from model import errors as model_errors
from store import duties, images
from store import settings as stored
from store.database import Database
from store.records import Image

SLICE = 512  # image ids
MANY = 4 * SLICE  # images from which others are asked to help
WORKER = "worker"
NETWORK = "network.safetensors"  # beside the slices: a round's network, which has no checkpoint yet
WAIT_SECONDS = 0.5  # until it is tried again whether who has a slice has ended without leaving it
TICK = 0.05  # for who waits for that
HELP_SECONDS = 0.5  # of a step beside, after which it is looked whether the learner has ended

log = logging.getLogger("raum.worker")


def of(image_id: int) -> int:
    """The slice of an image."""
    return (image_id - 1) // SLICE


def _duty(db: Database, folder: str, number: int) -> duties.Duty:
    return duties.Duty(db, duties.WORKER + 1 + zlib.crc32(f"{folder} {number}".encode()) % (2**31 - 4))


def _parts(workspace: Path, folder: str) -> Path:
    return workspace / f"{folder}.parts"


class Learner:
    """The side of who learns. In a workspace of one machine's own database nobody helps."""

    def __init__(self, db: Database, settings: Settings, who: str = WORKER) -> None:
        """`who`: the worker, or the verb of its child."""
        self.db, self.settings, self.alone = db, settings, isinstance(settings.database, Path)
        self.key = children.ASKED + who
        self.duty: duties.Duty | None = None
        self.at: tuple[str, int] | None = None  # folder and slice that it embeds now
        self.asked, self.next_try = False, 0.0
        if not self.alone:  # what another learner asked for is over
            with db.write() as tx:
                for key in stored.with_prefix(tx, children.ASKED if who == WORKER else self.key):
                    stored.remove_setting(tx, key)

    def extend(self, held: pool.Pool, found: Sequence[Image], *, seconds: float, last: int | None = None) -> int:
        """As pool.extend, of the first slice of `found`; 0 while another worker is about to finish that. `last`: the newest
        image that is to be embedded, without it the newest there is."""
        if self.alone or (not self.asked and len(found) < MANY):
            return pool.extend(held, found, seconds=seconds)
        number = of(found[0].id)
        images_ = [image for image in found if of(image.id) == number]
        if self.at != (held.folder, number):
            self.let_go()
            if time.monotonic() < self.next_try:
                return self._take_up(held, images_, number, last, here=True)
            duty = _duty(self.db, held.folder, number)
            if not duty.take():
                duty.let_go()
                self.next_try = time.monotonic() + WAIT_SECONDS
                return self._take_up(held, images_, number, last)
            self.duty = duty
            self._ask(held, number, last)
            if done := self._take_up(held, images_, number, last):
                return done
        return pool.extend(held, images_, seconds=seconds)

    def end(self, held: pool.Pool) -> None:
        """All is embedded."""
        if self.asked:
            with self.db.write() as tx:
                stored.remove_setting(tx, self.key)
                others = {f"{told['folder']}.parts" for told in _asked(tx)}
                there = artifacts.known(tx, self.settings, "embeddings/")
            self.let_go()
            self.asked = False
            for left in _parts(self.settings.workspace, held.folder).parent.glob("*.parts"):
                if f"embeddings/{left.name}" not in others:
                    shutil.rmtree(left, ignore_errors=True)
            parts = [name for name in there if artifacts.PART.fullmatch(name)]
            artifacts.forget(self.db, self.settings, [name for name in parts if name.rpartition("/")[0] not in others])

    def _ask(self, held: pool.Pool, number: int, last: int | None) -> None:
        """Say which slices are still to be done: those after this one."""
        network = self._lent(held)
        self.at, self.asked = (held.folder, number), True
        with self.db.write() as tx:
            told = {"folder": held.folder, "checkpoint": held.checkpoint, "network": network, "slice": number}
            stored.set_setting(tx, self.key, told | {"last": last or images.newest(tx)})

    def _lent(self, held: pool.Pool) -> str | None:
        """Where helpers find the network of a round that has left no checkpoint yet."""
        if held.checkpoint is None or (self.settings.workspace / held.checkpoint).is_file():
            return None
        name = f"{held.folder}.parts/{NETWORK}"
        if not self.asked:
            checkpoint.save(self.settings.workspace / name, held.net, class_ids=held.class_ids, meta={})
            _put(self.db, self.settings, name)
        return name

    def let_go(self) -> None:
        """Let others have the slice that is not finished."""
        if self.duty is not None:
            self.duty.let_go()
        self.duty = self.at = None

    def _take_up(
        self, held: pool.Pool, images_: list[Image], number: int, last: int | None, *, here: bool = False
    ) -> int:
        """What another worker has left of these images, with `here` in this workspace; 0 where there is nothing."""
        file = _parts(self.settings.workspace, held.folder) / f"{number}.npz"
        try:
            if not here:
                artifacts.bring(self.db, self.settings, f"{held.folder}.parts/{number}.npz")
            with np.load(file, allow_pickle=False) as told:
                looked, ids_N, embeddings_ND, looks_NF = (told[name] for name in ("looked", "ids", "x", "looks"))
        except (OSError, ValueError, KeyError, EOFError, errors.AppError):
            return 0
        chosen = [image for image in images_ if image.id in set(looked.tolist())]
        if chosen != images_ or len(ids_N) != len(embeddings_ND):
            return 0
        wanted_N = np.isin(ids_N, np.array([image.id for image in chosen], np.int64))
        if wanted_N.any():
            pool.add(held, ids_N[wanted_N].tolist(), embeddings_ND[wanted_N], looks_NF[wanted_N])
        held.unreadable.update({image.id for image in chosen}.difference(ids_N.tolist()))
        pool.remember_images(held, chosen)
        held.last_id = chosen[-1].id
        if self.at != (held.folder, number):  # told before the file goes, so that nobody takes the slice for undone
            self._ask(held, number, last)
        file.unlink(missing_ok=True)
        return len(chosen)


class Helper:
    """The side of who stands by: one slice at a time, in steps."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self.db, self.settings = db, settings
        self.nets: dict[str, pool.Pool | None] = {}  # by folder: the networks asked for, where they can be had here
        self.held: pool.Pool | None = None  # the one that embeds the slice, with its rows
        self.duty: duties.Duty | None = None
        self.number, self.left, self.images = 0, [], []  # type: int, list[Image], list[Image]

    def step(self) -> str:
        """Embed for half a second what the learner asks for; returns what it does, nothing where there is nothing to do."""
        with self.db.read() as tx:
            asked = {told["folder"]: told for told in _asked(tx)}
        self.nets = {folder: net for folder, net in self.nets.items() if folder in asked}
        if self.held is not None and self.held.folder not in asked:
            self.end()
        if self.duty is None and not any(self._begin(told) for told in asked.values()):
            return ""
        assert self.held is not None  # mypy: whoever has a slice has its network
        done = pool.extend(self.held, self.left, seconds=HELP_SECONDS)
        self.left = self.left[done:]
        if not self.left:
            self._write(self.held)
            self.end()
        return f"helps to look at the images: {self.images[0].id:,} to {self.images[-1].id:,}"

    def end(self) -> None:
        """Let go of the slice; what was not written is lost."""
        if self.duty is not None:
            self.duty.let_go()
        self.duty = self.held = None

    def _open(self, told: dict[str, Any]) -> pool.Pool | None:
        """The learner's network; None where it cannot be had here."""
        name, folder = told["checkpoint"], told["folder"]
        try:
            if name is None:
                found = pool.open_wanted(self.settings, [])
            else:
                artifact_keeping.at_hand(self.db, self.settings, told["network"] or name)
                loaded = checkpoint.load(self.settings.workspace / (told["network"] or name))
                found = pool.Pool(self.settings, loaded.net.to(pool.device()), name, Path(name).stem)
        except model_errors.ModelError as problem:
            log.warning("cannot help to look at the images: %s", problem)
            return None
        return found if found.folder == folder else None

    def _begin(self, told: dict[str, Any]) -> bool:
        """Claim the last whole slice that nobody has."""
        if told["folder"] not in self.nets:
            self.nets[told["folder"]] = self._open(told)
        held = self.nets[told["folder"]]
        if held is None:
            return False
        for number in range(of(told["last"] + 1) - 1, told["slice"], -1):
            if self._done(held, number):
                continue
            duty = _duty(self.db, held.folder, number)
            if not duty.take() or self._done(held, number):  # done just now
                duty.let_go()
                continue
            with self.db.read() as tx:
                found = images.all_after(tx, number * SLICE, SLICE)
            self.images = self.left = [image for image in found if of(image.id) == number]
            if self.images:
                self.duty, self.number = duty, number
                self.held = pool.Pool(self.settings, held.net, held.checkpoint, held.name)  # without rows
                return True
            duty.let_go()
        return False

    def _done(self, held: pool.Pool, number: int) -> bool:
        """Whether a helper has left the slice here or on the storage, or the learner has passed it."""
        if self._file(held, number).exists():
            return True
        with self.db.read() as tx:
            name = f"{held.folder}.parts/{number}.npz"
            there = name in artifacts.known(tx, self.settings, name)
            at = [told["slice"] for told in _asked(tx) if told["folder"] == held.folder]
        return there or not at or number <= at[0]

    def _file(self, held: pool.Pool, number: int) -> Path:
        return _parts(self.settings.workspace, held.folder) / f"{number}.npz"

    def _write(self, held: pool.Pool) -> None:
        file = self._file(held, self.number)
        file.parent.mkdir(parents=True, exist_ok=True)
        beside = file.with_name(f".{self.number}.{os.getpid()}.tmp")
        with beside.open("wb") as out:
            looked = np.array([image.id for image in self.images], np.int64)
            np.savez(out, looked=looked, ids=held.image_ids, x=held.embeddings_ND, looks=held.looks_NF)
        os.replace(beside, file)
        _put(self.db, self.settings, f"{held.folder}.parts/{self.number}.npz")


def _asked(tx: Connection) -> list[dict[str, Any]]:
    """What is to be embedded."""
    return list(stored.with_prefix(tx, children.ASKED).values())


def _put(db: Database, settings: Settings, name: str) -> None:
    """For who shares no folder; where it cannot be put, the others do without."""
    try:
        if settings.artifacts:
            artifacts.put(db, settings, name)
    except artifact_keeping.CANNOT as problem:
        log.warning("%s could not be put on the storage: %s", name, problem)
