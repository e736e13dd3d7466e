"""WHICH kind of refresh: a new fit where that is quick, else rank-one steps at once and the new fit in a thread beside them.

On a large pool of many classes a fit takes a second or more. Then every label is taken in by an exact step of the last
layer's posterior (model/last_layer_update.py) and the queue is flipped within a fraction of a second, while fits go on
beside it: after one label in twenty, at rest, and where an answer is no new label (taken back, reviewed, of several
people), for which there is no step. A fit's result takes in what was said since it began before it is published.
"""

import dataclasses
import time
from concurrent import futures

import numpy as np
from numpy.typing import NDArray

from app import agreement, learning, pool, processes, ranking, ranking_spots
from app.settings import Settings
from model import last_layer
from model.last_layer_draws import Noise
from model.last_layer_update import Following
from store import labels, queue
from store.database import Database
from store.records import Event, Lease

SLOW_SECONDS = 0.4  # fits that take longer run beside
FOLLOWED = 5_000  # least certain images whose scores follow every label; the others wait for the next fit
NEW_SHARE, FEWEST_NEW = 0.05, 10  # labels since the last fit after which another one begins
ORDERED = ("typical", "uncertain")  # reasons of what the strategy put in order, not the lot
MOST_DRAWN = 300  # of the least certain: what is in the queue, and for the few that are chosen together
MOST_STEPS = 200  # labels at once; more wait for the fit


@dataclasses.dataclass
class _Kept:
    """The last fit and what was taken in since; its rows are the first of the pool's."""

    held: pool.Pool
    image_ids: NDArray[np.int64]
    x_NR: NDArray[np.float32]
    found: ranking.Fitted
    agreed: agreement.Agreement | None
    classes: int  # changes of the classes when it began
    following: Following
    followed_M: NDArray[np.int64]  # its rows
    noise: Noise | None = None  # of its draws: between two fits they change with the labels alone
    steps: int = 0  # labels taken in since
    left_over: bool = False  # something was said that only a fit can take in

    def take_in(self, events: list[Event], leases: list[Lease], watermark: int) -> None:
        """Move on to a later watermark."""
        seen, spots = self.found.seen, self.found.spots
        said = {event.image_id: event for event in events if event.kind in ("label", "reject")}
        open_ids = self.image_ids[spots.open_N]
        plain = set(open_ids[np.isin(open_ids, np.array(list(said), np.int64))].tolist())
        index = {class_id: at for at, class_id in enumerate(seen.class_ids)}
        labelled: dict[int, int] = {}
        rejected = [image_id for image_id in plain if said[image_id].class_id is None]
        for image_id in plain.difference(rejected):
            at = index.get(seen.stands_for.get(said[image_id].class_id or 0, 0))
            if at is not None and len(labelled) < MOST_STEPS:
                labelled[image_id] = at
                self.following.learn(self.x_NR[np.searchsorted(self.image_ids, image_id)], at)
        self.steps += len(labelled) + len(rejected) + len(seen.holdout.keys() & said.keys())
        taken = labelled.keys() | set(rejected)
        self.left_over |= any(
            event.kind in ("retract", "review")
            or (
                event.kind in ("label", "reject") and event.image_id not in taken and event.image_id not in seen.holdout
            )
            for event in events
        )
        leased = [lease.image_id for lease in leases]
        self.found = dataclasses.replace(
            self.found,
            layer=self.following.layer,
            likeliest=self.found.likeliest.with_rows(self.followed_M, self.following.likeliest())
            if labelled
            else self.found.likeliest,
            spots=spots.after(self.image_ids, labelled, rejected, leased),
            seen=dataclasses.replace(
                seen,
                watermark=watermark,
                labelled=seen.labelled | labelled,
                rejected=seen.rejected | set(rejected),
                leased=leased,
                in_pages={lease.image_id for lease in leases if lease.reason == "grid"},
            ),
        )


