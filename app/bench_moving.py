"""`bench import --label-studio`: what moving a project over takes: its tasks, then its predictions.

Label Studio's own import of the same content is known from a measurement on a like machine, not made here.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from app import bench_import, bench_store, errors, imported, processes
from app.exchange import json_file
from app.exchange import labelstudio_tasks as tasks
from store import classes, database, images, records

PEER = {"tasks": 12.0, "predictions": 302.0}  # seconds of Label Studio 1.23.2 for 100,000, SQLite, 2 cores
PEER_COUNT = 100_000
BATCH = 10_000


def command(*, count: int, place: Path | None, json_file: Path | None) -> None:
    """Measure in a folder of its own below `place`, print, write; raises BadRequest when something is missing."""
    measured = bench_import.in_folder(lambda folder: run(folder, count=count), told, place=place, json_file=json_file)
    if (measured["images"], measured["guesses"]) != (count, count):
        raise errors.BadRequest(
            f"{count:,} of each were imported, there are {measured['images']:,}, {measured['guesses']:,}"
        )


def run(folder: Path, *, count: int) -> dict[str, Any]:
    """Write two project exports, one with predictions, and take them in: seconds, also of the processor, and peak memory."""
    load = os.getloadavg()[0]
    files = {what: _written(folder / f"{what}.json", what, count) for what in PEER}
    began, worked = time.monotonic(), time.process_time()
    _tasks(folder / "raum.db", files["tasks"])
    cpu = round(time.process_time() - worked, 1)
    took = {"seconds": round(time.monotonic() - began, 1), "cpu_s": cpu, "peak_mb": None}
    steps = {"tasks": took, "predictions": _verb(folder, files["predictions"])}
    db = database.open(folder / "raum.db")
    with db.read() as tx:
        found = {"images": sum(1 for _ in images.each_ok(tx)), "guesses": len(imported.all_(tx))}
    db.close()
    machine = f"{os.cpu_count()} cores, {platform.machine()}, load {load:.1f} before"
    return {"count": count, "steps": steps, **found, "machine": machine}


def told(figures: dict[str, Any]) -> str:
    """A table beside Label Studio's figures."""
    lines = [f"{figures['count']:>9,}{'seconds':>12}{'of CPU':>8}{'peak MB':>10}{'Label Studio, s':>18}{'times':>8}"]
    for what, step in figures["steps"].items():
        peer = PEER.get(what) if figures["count"] == PEER_COUNT else None
        ratio = f"{peer / max(step['seconds'], 0.1):.1f}" if peer else "-"
        lines.append(
            f"{what:>11}{step['seconds']:>10.1f}{step['cpu_s']:>8.1f}{step['peak_mb'] or '-':>10}{peer or '-':>18}{ratio:>8}"
        )
    lines.append(
        "tasks: rows of images whose files are not read, as there; ours and theirs were not measured side by side"
    )
    return "\n".join([*lines, figures["machine"]])


def _written(path: Path, what: str, count: int) -> Path:
    """A project export as Label Studio writes one."""
    with path.open("w", encoding="utf-8") as file:
        for at in range(count):
            choice = {"choices": [f"class {at % bench_store.CLASSES}"]}
            said = {"from_name": "class", "to_name": "image", "type": "choices", "value": choice}
            task: dict[str, Any] = {"id": at + 1, "data": {"image": f"/data/local-files/?d=pool/{at:07}.jpg"}}
            if what == "predictions":
                task["predictions"] = [{"model_version": "v1", "score": 0.5 + at % 50 / 100, "result": [said]}]
            file.write(("," if at else "[") + "\n" + json.dumps(task))
        file.write("\n]\n")
    return path


def _tasks(path: Path, file: Path) -> None:
    """Every task as a row of the store."""
    db = database.open(path)
    with db.write() as tx:
        for number in range(bench_store.CLASSES):
            classes.add(tx, f"class {number}", time.time())
    rows = (records.NewImage(path=f"/files/{tasks.image(task)[0]}") for task in json_file.items(file))
    while batch := list(itertools.islice(rows, BATCH)):
        with db.write(durable=True) as tx:
            images.add_many(tx, batch)
    db.close()


def _verb(folder: Path, file: Path) -> dict[str, Any]:
    """Seconds of `import-labels` in a process of its own, its start included, and its peak memory."""
    options = ["--format", "labelstudio", "--workspace", str(folder)]
    began = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, str(processes.LAUNCH), "import-labels", str(file), *options], stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise errors.BadRequest(f"the import of {file.name} ended with {child.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    cpu = round(usage.ru_utime + usage.ru_stime, 1)
    return {"seconds": round(time.monotonic() - began, 1), "cpu_s": cpu, "peak_mb": round(usage.ru_maxrss * unit / 1e6)}
