"""Another backbone for a running workspace: a child embeds the pool with it, and until it has, the old one goes on."""

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path

from app import (
    backbone_names,
    backbones,
    children,
    errors,
    jobs,
    pool,
    pool_files,
    processes,
    self_teaching,
    settings,
    sharing,
)
from model import config
from model import errors as model_errors
from store import images, queue, workers
from store import settings as stored
from store.database import Database

AT_ONCE = 5_000  # image rows read from the database at a time
SLICE_SECONDS = 3.0
SAVE_SECONDS = 10.0  # most work that a kill undoes
SAVE_SHARE = 20.0  # a save that takes a second is followed by so many of embedding
RETRY_SECONDS = 600.0
AGAIN = f"tried again every {RETRY_SECONDS / 60:.0f} minutes"
ORPHAN_SECONDS = 60.0  # for the child of a killed worker to end
STAYS_ON = "stays_on"  # setting: [checkpoint that a person went back to, backbone that the settings named then]

log = logging.getLogger("raum.worker")


def is_due(db: Database, chosen: settings.Settings, held: pool.Pool) -> bool:
    """Whether the settings name another network than the one that learns, and nobody has gone back to that since."""
    with db.read() as tx:
        if [held.checkpoint, chosen.backbone] == stored.get_setting(tx, STAYS_ON):
            return False
    if held.config.backbone != chosen.backbone:
        return True
    if held.checkpoint:  # what a round has learnt is not given up for a new start of the same backbone
        return chosen.image_size not in (0, held.config.image_size)
    try:
        return pool.start_name(pool.network_config(chosen, 2)) != held.name
    except model_errors.ModelError:  # the same backbone, gone by now
        return False


def successor(db: Database, chosen: settings.Settings) -> pool.Pool:
    """The pool of the network that the settings name, as far as it is embedded; ready to take over what is shown.

    Raises BadRequest where that network cannot be had."""
    with db.read() as tx:
        known, current = images.all_ok(tx), queue.current(tx)
    try:
        found = pool.open_wanted(chosen, known)
    except model_errors.ModelError as problem:
        raise errors.BadRequest(str(problem)) from problem
    found.stands_for = current.round_id if current else None
    return found


def fill(
    db: Database,
    held: pool.Pool,
    tell: Callable[[int, int], None],
    *,
    slice_began: Callable[[], None] = lambda: None,
    shared: sharing.Learner | None = None,
) -> None:
    """Embed every image that is not yet, saving now and then: ended at any moment, it is resumed. tell: done and all;
    `shared`: asks workers that stand by to help."""
    extend = pool.extend if shared is None else shared.extend
    with db.read() as tx:
        total = images.counts(tx)["ok"]
    saved_at, pause, changed = time.monotonic(), SAVE_SECONDS, False
    while True:
        with db.read() as tx:
            fresh = images.all_after(tx, held.last_id, AT_ONCE)
        if not fresh:
            break
        while fresh:
            slice_began()
            done = extend(held, fresh, seconds=SLICE_SECONDS)
            fresh = fresh[done:] if shared is None else []  # slices are read whole
            if not done:
                time.sleep(sharing.TICK)
                continue
            tell(len(held.image_ids), max(total, len(held.image_ids)))
            changed = True
            if time.monotonic() - saved_at > pause:
                began = time.monotonic()
                pool_files.save(held)
                saved_at, changed = time.monotonic(), False
                pause = max(SAVE_SECONDS, SAVE_SHARE * (saved_at - began))
    if changed:
        pool_files.save(held)
    if shared is not None:
        shared.end(held)


def embed(workspace: Path, *, backbone: str | None, child: bool) -> None:
    """The verb: embed the pool with the network that the settings name; nothing is published."""
    import torch

    processes.keep_memory()
    if child:
        processes.end_with(processes.parent())
        if hasattr(os, "nice"):
            os.nice(10)
    chosen = settings.load(workspace, backbone=backbone)
    with (
        jobs.opened(chosen) as db,
        processes.only_one(chosen.workspace, children.EMBED, wait=ORPHAN_SECONDS),
        jobs.shown(db, children.EMBED, child) as tell,
    ):
        chosen = backbones.settle(db, chosen, pool.machine(), say=None)
        threads = jobs.threads_beside(db, os.cpu_count() or 1)
        held = successor(db, chosen)
        with db.read() as tx:
            new, old = held.config, pool_files.network_of(chosen.workspace, queue.current(tx))
        fill(
            db,
            held,
            lambda done, total: tell("embedding", done / total, sentence(done, total, new, old)),
            slice_began=lambda: torch.set_num_threads(threads()),
            shared=sharing.Learner(db, chosen, children.EMBED),
        )


def stay(db: Database, chosen: settings.Settings, checkpoint: str | None) -> None:
    """A person went back to this checkpoint: its backbone stays, whatever the settings name, until the next round."""
    with db.write() as tx:
        stored.set_setting(tx, STAYS_ON, [checkpoint, chosen.backbone])


