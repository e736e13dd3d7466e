"""`bench scale`: what a workspace of a million images costs to list, to check, to back up and to restore, and a claim in it.

Each step runs in a process of its own, whose seconds and peak memory are told; a person claims and answers beside it.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from app import backups, bench_store, crowd_writers, errors, ingest, labelling, processes, progress, settings
from store import annotators, classes, database, images, label_batches, queue, records

LINKS = 50_000  # names of one file; a file system allows some 65,000
ROWS = 10_000  # stored at once
CLASSES = 20
ALONE_SECONDS = 10.0
STATUSES = 20  # looks at what the page's status line needs
PAUSE_SECONDS = 0.02  # of the person between two answers
LIST = """
import sys
from app import ingest_files
from pathlib import Path
print(len(ingest_files.walk(Path(sys.argv[1])).files))
"""


def command(*, pool: int, answers: int, place: Path | None, json_file: Path | None) -> None:
    """Measure in a folder of its own below `place`, which is removed again, print, write."""
    if os.name != "posix":
        raise errors.BadRequest("bench scale links files and counts memory: it needs Linux or macOS")
    with tempfile.TemporaryDirectory(prefix="raum-scale-", dir=place) as folder:
        figures = run(
            Path(folder), pool=pool, answers=answers, tell=lambda text: print(text, file=sys.stderr, flush=True)
        )
    print(told(figures))
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def run(
    folder: Path,
    *,
    pool: int,
    answers: int,
    alone_seconds: float = ALONE_SECONDS,
    tell: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Make the workspace in `folder` and take every step; raises BadRequest when one fails."""
    began = time.monotonic()
    chosen = settings.load(folder / "workspace")
    make(chosen, folder / "pictures", pool=pool, answers=answers)
    made = time.monotonic() - began
    tell(f"{pool:,} images made in {made:.0f} s")
    bare = bench_store.bare(folder, 1, min(alone_seconds, bench_store.BARE_SECONDS))
    person = Person(chosen)
    with person.at_work("alone"):
        time.sleep(alone_seconds)
    status = list(_timed(lambda: progress.status(person.db, now=time.time(), annotator="person"), STATUSES))
    launch, at = [sys.executable, str(processes.LAUNCH)], ["--workspace", str(chosen.workspace)]
    by_hand = folder / "by-hand.db"
    steps = {
        "list the folder": [sys.executable, "-c", LIST, str(folder / "pictures")],
        "ingest, nothing new": [*launch, "ingest", *at, "--images", str(folder / "pictures")],
        "verify": [*launch, "verify", *at],
        "backup": [*launch, "backup", *at, "--to", str(by_hand)],
        "the day's backup": [*launch, "backup", *at, "--child"],
        "verify --rebuild": [*launch, "verify", *at, "--rebuild"],
    }
    rows: dict[str, Any] = {}
    for name, words in steps.items():
        if name == "the day's backup":
            _older_days(chosen, by_hand)
        with person.at_work(name):
            rows[name] = _measured(name, words)
        tell(f"{name}: {rows[name]['seconds']} s")
    person.end()
    rows["restore"] = _measured("restore", [*launch, "restore", str(by_hand), *at])
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}",
        "images": pool, "answers": answers, "made_s": round(made, 1),
        "database_mb": round(chosen.file.stat().st_size / 1e6, 1),
        "daily_backups_left": len(backups.daily_ones(chosen)),
        "steps": rows,
        "bare_commit_ms": bench_store.latencies(bare),
        "status_ms": bench_store.latencies(status),
        "claim_ms": {name: bench_store.latencies(each) for name, each in person.claims.items()},
        "answer_ms": {name: bench_store.latencies(each) for name, each in person.answers.items()},
    }  # fmt: skip


