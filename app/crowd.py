"""A crowd on one store: writers as processes of their own that do as much as they can, killed with -9 at random moments.

`python -m app.crowd PLAN` (crowd_journal.Plan as JSON) forks them, because a fork costs milliseconds, and tells how it went.
"""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from app import crowd_journal, crowd_writers, processes
from app.crowd_journal import STOP, Plan, Writer
from store import database

SCORER = "scorer"


def run(plan: Plan) -> dict[str, Any]:
    """Let the crowd of `plan` work in a process that forks them; returns seconds, kills, kills_of_scorer and failed."""
    command = [sys.executable, "-m", "app.crowd", json.dumps(dataclasses.asdict(plan))]
    done = subprocess.run(command, cwd=processes.LAUNCH.parent, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def herd(plan: Plan) -> dict[str, Any]:
    """Fork the writers, kill one at each of `plan.kills` random moments and fork its successor, wait for their end.

    Where there is a scorer, the others and the time begin with its first queue.
    """
    if "://" in plan.database:
        database.Database(database.to_url(plan.database)).close()  # its driver is imported once, before the forks
    stop = Path(plan.folder) / STOP
    stop.unlink(missing_ok=True)
    crowd = _Herd(plan)
    if plan.scorer:
        crowd.start(SCORER)
        while crowd.running and not crowd_journal.read(crowd_journal.path(plan, SCORER)).seconds:
            crowd.reap()
            time.sleep(0.05)
    for name in crowd.clients:
        crowd.start(name)
    began = time.monotonic()
    due = sorted(began + crowd.rng.uniform(0, plan.seconds) for _ in range(plan.kills))
    while crowd.running:
        while due and due[0] <= time.monotonic() and crowd.working:
            due.pop(0)
            crowd.kill_one()
        if (time.monotonic() > began + plan.seconds and not due) or not crowd.working:
            stop.touch()
        if not crowd.reap():
            time.sleep(0.005)
    told = {"kills": len(crowd.killed), "kills_of_scorer": crowd.killed.count(SCORER), "failed": crowd.failed}
    return {"seconds": time.monotonic() - began, **told}


class _Herd:
    """The running writers by pid, and what became of others."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.rng = plan, random.Random(plan.seed)
        self.clients = ["page"] if plan.kind == "page" else [f"p{number}" for number in range(plan.clients)]
        self.running: dict[int, str] = {}
        self.killed: list[str] = []
        self.failed: list[str] = []

    @property
    def working(self) -> bool:
        """Whether anybody but the scorer still runs."""
        return any(name != SCORER for name in self.running.values())

    def start(self, name: str) -> None:
        pid = os.fork()
        if not pid:
            _write(self.plan, name, SCORER if name == SCORER else self.plan.kind)
        self.running[pid] = name

    def kill_one(self) -> None:
        """Each client and the scorer are equally likely, also where clients share a process."""
        weights = [1 if name == SCORER else self.plan.clients / len(self.clients) for name in self.running.values()]
        [pid] = self.rng.choices(list(self.running), weights)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        self.killed.append(self.running.pop(pid))
        self.start(self.killed[-1])

    def reap(self) -> bool:
        """Take note of one that has ended, if there is one."""
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            name = self.running.pop(pid)
            self.failed += [name] if status else []
        return pid != 0


def _write(plan: Plan, name: str, kind: str) -> NoReturn:
    """What a forked writer does instead of coming back."""
    code = 1
    try:
        crowd_writers.KINDS[kind](Writer(plan, name))
        code = 0
    except Exception:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


if __name__ == "__main__":
    print(json.dumps(herd(Plan(**json.loads(sys.argv[1])))))
