"""The counts over the whole pool that every open tab asks for every few seconds: counted once for all of them."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from store import images, labels, tally

QUICK = 0.02  # seconds: what takes no longer is counted anew for everybody who asks
HELD = 20  # slower counts hold for so many times what counting took: it never takes more than a twentieth of a core


@dataclass(frozen=True)
class Counts:
    """As images.counts, tally.whole and labels.per_class give them."""

    images: dict[str, int]
    labels: dict[str, int]
    per_class: dict[int, int]


class Counted:
    """Counts of one database that may be some seconds old where the pool is large; while one counts, others get those."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock, self.turn = clock, threading.Lock()
        self.found: Counts | None = None
        self.until = 0.0

    def now(self, tx: Connection) -> Counts:
        """What holds now; it is counted in `tx` where that is due."""
        found = self.found
        if found is not None and (self.clock() < self.until or self.turn.locked()):
            return found
        with self.turn:
            began = self.clock()
            if self.found is not None and began < self.until:  # somebody else has counted meanwhile
                return self.found
            self.found = found = count(tx)
            ended = self.clock()
            self.until = ended + HELD * (ended - began) if ended - began > QUICK else ended
        return found


def count(tx: Connection) -> Counts:
    """Count anew."""
    return Counts(images.counts(tx), tally.whole(tx), labels.per_class(tx))