class Refresher:
    """State with a lifetime: the last fit, and the one that runs beside. `classes` is how often the classes changed."""

    def __init__(self, db: Database, settings: Settings) -> None:
        self.db, self.settings = db, settings
        self.kept: _Kept | None = None
        self.fit_seconds = 0.0  # of the last one
        self.running: tuple[pool.Pool, futures.Future[_Kept]] | None = None
        self.beside = futures.ThreadPoolExecutor(1, thread_name_prefix="fit")

    def end(self) -> None:
        """Wait for the fit that runs, if one does; its result is dropped."""
        self.beside.shutdown(cancel_futures=True)

    def forget(self) -> None:
        """What was taken in by steps is to be fitted anew."""
        self.kept = None

    def is_quick(self, held: pool.Pool, classes: int) -> bool:
        """Whether a label can be taken in at once: the last fit is of this pool and of today's classes."""
        return self.kept is not None and self.kept.held is held and self.kept.classes == classes

    def wants(self, held: pool.Pool, classes: int, *, resting: bool) -> bool:
        """Whether there is something to do though nothing new was said: a fit has ended, or is to begin."""
        if self.running is not None:
            return self.running[1].done()
        return self.is_quick(held, classes) and self._is_due(held, resting=resting)

    def shown(self, held: pool.Pool) -> int:
        """How many images of the pool the last publication knew."""
        return len(held.image_ids) if self.kept is None else len(self.kept.image_ids)

    def refresh(
        self, held: pool.Pool, classes: int, *, now: float, rng: np.random.Generator, resting: bool = False
    ) -> learning.Refreshed | None:
        """Publish what can be published now; None while the first fit of this pool runs. Raises Superseded."""
        ended = False
        if self.running is not None and self.running[1].done():
            (of, fit), self.running, before = self.running, None, self.kept
            self.kept, ended = fit.result(), of is held
            if before is None or before.image_ids is not self.kept.image_ids:  # of many images the first time
                processes.settle()
        quick = self.is_quick(held, classes)
        if not quick or (not ended and self._is_due(held, resting=resting)):
            if self.running is None and not self._worth_beside():
                return self.at_once(held, now=now, rng=rng)
            self._begin(held, classes, now=now, rng=rng)
        if not quick or self.kept is None:
            return None
        return self._follow(self.kept, now=now, rng=rng, whole=ended, resting=resting)

    def at_once(self, held: pool.Pool, *, now: float, rng: np.random.Generator) -> learning.Refreshed:
        """Fit, rank and publish, however long it takes."""
        began, self.kept = time.perf_counter(), None
        done = learning.refresh(self.db, self.settings, held, now=now, rng=rng)
        self.fit_seconds = time.perf_counter() - began
        return done

    def _is_due(self, held: pool.Pool, *, resting: bool) -> bool:
        """Whether a fit is to begin, though labels can be taken in without one."""
        if self.kept is None or self.kept.left_over or len(held.image_ids) > len(self.kept.image_ids):
            return True
        many = max(FEWEST_NEW, NEW_SHARE * len(self.kept.found.seen.labelled))
        return self.kept.steps >= many or (resting and self.kept.steps > 0)

    def _worth_beside(self) -> bool:
        with self.db.read() as tx:
            return self.fit_seconds > SLOW_SECONDS and labels.training_counts(tx)["classes"] > 1

    def _begin(self, held: pool.Pool, classes: int, *, now: float, rng: np.random.Generator) -> None:
        if self.running is None:
            prepared = held.prepared  # here, where nobody adds rows meanwhile
            self.running = held, self.beside.submit(self._fit, held, held.image_ids, prepared, classes, now, rng)

    def _fit(
        self,
        held: pool.Pool,
        image_ids: NDArray[np.int64],
        prepared: last_layer.Prepared,
        classes: int,
        now: float,
        rng: np.random.Generator,
    ) -> _Kept:
        """In the thread: nothing that the page sees is touched."""
        began = time.perf_counter()
        seen, agreed = learning.look(
            self.db, self.settings, held, image_ids=image_ids, prepared=prepared, now=now, rng=rng
        )
        spots = ranking_spots.Spots(image_ids, seen)
        looks_NF = held.looks_NF[: len(image_ids)]
        found = ranking.fit(prepared, seen, spots, settings=self.settings, rng=rng, looks_NF=looks_NF)
        followed_M = spots.open_N[np.argsort(found.likeliest.margin_M[spots.open_N], kind="stable")[:FOLLOWED]]
        following = Following(found.layer, prepared.x_NR[followed_M], spots.labels_N)
        self.fit_seconds = time.perf_counter() - began
        return _Kept(held, image_ids, prepared.x_NR, found, agreed, classes, following, followed_M)

    def _follow(
        self, kept: _Kept, *, now: float, rng: np.random.Generator, whole: bool, resting: bool
    ) -> learning.Refreshed:
        """Publish what was fitted and taken in; fewer images are drawn where the next label is about to follow."""
        began = time.perf_counter()
        with self.db.read() as tx:
            watermark = labels.watermark(tx)
            events = labels.events_since(tx, kept.found.seen.watermark)
            leases = queue.live_leases(tx, now)
        kept.take_in(events, leases, watermark)
        kept.noise = kept.found.layer.noise(self.settings.draws, rng, kept.noise)
        ranked = ranking.arrange(
            kept.found, kept.image_ids, kept.x_NR, settings=self.settings, rng=rng, noise=kept.noise,
            most=None if whole and resting else MOST_DRAWN, before=None if whole else self._order_kept(kept),
        )  # fmt: skip
        return learning.publish(
            self.db, self.settings, kept.held, ranked, kept.found.seen, kept.agreed, now=now, began=began, whole=whole
        )

    def _order_kept(self, kept: _Kept) -> list[int] | None:
        """The images of the queue that is shown, while typical ones are asked; None where labels change the order."""
        if not ranking.is_typical(kept.found, self.settings):
            return None
        with self.db.read() as tx:
            shown = queue.current(tx)
            rows = queue.head(tx, shown.id, MOST_DRAWN) if shown else None
        return None if rows is None else [row.image_id for row in rows if row.reason in ORDERED]
