"""Writers of one store as processes of their own: annotators and a scorer who do as much as they can, killed at random.

`python -m app.crowd PLAN` (a Plan as JSON) forks them, kills, and tells how it went; fork makes a successor cost milliseconds.
Each writer keeps a journal, words in lines that end in a full stop: `lease IMAGE POSITION`, `claim SECONDS`, `asks UUID
IMAGE CLASS` before an answer is given, `again UUID` when it is given once more, `saved SECONDS UUID new|known` once it was
acknowledged, `publish SECONDS`, `commit SECONDS`, `busy`.
"""

import dataclasses
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app import processes
from store import annotators, classes, database, errors, images, labels, queue, records

LEASE_SECONDS = 86_400.0  # longer than any run: whoever gets an image that another was given got a double lease
PUBLISH_PAUSE = 0.3  # as the worker waits after an answer
QUEUE_LENGTH = 512
SCORER = "scorer"
STOP = "stop"  # a file of this name beside the journals ends the writers


@dataclasses.dataclass(frozen=True)
class Plan:
    """Who writes where and for how long; `kind` is "annotator", or "bare" for durable commits of a row and no more."""

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


def run(plan: Plan) -> dict[str, Any]:
    """Let the crowd of `plan` work in a process that forks them; returns seconds, kills, kills_of_scorer and failed."""
    command = [sys.executable, "-m", "app.crowd", json.dumps(dataclasses.asdict(plan))]
    done = subprocess.run(command, cwd=processes.LAUNCH.parent, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def journals(folder: Path) -> dict[str, Journal]:
    """What every writer noted in `folder`, by name."""
    return {path.stem: read(path) for path in sorted(folder.glob("*.journal"))}


def read(path: Path) -> Journal:
    """A writer's journal; a line that a kill cut short says nothing."""
    found = Journal()
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
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
        self.path = Path(plan.folder) / f"{name}.journal"
        self.before = read(self.path)
        self.journal = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
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


def annotate(writer: Writer) -> None:
    """Claim and answer until nothing is left; what was on its way when the one before was killed is said again first."""
    db = database.open(writer.plan.database)
    with db.write() as tx:
        me = annotators.ensure(tx, writer.name, time.time()).id
        said = [each.id for each in classes.all_(tx)]

    def claim() -> list[records.Lease]:
        with db.write() as tx:
            return queue.claim(
                tx, annotator_id=me, client=writer.name, count=writer.plan.count, now=time.time(),
                lease_seconds=LEASE_SECONDS, rng=writer.rng,
            )  # fmt: skip

    def submit(identifier: str, image_id: int, class_id: int, lease: records.Lease | None) -> None:
        new = records.NewEvent(
            uuid=identifier, image_id=image_id, annotator_id=me, kind="label", class_id=class_id,
            lease_token=lease.token if lease else None, publication_id=lease.publication_id if lease else None,
        )  # fmt: skip

        def append() -> bool:
            with db.write(durable=True) as tx:
                return labels.append(tx, new, time.time())[1]

        began = time.perf_counter()
        fresh = writer.patient(append)
        took = time.perf_counter() - began
        writer.note(f"saved {took:.6f} {identifier} {'new' if fresh else 'known'}")

    for identifier, (image_id, class_id) in writer.before.on_their_way.items():
        writer.note(f"again {identifier}")
        submit(identifier, image_id, class_id, None)
    while not writer.ends:
        began = time.perf_counter()
        leases = writer.patient(claim)
        writer.note(f"claim {time.perf_counter() - began:.6f}")
        if not leases:
            return
        for lease in leases:
            writer.note(f"lease {lease.image_id} {-1 if lease.position is None else lease.position}")
        for lease in leases:
            identifier, class_id = str(uuid.uuid4()), writer.rng.choice(said)
            writer.note(f"asks {identifier} {lease.image_id} {class_id}")
            submit(identifier, lease.image_id, class_id, lease)


def score(writer: Writer) -> None:
    """Publish a queue over what is still open of the pool, again and again, as refreshes do."""
    db = database.open(writer.plan.database)
    with db.read() as tx:
        known = [image.id for image in images.all_ok(tx) if not image.holdout]
        said = [each.id for each in classes.all_(tx)]
    suggestions = [(class_id, 1.0 / len(said)) for class_id in said[:5]]
    while not writer.ends:
        began = time.perf_counter()
        with db.read() as tx:
            watermark, settled = labels.watermark(tx), {each.image_id for each in labels.settled(tx)}
        open_ = [image_id for image_id in known if image_id not in settled]
        asked = writer.rng.sample(open_, min(QUEUE_LENGTH, len(open_)))
        rows = [
            records.QueueRow(position=at, image_id=image_id, reason="uncertain", suggestions=suggestions)
            for at, image_id in enumerate(asked)
        ]
        new = records.NewPublication(kind="refresh", watermark=watermark, created_at=time.time())

        def publish(new: records.NewPublication = new, rows: list[records.QueueRow] = rows) -> None:
            with db.write() as tx:
                queue.publish(tx, new, rows)

        writer.patient(publish)
        writer.note(f"publish {time.perf_counter() - began:.6f}")
        time.sleep(PUBLISH_PAUSE)


def commit(writer: Writer) -> None:
    """One row a transaction through sqlite3 alone, as durable as an answer: what the disk itself asks for."""
    db = sqlite3.connect(writer.plan.database, timeout=database.BUSY_S * database.BEGIN_TRIES, isolation_level=None)
    for pragma in ("synchronous=FULL", "fullfsync=ON"):
        db.execute(f"PRAGMA {pragma}").fetchall()
    while not writer.ends:
        began = time.perf_counter()
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO bare (uuid, event) VALUES (?, ?)", (str(uuid.uuid4()), "." * 200))
        db.execute("COMMIT")
        writer.note(f"commit {time.perf_counter() - began:.6f}")


KINDS: dict[str, Callable[[Writer], None]] = {"annotator": annotate, "bare": commit, SCORER: score}


def herd(plan: Plan) -> dict[str, Any]:
    """Fork the writers, kill one at each of `plan.kills` random moments and fork its successor, wait for their end."""
    rng = random.Random(plan.seed)
    stop = Path(plan.folder) / STOP
    stop.unlink(missing_ok=True)
    kinds = {f"p{number}": plan.kind for number in range(plan.clients)} | ({SCORER: SCORER} if plan.scorer else {})
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
        KINDS[kind](Writer(plan, name))
        code = 0
    except Exception:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(code)


if __name__ == "__main__":
    print(json.dumps(herd(Plan(**json.loads(sys.argv[1])))))
