"""The worker's closer looks while people pause: evidence, the review's lists, a step of measuring what was published."""

from concurrent import futures

from app import measuring, pool, propagating, reviewing
from app.settings import Settings
from store.database import Database

RESTING_SECONDS = 5.0
PAUSE_ASIDE = 2.0


class Closer:
    """One look at a time: at once, or in a thread where people would notice a second's wait."""

    def __init__(self, db: Database, settings: Settings, beside: futures.Executor) -> None:
        """`beside` runs one thing at a time, refreshes' fits among them: both use what the pool keeps of people."""
        self.db, self.beside, self.pause = db, beside, 2 * settings.refresh_delay
        self.reviewer, self.measurer = reviewing.Looker(), measuring.Measurer(settings)
        self.propagator = propagating.Propagator()
        self.running: futures.Future[bool] | None = None

    def step(
        self, held: pool.Pool, *, shown: int, caught_up: bool, now: float, last_answer: float, aside: bool
    ) -> bool:
        """Look a little closer at what is published up to label event `shown`; whether this took time here."""
        if self.running is not None:
            if not self.running.done():
                return False
            done, self.running = self.running, None
            done.result()  # brings an error back
        # Here, never beside: the network and the decoded images are not shared by threads.
        if caught_up and self.propagator.step(self.db, held, watermark=shown, idle=now - last_answer):
            return True
        if not aside:
            return self._look(held, shown, caught_up, now, last_answer)
        if now - last_answer >= PAUSE_ASIDE:  # Python runs one thread at a time: beside answers it would slow them down
            self.running = self.beside.submit(self._look, held, shown, caught_up, now, last_answer)
        return False

    def _look(self, held: pool.Pool, shown: int, caught_up: bool, now: float, last_answer: float) -> bool:
        if self.reviewer.step(self.db, held, watermark=shown, now=now, last_answer=last_answer):
            return True
        idle = now - last_answer
        if not caught_up or idle < self.pause:
            return False
        return self.measurer.step(self.db, held, watermark=shown, resting=idle > RESTING_SECONDS)
