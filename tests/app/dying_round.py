"""Rounds that get SIGTERM at a named moment: `python -m tests.app.dying_round MOMENT=WORKSPACE ...`, a workspace for each.

Moments are the phases that a round reports, and `clock N`: the N-th look at the clock (5: checkpoint and embeddings are
written, 6: inside the transaction that publishes). Prints the signal that ended each.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from app import learning, settings
from store import database


def run(moment: str, workspace: Path) -> None:
    """One round, which ends itself."""
    chosen = settings.load(workspace, backbone="vmamba_nano", image_size=32, steps=3)
    db = database.open(chosen.database)
    looks = count(1)

    def clock() -> float:
        die_if(f"clock {next(looks)}" == moment)
        return time.time()

    def progress(phase: str, _fraction: float, _message: str) -> None:
        die_if(phase == moment)

    learning.round_(db, chosen, clock=clock, progress=progress)


def die_if(now: bool) -> None:
    if now:
        os.kill(os.getpid(), signal.SIGTERM)


def forked(work: Callable[[], None]) -> int:
    """The exit code of a process that does this."""
    pid = os.fork()
    if not pid:
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        named, _, place = argument.partition("=")
        print(named, forked(lambda named=named, place=place: run(named, Path(place))), sep="\t", flush=True)
