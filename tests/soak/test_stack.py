"""The whole program is killed with -9 while people label and it learns: every acknowledged answer is in the store once.

RAUM_SOAK=long kills 240 times in 40 minutes: 40 times while rounds train, 200 times while 32 people label a pool
of 100,000 images.
"""

import os
import random
import threading
import time
from collections import Counter
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path

import pytest

from app import leftovers
from store import queue
from tests.app.conftest import Workspace
from tests.soak import large, people
from tests.soak.stack import PARTS, Stack

LONG = os.environ.get("RAUM_SOAK") == "long"
PAGES = 0.5  # of the kills are of the page alone
OTHERS = {"worker": 3, "all": 2, "serve": 1}
MOMENTS = {"any": 3, "commit": 4, "publication": 3}
SOUGHT_SECONDS = 60.0 if LONG else 4.0  # how long a kill that is due waits for its moment
SETTINGS = "image_size = 32\n"
ROUNDS = "steps = 4\nround_min_labels = 8\nround_after_labels = 8\n"


@dataclass(frozen=True)
class Form:
    """How many people label how many images, and how often in how many seconds something is killed."""

    people: int
    images: int
    kills: int
    seconds: float
    settings: str


FORMS = {
    "rounds": Form(8, 60, 40, 240.0, SETTINGS + ROUNDS) if LONG else Form(3, 60, 5, 6.0, SETTINGS + ROUNDS),
    "pool": Form(32, 100_000, 200, 1800.0, SETTINGS + "rounds = false\n")
    if LONG
    else Form(3, 2000, 4, 6.0, SETTINGS + "rounds = false\n"),
}


@pytest.mark.skipif(os.name != "posix", reason="kill -9 needs POSIX")
@pytest.mark.timeout(3600 if LONG else 600)
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_kills_of_everything_lose_nothing_and_give_no_image_twice(workspace: Workspace, form: Form) -> None:
    folder = workspace.settings.workspace
    (folder / "settings.toml").write_text(form.settings, encoding="utf-8")
    if form.images > len(workspace.ids + workspace.held):
        large.grow(workspace, form.images)
    began, stop = time.monotonic(), threading.Event()
    stack = Stack(folder)
    crowd = [people.Person(f"p{number}", stack.url, workspace.class_ids, stop) for number in range(form.people)]
    threads = [threading.Thread(target=person.work) for person in crowd]
    try:
        stack.wait(stack.answers, "the page answers")
        for thread in threads:
            thread.start()
        killed = _kill(stack, form)
        stack.wait(stack.answers, "the page comes back")
        seen = _watermark(workspace)
        stack.wait(lambda: _watermark(workspace) > max(20, seen), "the worker learns on", 600)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        stack.end()
    told = {"killed": dict(sorted(killed.items())), **people.check(folder, crowd)}
    told |= {"people": form.people, "images": form.images, "seconds": round(time.monotonic() - began)}
    print("".join(f"\n{name}: {value}" for name, value in told.items()))
    assert not any(told["wrong"].values()), told["problems"]
    assert sum(killed[what] for what in ("page", *OTHERS)) == form.kills
    assert told["acknowledged"] > 20


def _kill(stack: Stack, form: Form) -> Counter[str]:
    """Kill the page, and beside that the others, each at random times; returns how often by victim and by moment."""
    pages = round(form.kills * PAGES)
    with futures.ThreadPoolExecutor(2) as killers:
        some = killers.submit(_kill_some, stack, {"page": 1}, pages, form.seconds, random.Random(7))
        others = killers.submit(_kill_some, stack, OTHERS, form.kills - pages, form.seconds, random.Random(8))
    return some.result() + others.result()


def _kill_some(stack: Stack, victims: dict[str, int], kills: int, seconds: float, rng: random.Random) -> Counter[str]:
    """Between two kills lies a random time, often too short for what was killed to be there again."""
    killed: Counter[str] = Counter()
    moments = rng.choices(list(MOMENTS), list(MOMENTS.values()), k=kills)
    ends = time.monotonic() + seconds
    for number, moment in enumerate(moments):
        left = ends - time.monotonic() - SOUGHT_SECONDS / 2 * moments[number:].count("publication")
        time.sleep(rng.expovariate((kills - number) / max(left, 1.0)))
        [what] = rng.choices(list(victims), list(victims.values()))
        stack.wait(lambda what=what: what not in PARTS or what in stack.parts(), f"there is a {what} to kill")
        starting = stack.kill(what, lambda moment=moment: _await(stack.workspace, moment, rng))
        half = what != "page" and leftovers.found(stack.workspace)
        killed.update([what, f"moment: {moment}"])
        killed.update(["while something started"] * starting + ["left something half published"] * bool(half))
        if what in ("all", "serve"):
            stack.go_on()
    return killed


def _await(workspace: Path, moment: str, rng: random.Random) -> None:
    """Return a few milliseconds after the log of the database changes, or a publication is seen half made."""
    deadline = time.monotonic() + (0.0 if moment == "any" else SOUGHT_SECONDS)
    log = workspace / "raum.db-wal"
    before = _changed(log)
    while time.monotonic() < deadline:
        if (moment == "commit" and _changed(log) != before) or (moment == "publication" and leftovers.found(workspace)):
            break
        time.sleep(0.001)
    time.sleep(rng.uniform(0.0, 0.005 if moment == "commit" else 0.1))


def _changed(log: Path) -> int:
    try:
        return log.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _watermark(workspace: Workspace) -> int:
    with workspace.db.read() as tx:
        current = queue.current(tx)
    return 0 if current is None else current.watermark
