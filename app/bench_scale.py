"""`bench scale`: what 10 thousand, 100 thousand and a million images cost, step by step, and how the costs grow.

Each step runs in a process of its own, whose seconds, processor and peak memory are told; a person claims and answers beside it.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from app import (
    backups,
    bench_browse,
    bench_scale_steps,
    bench_scale_told,
    bench_store,
    errors,
    labelling,
    processes,
    progress,
    settings,
)
from store import classes, database

LABELLED = 0.1  # share of the images, until the rest is labelled for the exports ...
LEFT = 10_000  # ... but these, or a fifth, so that there is something to claim beside them
ALONE_SECONDS = 10.0
STATUSES = 20  # looks at what the page's status line needs
PAGES = 40  # of each filter and order, at random places
PAUSE_SECONDS = 0.02  # of the person between two answers
LIST = """
import sys
from app import ingest_files
from pathlib import Path
print(len(ingest_files.walk(Path(sys.argv[1])).files))
"""


def command(
    *, sizes: Sequence[int], files: bool, place: Path | None, json_file: Path | None, server: str | None = None
) -> None:
    """Measure each size in a folder of its own below `place`, which is removed again, print, write.

    Without `files` verify, backup and restore are left out; so they are with `server`, the address of an empty
    PostgreSQL database that holds the rows."""
    if os.name != "posix":
        raise errors.BadRequest("bench scale links files and counts memory: it needs Linux or macOS")
    load, found = os.getloadavg()[0], dict[int, Any]()
    for size in sizes:
        print(f"{size:,} images", file=sys.stderr, flush=True)
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="raum-scale-", dir=place))
            url = stack.enter_context(bench_store.emptied(server)) if server else ""
            found[size] = run(
                Path(folder),
                size,
                files=files and not server,
                server=url,
                tell=lambda text: print(text, file=sys.stderr, flush=True),
            )
    machine = f"{os.cpu_count()} cores, {platform.machine()}, load {load:.1f} before"
    figures = {"machine": machine, "database": "PostgreSQL" if server else "SQLite", "sizes": found}
    print(bench_scale_told.told(figures))
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def run(
    folder: Path,
    size: int,
    *,
    alone_seconds: float = ALONE_SECONDS,
    pages: int = PAGES,
    files: bool = True,
    server: str = "",
    tell: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Make a workspace of `size` images in `folder` and take every step; raises BadRequest when one fails."""
    workspace = folder / "workspace"
    workspace.mkdir(parents=True)
    if server:
        (workspace / "settings.toml").write_text(f"database = {json.dumps(server)}\n", encoding="utf-8")
    chosen = settings.load(workspace)
    pictures = bench_scale_steps.pictures(folder, size)
    steps, answers = _Steps(tell), round(LABELLED * size)
    steps.take("ingest, nothing decoded", *_own("ingest", workspace, pictures))
    with contextlib.closing(database.open(chosen.database, workspace)) as db:
        bench_scale_steps.label(db, 1, answers)
        bench_scale_steps.publish_first(chosen, db, answers)
        db.checkpoint()
        bare = bench_store.bare(folder, 1, min(alone_seconds, bench_store.BARE_SECONDS))
        steps.person = Person(db)
        with steps.person.at_work("alone"):
            time.sleep(alone_seconds)
        status = list(_timed(lambda: progress.status(db, now=time.time(), annotator="person"), STATUSES))
        refreshed = steps.take("refresh", *_own("refresh", workspace))
        page = bench_browse.served_and_measured(workspace, size, pages)
        if files:
            _file_steps(steps, chosen, folder, pictures)
        bench_scale_steps.label(db, answers + 1, size - min(LEFT, size // 5))
        for name in ("csv", "jsonl"):
            steps.take(f"export {name}", *_verb(chosen, "export", folder / f"labels.{name}", "--format", name))
    person, steps.person = steps.person, None
    if files:
        steps.take("restore", *_verb(chosen, "restore", folder / "by-hand.db"))
    return {
        "steps": steps.found, "refresh": refreshed, "browse": page,
        "database_mb": None if server else round(chosen.file.stat().st_size / 1e6, 1),
        "daily_backups_left": len(backups.daily_ones(chosen)),
        "bare_commit_ms": bench_store.latencies(bare),
        "status_ms": bench_store.latencies(status),
        "claim_ms": {name: bench_store.latencies(each) for name, each in person.claims.items()},
        "answer_ms": {name: bench_store.latencies(each) for name, each in person.answers.items()},
    }  # fmt: skip


def _file_steps(steps: _Steps, chosen: settings.Settings, folder: Path, pictures: Path) -> None:
    """What is done with the files of a workspace."""
    copy = folder / "by-hand.db"
    steps.take("list the folder", sys.executable, "-c", LIST, pictures)
    steps.take("ingest, nothing new", *_verb(chosen, "ingest", "--images", pictures))
    steps.take("verify", *_verb(chosen, "verify"))
    steps.take("backup", *_verb(chosen, "backup", "--to", copy))
    _older_days(chosen, copy)
    steps.take("the day's backup", *_verb(chosen, "backup", "--child"))
    steps.take("verify --rebuild", *_verb(chosen, "verify", "--rebuild"))


def _verb(chosen: settings.Settings, verb: str, *more: str | Path) -> list[str | Path]:
    return [sys.executable, processes.LAUNCH, verb, *more, "--workspace", chosen.workspace]


def _own(step: str, *more: Path) -> list[str | Path]:
    return [sys.executable, "-m", "app.bench_scale_steps", step, *more]


class _Steps:
    """What each step took, in order; `person` works beside them while there is one."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell = tell
        self.person: Person | None = None
        self.found: dict[str, dict[str, float | None]] = {}

    def take(self, name: str, *words: str | Path) -> dict[str, Any]:
        """Run a process to its end; returns what its last line says, where that is JSON."""
        with self.person.at_work(name) if self.person else contextlib.nullcontext():
            self.found[name], said = _measured(name, list(map(str, words)))
        self.tell(f"{name}: {self.found[name]}")
        last = said.strip().rpartition("\n")[2]
        return dict(json.loads(last)) if last.startswith("{") else {}


class Person:
    """Claims an image and answers it, again and again; how long each took, by what went on meanwhile."""

    def __init__(self, db: database.Database) -> None:
        self.db = db
        self.claims: dict[str, list[float]] = {}
        self.answers: dict[str, list[float]] = {}
        with self.db.read() as tx:
            self.said = [each.id for each in classes.all_(tx)]

    @contextlib.contextmanager
    def at_work(self, meanwhile: str) -> Iterator[None]:
        """Work in a thread until the context ends."""
        stop = threading.Event()
        self.claims[meanwhile], self.answers[meanwhile] = [], []
        thread = threading.Thread(target=self._work, args=(meanwhile, stop))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _work(self, meanwhile: str, stop: threading.Event) -> None:
        rng = np.random.default_rng(0)
        while not stop.wait(PAUSE_SECONDS):
            began = time.perf_counter()
            found = labelling.next_images(self.db, annotator="person", client="tab", count=1, now=time.time(), rng=rng)
            claimed = time.perf_counter()
            self.claims[meanwhile].append(claimed - began)
            for item in found:
                said = {"uuid": str(uuid.uuid4()), "image_id": item["image_id"], "lease": item["lease"],
                        "annotator": "person", "kind": "label", "class_id": self.said[0]}  # fmt: skip
                labelling.submit(self.db, said, now=time.time())
                self.answers[meanwhile].append(time.perf_counter() - claimed)


def _timed(act: Callable[[], Any], times: int) -> Iterator[float]:
    for _ in range(times):
        began = time.perf_counter()
        act()
        yield time.perf_counter() - began


def _older_days(chosen: settings.Settings, copy: Path) -> None:
    """As many daily backups of past days as rotation has to look at, all names of one copy."""
    folder = backups.folder(chosen)
    folder.mkdir(exist_ok=True)
    today = datetime.datetime.now(datetime.timezone.utc).date()
    for days in range(1, 40):
        os.link(copy, folder / f"{backups.DAILY}{(today - datetime.timedelta(days=days)).isoformat()}.db")


def _measured(name: str, words: list[str]) -> tuple[dict[str, float | None], str]:
    """Seconds, those of the processor and peak memory (MB) of a process, and what it said."""
    began, peak, ended = time.monotonic(), None, 0
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(words, stdout=out, stderr=out, cwd=processes.LAUNCH.parent)
        try:
            while not ended:
                peak = _peak_mb(child.pid) or peak
                time.sleep(0.02)
                ended, status, usage = os.wait4(child.pid, os.WNOHANG)
        except BaseException:
            child.kill()
            child.wait()
            raise
        took, child.returncode = time.monotonic() - began, os.waitstatus_to_exitcode(status)
        out.seek(0)
        said = out.read().decode("utf-8", "replace")
        if child.returncode:
            raise errors.BadRequest(f"{name} failed: {said[-2000:]}")
    return {"seconds": round(took, 2), "cpu_s": round(usage.ru_utime + usage.ru_stime, 2), "peak_mb": peak}, said


def _peak_mb(pid: int) -> float | None:
    """The most memory that a process has held so far; None where the system does not say.

    What wait4 tells of an ended process counts its parent's memory, too, from before it started its program.
    """
    with contextlib.suppress(OSError, IndexError, ValueError):
        told = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        return round(int(told.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6)
    return None