def make(chosen: settings.Settings, folder: Path, *, pool: int, answers: int) -> None:
    """A workspace of `pool` images in one folder, each with its small picture, of which `answers` are labelled."""
    from PIL import Image

    folder.mkdir(parents=True)
    db = database.open(chosen.database)
    held = min(bench_store.HOLDOUT, pool // 5)
    picture, small = None, None
    for start in range(0, pool, ROWS):
        numbers = range(start, min(pool, start + ROWS))
        if start % LINKS == 0:
            picture, small = (folder.parent / f"{kind}-{start}.jpg" for kind in ("picture", "small"))
            for path in (picture, small):
                Image.new("RGB", (32, 24), (start // LINKS % 256, 90, 120)).save(path)
        assert picture is not None
        assert small is not None
        stat = picture.stat()
        rows = []
        for number in numbers:
            path = folder / f"{number:07}.jpg"
            os.link(picture, path)
            rows.append(
                records.NewImage(
                    path=str(path), digest=f"{number:064x}", width=32, height=24, bytes=stat.st_size,
                    mtime_ns=stat.st_mtime_ns, phash=f"{number:016x}", group_id=number + 1,
                    holdout=1 + number % 2 if number < held else 0,
                )
            )  # fmt: skip
        with db.write() as tx:
            for image_id in images.add_many(tx, rows):
                thumbnail = ingest.thumbnail_path(chosen.workspace, image_id)
                thumbnail.parent.mkdir(parents=True, exist_ok=True)
                os.link(small, thumbnail)
    _answer(db, answers)
    db.checkpoint()
    db.close()


def _answer(db: database.Database, answers: int) -> None:
    """Label the first images in the order of their ids, and publish a queue of the last ones."""
    with db.write() as tx:
        said = [classes.add(tx, f"class {number}", 1.0).id for number in range(CLASSES)]
        person = annotators.ensure(tx, "before", 1.0).id
        head = [image.id for image in images.all_after(tx, answers, crowd_writers.QUEUE_LENGTH)]
    for start in range(1, answers + 1, ROWS):
        new = [
            records.NewEvent(uuid=str(uuid.uuid4()), image_id=number, annotator_id=person, kind="label",
                             class_id=said[number % CLASSES])
            for number in range(start, min(answers + 1, start + ROWS))
        ]  # fmt: skip
        with db.write() as tx:
            label_batches.append_many(tx, new, time.time())
    rows = [records.QueueRow(position=at, image_id=image_id, reason="uncertain") for at, image_id in enumerate(head)]
    with db.write() as tx:
        queue.publish(tx, records.NewPublication(kind="refresh", watermark=answers, created_at=time.time()), rows)


class Person:
    """Claims an image and answers it, again and again; how long each took, by what went on meanwhile."""

    def __init__(self, chosen: settings.Settings) -> None:
        self.db = database.open(chosen.database)
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

    def end(self) -> None:
        self.db.close()

    def _work(self, meanwhile: str, stop: threading.Event) -> None:
        rng = np.random.default_rng(0)
        while not stop.wait(PAUSE_SECONDS):
            began = time.perf_counter()
            [item] = labelling.next_images(self.db, annotator="person", client="tab", count=1, now=time.time(), rng=rng)
            claimed = time.perf_counter()
            said = {"uuid": str(uuid.uuid4()), "image_id": item["image_id"], "lease": item["lease"],
                    "annotator": "person", "kind": "label", "class_id": self.said[0]}  # fmt: skip
            labelling.submit(self.db, said, now=time.time())
            self.claims[meanwhile].append(claimed - began)
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


def _measured(name: str, words: list[str]) -> dict[str, float | None]:
    """Seconds and peak memory (MB) of a process."""
    began, peak = time.monotonic(), None
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(words, stdout=out, stderr=out, cwd=processes.LAUNCH.parent)
        while child.poll() is None:
            peak = _peak_mb(child.pid) or peak
            time.sleep(0.02)
        took = time.monotonic() - began
        if child.returncode:
            out.seek(0)
            raise errors.BadRequest(f"{name} failed: {out.read()[-2000:].decode('utf-8', 'replace')}")
    return {"seconds": round(took, 1), "peak_mb": peak}


def _peak_mb(pid: int) -> float | None:
    """The most memory that a process has held so far; None where the system does not say.

    What wait4 tells of an ended process counts its parent's memory, too, from before it started its program.
    """
    with contextlib.suppress(OSError, IndexError, ValueError):
        told = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        return round(int(told.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6)
    return None


def told(figures: dict[str, Any]) -> str:
    """The figures as tables and sentences."""
    heads = ("seconds", "peak MB", "claim p50", "p95", "answer p50", "p95", "max, ms")
    lines = [f"{figures['images']:,} images, {figures['answers']:,} of them labelled; database of "
             f"{figures['database_mb']:,} MB, made in {figures['made_s']:,} s",
             f"{'':>22}" + "".join(f"{head:>12}" for head in heads)]  # fmt: skip
    for name in ("alone", *figures["steps"]):
        step = figures["steps"].get(name, {})
        claim, answer = figures["claim_ms"].get(name, {}), figures["answer_ms"].get(name, {})
        cells = (step.get("seconds"), step.get("peak_mb"), claim.get("p50"), claim.get("p95"), answer.get("p50"),
                 answer.get("p95"), answer.get("max"))  # fmt: skip
        lines.append(f"{name:>22}" + "".join(f"{'-' if cell is None else format(cell, ','):>12}" for cell in cells))
    bare = figures["bare_commit_ms"]
    lines += [
        f"one durable commit on this disk: p50 {bare['p50']}, p95 {bare['p95']} ms, through sqlite3 alone",
        f"the status line: p50 {figures['status_ms']['p50']}, p95 {figures['status_ms']['p95']} ms",
        f"{figures['daily_backups_left']} daily backups were left by rotation of 40; {figures['machine']}",
        "claim and answer: one person, one image, 20 ms of pause, in a process of his own beside the step; peak: of the "
        "step's own process",
    ]
    return "\n".join(lines)
