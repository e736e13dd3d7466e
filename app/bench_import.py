"""`bench import`: a file of many labels is imported while a person answers: seconds, memory, and what the person notices."""

from __future__ import annotations

import csv
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app import bench_store, errors, import_steps, processes
from store import annotators, classes, database, labels, records

OWN = 20_000  # images that the person answers, which the file does not name
EVERY = 0.05  # seconds from one answer to the next
ALONE = 5.0  # seconds that the person answers before the import begins


def command(*, count: int, place: Path | None, json_file: Path | None) -> None:
    """Measure in a folder of its own below `place`, print, write; raises BadRequest when a label is missing."""
    figures = in_folder(lambda folder: run(folder, count=count), told, place=place, json_file=json_file)
    if figures["labels"] != count:
        raise errors.BadRequest(f"{count:,} rows were imported, {figures['labels']:,} labels are there")


def in_folder(
    measure: Callable[[Path], dict[str, Any]],
    say: Callable[[dict[str, Any]], str],
    *,
    place: Path | None,
    json_file: Path | None,
) -> dict[str, Any]:
    """What `measure` finds in a folder of its own below `place`, printed as `say` has it, and written."""
    if os.name != "posix":
        raise errors.BadRequest("bench import asks the system for a child's memory: it needs Linux or macOS")
    with tempfile.TemporaryDirectory(prefix="raum-bench-", dir=place) as folder:
        figures = measure(Path(folder))
    print(say(figures))
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return figures


def run(folder: Path, *, count: int, alone: float = ALONE) -> dict[str, Any]:
    """Make a store of `count` images and some more, import a label of each, once and once more; returns the figures."""
    bench_store.make(folder / "raum.db", count + OWN)
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "class"])
        writer.writerows([f"{at:07}.jpg", f"class {at % bench_store.CLASSES}"] for at in range(count))
    (folder / "page.pid").write_text(
        str(os.getpid()), encoding="utf-8"
    )  # as while a page serves: the import makes room
    db = database.open(folder / "raum.db")
    person = _Person(db, first=count + 1)
    load, began = os.getloadavg()[0], time.monotonic()
    quiet = person.answer_while(lambda: time.monotonic() - began < alone)
    first = _import(folder, person)
    with db.read() as tx:
        (one,) = import_steps.all_(tx)
    again = _import(folder, person)
    with db.read() as tx:
        stored = sum(event.source == "import" for event in labels.all_events(tx))
    db.close()
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, load {load:.1f} before, SQLite {sqlite3.sqlite_version}",
        "rows": count,
        "seconds": first["seconds"],
        "peak_mb": first["peak_mb"],
        "longest_lock_s": one.longest_lock_s,
        "again": {key: again[key] for key in ("seconds", "peak_mb")},
        "answer_ms": {"alone": quiet, "beside the import": first["answers"], "beside the second": again["answers"]},
        "labels": stored,
    }


def told(figures: dict[str, Any]) -> str:
    """The figures as sentences and a table."""
    rate, again = figures["rows"] / figures["seconds"], figures["again"]
    lines = [
        f"{figures['rows']:,} rows in {figures['seconds']:.1f} s ({rate:,.0f} a second), peak memory {figures['peak_mb']:,} MB, "
        f"longest hold of the write lock {figures['longest_lock_s']:.2f} s",
        f"the same file again: {again['seconds']:.1f} s, {again['peak_mb']:,} MB, nothing added",
        f"{'a person answers, ms':>26}" + "".join(f"{name:>11}" for name in ("n", "p50", "p95", "p99", "max")),
    ]
    for name, row in figures["answer_ms"].items():
        lines.append(f"{name:>26}" + "".join(f"{row.get(key, '-'):>11,}" for key in ("n", "p50", "p95", "p99", "max")))
    return "\n".join([*lines, figures["machine"]])


class _Person:
    """Answers one image after the other durably, each in its own transaction, as the page does."""

    def __init__(self, db: database.Database, *, first: int) -> None:
        self.db, self.next = db, first
        with db.write() as tx:
            self.id = annotators.ensure(tx, "person", time.time()).id
            self.class_id = classes.all_(tx)[0].id

    def answer_while(self, goes_on: Callable[[], bool]) -> dict[str, float]:
        """Answer every EVERY seconds; the milliseconds from asking for the write lock to the end of the commit."""
        took = []
        while goes_on():
            new = records.NewEvent(
                uuid=str(uuid.uuid4()), image_id=self.next, annotator_id=self.id, kind="label", class_id=self.class_id
            )
            began = time.perf_counter()
            with self.db.write(durable=True) as tx:
                labels.append(tx, new, time.time())
            took.append(time.perf_counter() - began)
            self.next += 1
            time.sleep(EVERY)
        return bench_store.latencies(took)


def _import(folder: Path, person: _Person) -> dict[str, Any]:
    """Import the file in a process of its own, the person answering beside it."""
    command = [
        sys.executable,
        str(processes.LAUNCH),
        "import-labels",
        str(folder / "labels.csv"),
        "--workspace",
        str(folder),
    ]
    began, ended = time.monotonic(), dict[str, Any]()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def runs() -> bool:
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            ended.update(seconds=round(time.monotonic() - began, 1), status=status, usage=usage)
        return not pid

    answers = person.answer_while(runs)
    child.returncode = os.waitstatus_to_exitcode(ended["status"])
    if child.returncode:
        raise errors.BadRequest(f"the import ended with {child.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return {"seconds": ended["seconds"], "peak_mb": round(ended["usage"].ru_maxrss * unit / 1e6), "answers": answers}
