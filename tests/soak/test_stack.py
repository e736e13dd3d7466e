"""The whole program is killed with -9 while people label and it learns: every acknowledged answer is in the store once.

RAUM_SOAK=long kills everything 200 times, in some two hours.
"""

import os
import random
import threading
import time

import pytest

from store import queue
from tests.app.conftest import Workspace
from tests.soak.stack import Person, Stack, check

LONG = os.environ.get("RAUM_SOAK") == "long"
SHORT_KILLS = ["all", "worker", "page", "serve", "all"]
PEOPLE = 3
SETTINGS = "image_size = 32\nsteps = 4\nround_min_labels = 8\nround_after_labels = 8\n"


@pytest.mark.skipif(os.name != "posix", reason="kill -9 needs POSIX")
@pytest.mark.timeout(20_000 if LONG else 280)
def test_kills_of_everything_lose_nothing_and_give_no_image_twice(workspace: Workspace) -> None:
    folder = workspace.settings.workspace
    (folder / "settings.toml").write_text(SETTINGS, encoding="utf-8")
    rng, stop = random.Random(7), threading.Event()
    kills = ["all"] * 200 + SHORT_KILLS * 20 if LONG else SHORT_KILLS
    stack = Stack(folder)
    people = [Person(f"p{number}", stack.url, workspace.class_ids, stop) for number in range(PEOPLE)]
    threads = [threading.Thread(target=person.work) for person in people]
    try:
        stack.wait(stack.answers, "the page answers")
        for thread in threads:
            thread.start()
        for what in kills:
            if what == "worker":
                stack.wait(lambda: stack.pid("worker") is not None, "a worker runs")
            time.sleep(rng.uniform(0.1, 15.0 if LONG else 1.5))
            stack.kill(what)
        stack.wait(lambda: stack.pid("worker") is not None, "a worker runs")
        stack.wait(lambda: _published(workspace), "the worker learns on", 120)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        stack.end()
    assert check(folder, people) > 20


def _published(workspace: Workspace) -> bool:
    with workspace.db.read() as tx:
        current = queue.current(tx)
    return current is not None and current.watermark > 20
