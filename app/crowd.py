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
from typing import Any

from app import crowd_writers, processes
from app.crowd_journal import STOP, Plan, Writer

SCORER = "scorer"


def run(plan: Plan) -> dict[str, Any]:
    """Let the crowd of `plan` work in a process that forks them; returns seconds, kills, kills_of_scorer and failed."""
    command = [sys.executable, "-m", "app.crowd", json.dumps(dataclasses.asdict(plan))]
    done = subprocess.run(command, cwd=processes.LAUNCH.parent, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def herd(plan: Plan) -> dict[str, Any]:
    """Fork the writers, kill one at each of `plan.kills` random moments and fork its successor, wait for their end."""
    rng = random.Random(plan.seed)
    stop = Path(plan.folder) / STOP
    stop.unlink(missing_ok=True)
    kinds = {f"p{number}": plan.kind for number in range(plan.clients)} if plan.kind != "page" else {"page": "page"}
    kinds |= {SCORER: SCORER} if plan.scorer else {}
    running = {_start(plan, name, kind): name for name, kind in kinds.items()}
    began = time.monotonic()
    due = sorted(began + rng.uniform(0, plan.seconds) for _ in range(plan.kills))
    killed: list[str] = []
    failed: list[str] = []
    while running:
        while due and due[0] <= time.monotonic() and set(running.values()) - {SCORER}:
            due.pop(0)
            victim = rng.choice(sorted(running))
            os.kill(victim, signal.SIGKILL)
            os.waitpid(victim, 0)
            killed.append(running.pop(victim))
            running[_start(plan, killed[-1], kinds[killed[-1]])] = killed[-1]
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            name = running.pop(pid)
            failed += [name] if status else []
        if (time.monotonic() > began + plan.seconds and not due) or not set(running.values()) - {SCORER}:
            stop.touch()
        if not pid:
            time.sleep(0.005)
    told = {"seconds": time.monotonic() - began, "kills": len(killed), "kills_of_scorer": killed.count(SCORER)}
    return {**told, "failed": failed}


def _start(plan: Plan, name: str, kind: str) -> int:
    pid = os.fork()
    if pid:
        return pid
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
