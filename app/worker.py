"""WHEN to learn: refreshes soon after labels, lets children run beside it, and survives a failed step."""

import contextlib
import dataclasses
import logging
import os
import time
from collections.abc import Callable

import numpy as np

from app import (
    artifact_keeping,
    children,
    closer,
    errors,
    importing,
    labelling,
    leftovers,
    pool,
    pool_files,
    processes,
    refreshing,
    retrying,
    sharing,
    standby,
    switching,
    webhooks,
)
from app.settings import Settings
from store import class_acts, commands, database, images, labels, queue, rounds, workers
from store import errors as store_errors
from store.records import Command

log = logging.getLogger("raum.worker")

TICK = 0.05
LOOKS_A_TICK = 5
BEAT_SECONDS = 1.0
RESTING_FROM = 2  # refresh_max_delay without a label, after which what was taken in by steps is fitted anew
GROWTH_FIRST_SHOWN = 48  # embedded images from which a first queue is worth publishing


def run(settings: Settings) -> None:
    """Own the learning of one workspace until SIGTERM. Raises WorkspaceBusy naming the pid of a worker already there.

    Where the database is on a server, several may be there, on any machine: one learns, the others stand by.
    """
    ending = processes.Ending()
    try:
        while not ending.asked:
            with standby.learning(settings) as duty:
                worker = Worker(settings)
                try:
                    with webhooks.telling(settings), artifact_keeping.keeping(settings):
                        worker.loop(ending, duty)  # comes back where the duty is lost, to stand by
                finally:
                    worker.end()
    except KeyboardInterrupt:
        log.info("asked to end")


