"""What every writer of a crowd notes: a line before and after each act, which kill -9 does not take back.

Lines of words that end in a full stop: `lease IMAGE POSITION`, `claim SECONDS`, `asks UUID IMAGE CLASS` before an answer is
given, `again UUID` when it is given once more, `saved SECONDS UUID new|known` once it was acknowledged, `publish SECONDS`,
`commit SECONDS`, `busy`.
"""

import dataclasses
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app import processes
from store import errors

STOP = "stop"  # a file of this name beside the journals ends the writers


@dataclasses.dataclass(frozen=True)
class Plan:
    """Who writes where and for how long.

    `kind`: "annotator", each a process; "page", one process with a thread for each annotator, as the page has; "claimer",
    processes that claim and give back; "bare", processes that commit one row durably and do no more.
    """

    database: str
    folder: str
    clients: int
    seconds: float = 3600.0
    kills: int = 0
    scorer: bool = False
    kind: str = "annotator"
    count: int = 2  # images claimed at once
    seed: int = 0


@dataclasses.dataclass
class Journal:
    """What one writer noted; an answer asked and not saved is on its way still."""

    leases: list[tuple[int, int]] = dataclasses.field(default_factory=list)  # image, position (-1: not of the queue)
    asked: dict[str, tuple[int, int]] = dataclasses.field(default_factory=dict)  # uuid -> image, class
    again: set[str] = dataclasses.field(default_factory=set)  # uuids said again after a kill
    saved: dict[str, bool] = dataclasses.field(default_factory=dict)  # uuid -> whether it was new to the store
    seconds: dict[str, list[float]] = dataclasses.field(default_factory=dict)  # claim, saved, publish, commit
    busy: int = 0

    @property
    def on_their_way(self) -> dict[str, tuple[int, int]]:
        return {each: said for each, said in self.asked.items() if each not in self.saved}


def path(plan: Plan, name: str) -> Path:
    """Where a writer notes."""
    return Path(plan.folder) / f"{name}.journal"


def journals(folder: Path) -> dict[str, Journal]:
    """What every writer noted in `folder`, by name."""
    return {file.stem: read(file) for file in sorted(folder.glob("*.journal"))}


def read(file: Path) -> Journal:
    """A writer's journal; a line that a kill cut short says nothing."""
    found = Journal()
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else []:
        *words, last = line.split() or [""]
        match words if last == "." else []:
            case ["lease", image, position]:
                found.leases.append((int(image), int(position)))
            case ["asks", identifier, image, class_id]:
                found.asked[identifier] = int(image), int(class_id)
            case ["again", identifier]:
                found.again.add(identifier)
            case [("claim" | "saved" | "publish" | "commit") as act, seconds, *rest]:
                found.seconds.setdefault(act, []).append(float(seconds))
                if rest:
                    found.saved[rest[0]] = rest[1] == "new"
            case ["busy"]:
                found.busy += 1
    return found


class Writer:
    """What the writers have in common: a name, a journal, and when to stop."""

    def __init__(self, plan: Plan, name: str) -> None:
        self.plan, self.name, self.parent = plan, name, os.getppid()
        self.before = read(path(plan, name))
        self.journal = os.open(path(plan, name), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(self.journal, b"\n")  # ends a line that was cut short
        self.rng = random.Random(f"{plan.seed} {name} {os.getpid()}")

    def note(self, line: str) -> None:
        """Write in one piece, at once; kill -9 takes back nothing that was written."""
        os.write(self.journal, f"{line} .\n".encode())

    @property
    def ends(self) -> bool:
        return processes.parent_is_gone(self.parent) or (Path(self.plan.folder) / STOP).exists()

    def patient(self, act: Callable[[], Any]) -> Any:
        """Try again as the page's outbox does when the store is busy."""
        while True:
            try:
                return act()
            except errors.Busy:
                self.note("busy")
