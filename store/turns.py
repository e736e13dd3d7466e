"""A lock that threads get in the order in which they asked, with a limit to the waiting."""

from __future__ import annotations

import threading
from collections import deque


class Turns:
    """First come, first served. threading.Lock is not: under load some threads wait for seconds."""

    def __init__(self) -> None:
        """Start free."""
        self._guard = threading.Lock()
        self._waiting: deque[tuple[int, threading.Lock]] = deque()
        self._holder: int | None = None

    def held_by_me(self) -> bool:
        """Say whether this thread has its turn now."""
        return self._holder == threading.get_ident()

    def acquire(self, timeout: float) -> bool:
        """Wait for the turn; False after `timeout` seconds."""
        me, gate = threading.get_ident(), threading.Lock()
        with self._guard:
            if self._holder is None:
                self._holder = me
                return True
            gate.acquire()
            self._waiting.append((me, gate))
        if gate.acquire(timeout=timeout):
            return True
        with self._guard:
            if (me, gate) not in self._waiting:  # handed over at the last moment
                return True
            self._waiting.remove((me, gate))
            return False

    def release(self) -> None:
        """Hand the turn to whoever waits longest."""
        with self._guard:
            if self._waiting:
                self._holder, gate = self._waiting.popleft()
                gate.release()
            else:
                self._holder = None