class Worker:
    """What the worker remembers between two looks at the database."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.db = database.open(settings.database)
        labelling.ask_several(self.db, overlap=settings.overlap, overlap_rate=settings.overlap_rate)
        leftovers.remove(settings.workspace)
        self.pool = self._open_pool()
        own = {"refresh": self._refresh_now, "roll_back": self._roll_back}
        self.children = children.Children(self.db, settings, own)
        self.refresher = refreshing.Refresher(self.db, settings)
        self.closer = closer.Closer(self.db, settings, self.refresher.beside)
        self.shared = sharing.Learner(self.db, settings)
        self.switch = switching.Switch(self.db, settings, self.children)
        self.retry = retrying.Retry(self.db, settings)
        self.seen = self.published = -1  # watermarks: last looked at, last published
        self.classes_seen = self.classes_published = 0  # changes of the classes: the same
        self.first_unseen = self.last_unseen = self.free_at = 0.0
        self.shown_images, self.wants_maps = 0, False
        self.next_look_for_images = self.next_look_for_imports = self.beat_at = 0.0
        self.phase, self.message, self.fraction = "starting", "reading the workspace", None  # type: str, str, float | None

    def loop(self, ending: processes.Ending, duty: standby.Duty | None = None) -> None:
        """Look, act, sleep a little; an expected failure of one act is told and the next look goes on.

        Ends once the duty to learn is lost, too: what is held in memory may be another worker's past by then.
        """
        while not ending.asked and not (duty and duty.lost(time.monotonic())):
            busy = False
            for act in (
                self.children.look_after_children, self.children.obey, self._adopt, self._refresh, self._grow, self._switch,
                self._start_round, self.children.start_backup_when_due, self._finish_import, self._look_closer,
            ):  # fmt: skip
                busy = self._guarded(act) or busy
            self._beat()
            if not busy:
                self._pause()

    def _pause(self) -> None:
        """A tick; where labels are taken in at once, it ends with the next one."""
        for _ in range(LOOKS_A_TICK):
            time.sleep(TICK / LOOKS_A_TICK)
            if self.refresher.is_quick(self.pool, self.classes_seen):
                with self.db.read() as tx:
                    if labels.watermark(tx) > self.seen:
                        return

    def end(self) -> None:
        """End the children; what they had begun is begun again by the next worker."""
        self.children.end()
        self.refresher.end()
        self.shared.let_go()
        self.retry.end()
        with contextlib.suppress(store_errors.CannotWrite, store_errors.Busy), self.db.write() as tx:
            workers.beat(tx, "worker", pid=0, phase="stopped", message="the worker has ended", now=time.time())
        self.db.close()

    def _guarded(self, act: Callable[[], bool]) -> bool:
        try:
            return act()
        except Exception as problem:  # the worker's loop: one failed step never ends the learning of the others
            log.exception("step %s failed", act.__name__)
            self._say("failed", f"{act.__name__.strip('_').replace('_', ' ')}: {problem}")
            time.sleep(1.0)
            return False

    def _open_pool(self) -> pool.Pool:
        with self.db.read() as tx:
            current, known = queue.current(tx), images.all_ok(tx)
            earlier = [each.checkpoint for each in reversed(rounds.all_(tx)) if each.status == "published"]
        artifact_keeping.at_hand(self.db, self.settings)
        return pool.open_(self.settings, current, known, [name for name in earlier if name])

    def _adopt(self) -> bool:
        with self.db.read() as tx:
            current = queue.current(tx)
        if current is None or (current.checkpoint or None) in (self.pool.asked, self.pool.checkpoint):
            return False
        self._say("loading", f"loading round {current.round_id}")
        self.pool = self._open_pool()
        self.shown_images = len(self.pool.image_ids)
        self.published = -1  # labels that came after the round's last look are taken in at once
        return True

    def _refresh_now(self, command: Command) -> None:
        self.published = -1  # as if labels had come that no refresh has seen
        self.refresher.forget()
        with self.db.write() as tx:
            commands.finish(tx, command.id, now=time.time())

    def _roll_back(self, command: Command) -> None:
        """Learn and ask on an earlier round's network from now on, until the next round publishes."""
        wanted = command.payload.get("round")
        with self.db.read() as tx:
            current, known = queue.current(tx), images.all_ok(tx)
            chosen = next((each for each in rounds.all_(tx) if each.id == wanted and each.checkpoint), None)
            self.seen = labels.watermark(tx)
        if chosen is None or current is None:
            raise errors.BadRequest(f"there is no published round {wanted!r} to go back to")
        artifact_keeping.at_hand(self.db, self.settings, chosen.checkpoint)
        found = pool.open_(self.settings, dataclasses.replace(current, checkpoint=chosen.checkpoint), known)
        if found.checkpoint != chosen.checkpoint:
            raise errors.BadRequest(f"round {chosen.id} cannot be taken up: {found.note.partition(';')[0]}")
        found.asked, found.stands_for = current.checkpoint, current.round_id
        switching.stay(self.db, self.settings, found.checkpoint)
        self._publish(found)
        with self.db.write() as tx:
            commands.finish(tx, command.id, now=time.time())

    def _switch(self) -> bool:
        ready = self.switch.step(self.pool) or self.retry.step(self.pool)
        return ready is not None and self._publish(ready)

    def _grow(self) -> bool:
        now = time.monotonic()
        if self.pool.net is None:
            self.pool.complete = True  # as far as it will ever be
            return False
        if self.pool.complete and now < self.next_look_for_images:
            return False
        self.next_look_for_images = now + 1.0
        with self.db.read() as tx:
            found = images.all_after(tx, self.pool.last_id, switching.AT_ONCE)
            total = len(self.pool.image_ids) + images.newest(tx) - self.pool.last_id  # ids have few gaps
        self.pool.complete = not found and not self.children.reading
        if not found:
            return False
        done, count = self.shared.extend(self.pool, found, seconds=0.4), len(self.pool.image_ids)
        if done:
            self._say("embedding", f"looking at the images: {count:,} of {total:,}", count / total)
        if found[-1].id == self.pool.last_id and len(found) < switching.AT_ONCE:
            self.pool.complete = not self.children.reading
            pool_files.save(self.pool)
            self.shared.end(self.pool)
        return done > 0

    def _refresh(self) -> bool:
        now = time.monotonic()
        with self.db.read() as tx:
            watermark, classes = labels.watermark(tx), class_acts.newest(tx)
        if (watermark, classes) != (self.seen, self.classes_seen):
            if (self.seen <= self.published and self.classes_seen <= self.classes_published) or self.seen < 0:
                self.first_unseen = now
            self.seen, self.classes_seen, self.last_unseen = watermark, classes, now
        delay, most = self.settings.refresh_delay, self.settings.refresh_max_delay
        waited = now - self.last_unseen >= delay or now - self.first_unseen >= most
        if self.refresher.is_quick(self.pool, classes):
            waited = now >= self.free_at  # labels are taken in one by one
        fresh = waited and (watermark > self.published or classes > self.classes_published)
        resting = now - self.last_unseen >= RESTING_FROM * most
        ended = self.refresher.wants(self.pool, classes, resting=resting)
        grown = self.refresher.running is None and self._pool_has_grown()
        if not (fresh or ended or grown or self._maps_are_due(now)):
            return False
        return self._publish(self.pool, resting=resting)

    def _publish(self, held: pool.Pool, *, resting: bool = False) -> bool:
        """Rank on `held` and publish; from then on that is the pool. False while its fit goes on beside."""
        classes = self.classes_seen
        if not len(held.image_ids):
            self.published, self.classes_published = self.seen, classes
            return False
        try:
            rng = np.random.default_rng([self.settings.seed, self.seen])  # the same labels ask for the same images
            began, now = time.monotonic(), time.time()
            if held is self.pool:
                done = self.refresher.refresh(held, classes, now=now, rng=rng, resting=resting)
            else:
                done = self.refresher.at_once(held, now=now, rng=rng)
            self.free_at = 2 * time.monotonic() - began  # half the time is for others
        except store_errors.Superseded:
            return True  # a round published meanwhile: adopt it first, then refresh on its embeddings
        if done is None:
            return False
        log.info("publication %s, up to label event %s: %s", done.publication, done.watermark, done.message)
        self.pool, self.published, self.classes_published = held, done.watermark, classes
        self.shown_images = self.refresher.shown(held)
        self.wants_maps = bool(done.without_maps)
        self._say("ready", done.message)
        return True

    def _pool_has_grown(self) -> bool:
        size = len(self.pool.image_ids)
        first = self.shown_images == 0 and size >= GROWTH_FIRST_SHOWN
        return first or (size > self.shown_images and (size >= 2 * self.shown_images or self.pool.complete))

    def _maps_are_due(self, now: float) -> bool:
        """Feature maps of the queue's head are computed while nobody waits; then the maps are drawn for it."""
        if not self.wants_maps or now - self.last_unseen < 2 * self.settings.refresh_max_delay:
            return False
        with self.db.read() as tx:
            current = queue.current(tx)
            head = queue.head(tx, current.id, self.settings.overlay_head) if current else []
        wanted = [row.image_id for row in head]
        missing = pool.compute_maps(self.pool, wanted, seconds=0.3)
        self.wants_maps = missing > 0
        return not self.wants_maps

    def _start_round(self) -> bool:
        wanted = self.settings.rounds and self.pool.wants_rounds and not self.switch.holds
        untrained = self.pool.checkpoint is None and self.pool.asked is None
        return wanted and self.pool.complete and self.children.start_round_when_due(untrained=untrained)

    def _finish_import(self) -> bool:
        """A step of an import whose process was killed; looked for once a second."""
        now = time.monotonic()
        if now < self.next_look_for_imports:
            return False
        more = importing.carry_on(self.db, self.settings, now=time.time())
        self.next_look_for_imports = now + (0.0 if more else 1.0)
        return more

    def _look_closer(self) -> bool:
        """The review's lists, and a step of measuring while people pause longer than a refresh would wait."""
        caught_up, aside = self.seen <= self.published, self.refresher.is_quick(self.pool, self.classes_seen)
        return self.closer.step(
            self.pool, shown=self.published, caught_up=caught_up and self.pool.complete, now=time.monotonic(),
            last_answer=self.last_unseen, aside=aside,
        )  # fmt: skip

    def _say(self, phase: str, message: str, fraction: float | None = None) -> None:
        self.phase, self.message, self.fraction = phase, message, fraction
        self._beat(at_once=True)

    def _beat(self, at_once: bool = False) -> None:
        now = time.monotonic()
        if not at_once and now - self.beat_at < BEAT_SECONDS:
            return
        self.beat_at = now
        try:
            with self.db.write() as tx:
                workers.beat(
                    tx, "worker", pid=os.getpid(), phase=self.phase, fraction=self.fraction, message=self.message,
                    device=self.pool.device_text, now=time.time(),
                )  # fmt: skip
        except (store_errors.CannotWrite, store_errors.Busy) as problem:
            log.warning("no sign of life could be written: %s", problem)