class Switch:
    """State with a lifetime: where a worker stands with changing the backbone."""

    def __init__(self, db: Database, chosen: settings.Settings, others: children.Children) -> None:
        self.db, self.settings, self.children = db, chosen, others
        self.seen: pool.Pool | None = None
        self.due = False
        self.next_try = self.next_teaching = 0.0
        self.offered = False
        self.untaught = True  # the page may still tell of a pretraining that failed under another worker

    def step(self, held: pool.Pool) -> pool.Pool | None:
        """The new network's pool once it is embedded, to publish from; before that, see to the child that embeds."""
        self._teach(held)
        if held is not self.seen:
            self._look(held)
        if not self.due or children.EMBED in self.children.running:
            return None
        if self.offered:  # and yet what it would replace is still held
            self._failed("its queue could not be published, see logs/worker.log")
        elif children.EMBED in self.children.ended:
            problem = self.children.ended.pop(children.EMBED)
            if problem is None:
                return self._taken_up()
            self._failed(problem)
        elif time.monotonic() >= self.next_try:
            self._say("starting", f"starting to embed with the new backbone {self._new}")
            self.children.start_embedding()
        return None

    @property
    def holds(self) -> bool:
        """Whether rounds wait: they would start from weights that are about to be others."""
        return self.due or children.PRETRAIN in self.children.running

    def _teach(self, held: pool.Pool) -> None:
        """Pretraining on the pool, where the settings want it; what it leaves is another start, which is switched to."""
        problem = self.children.ended.pop(children.PRETRAIN, "")
        if problem is None:
            self.seen = None
        elif problem:
            self.next_teaching, self.untaught = time.monotonic() + RETRY_SECONDS, True
            log.warning("no pretraining on the pool: %s", problem)
            self._say("failed", f"no pretraining on the pool: {_short(problem)}; {AGAIN}", of=children.PRETRAIN)
        if children.PRETRAIN in self.children.running or time.monotonic() < self.next_teaching:
            return
        if self_teaching.is_due(self.settings, held):
            self.children.start_pretraining()
        elif self.untaught:
            self.untaught = False
            self._say("idle", "", of=children.PRETRAIN)

    def _look(self, held: pool.Pool) -> None:
        self.seen, self.offered, self.due = held, False, is_due(self.db, self.settings, held)
        self.next_try = 0.0
        self.children.ended.pop(children.EMBED, None)  # that was about another change
        if not self.due:
            if children.EMBED in self.children.running:
                self.children.running[children.EMBED].process.terminate()
            self._say("idle", "")

    def _taken_up(self) -> pool.Pool | None:
        self.offered = True  # tried again later, whatever happens to it
        self._say("publishing", f"all images are embedded with the new backbone {self._new}: its queue is made", 1.0)
        try:
            return successor(self.db, self.settings)
        except errors.BadRequest as problem:
            self._failed(str(problem))
            return None

    def _failed(self, problem: str) -> None:
        self.offered, self.next_try = False, time.monotonic() + RETRY_SECONDS
        old = self.seen.config.backbone if self.seen else ""
        log.warning("no switch to %s: %s", self.settings.backbone, problem)
        self._say(
            "failed",
            f"the new backbone {self._new} cannot be used: {_short(problem)}; the queue stays ordered by "
            f"{backbone_names.short(old)}, and it is {AGAIN}",
        )

    @property
    def _new(self) -> str:
        return backbone_names.short(self.settings.backbone)

    def _say(self, phase: str, message: str, fraction: float | None = None, of: str = children.EMBED) -> None:
        with self.db.write() as tx:
            workers.beat(tx, of, pid=0, phase=phase, fraction=fraction, message=message, now=time.time())


def _short(problem: str) -> str:
    """Why a child ended, as a part of a sentence."""
    return problem.removeprefix("error: ").rstrip(" .,")


def sentence(done: int, total: int, new: config.NetworkConfig, old: config.NetworkConfig | None) -> str:
    """What the page tells while it goes on."""
    names = _names(new, old)
    return (
        f"embedding with the new backbone {names[0]}: {done:,} of {total:,}; the queue is still ordered by {names[1]}"
    )


def _names(new: config.NetworkConfig, old: config.NetworkConfig | None) -> tuple[str, str]:
    """Both in a few words that tell them apart."""
    if old is None:
        return backbone_names.short(new.backbone), "an earlier one"
    if new.backbone != old.backbone:
        return backbone_names.short(new.backbone), backbone_names.short(old.backbone)
    if new.image_size != old.image_size:
        return (
            f"{backbone_names.short(new.backbone)} at {new.image_size} px",
            f"{backbone_names.short(old.backbone)} at {old.image_size} px",
        )
    if new.crops != old.crops:
        return f"{backbone_names.short(new.backbone)} with crops = {new.crops}", f"crops = {old.crops}"
    return f"{backbone_names.short(new.backbone)} (new weights)", "the old weights"
