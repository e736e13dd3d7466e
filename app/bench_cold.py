"""`bench cold`: the first refresh of a pool that nobody has looked at yet, from its start until the queue is published."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from app import bench_pool, errors, ingest_files, processes, settings
from model import config
from model.data import demo
from store import database, images, queue

PARTS = ("starting", "decoding", "embedding", "ranking")  # of the seconds; the rest goes to the database and the disk


def command(*, count: int, folder: Path | None, backbone: str, crops: int, json_file: Path | None) -> None:
    """Make such a pool in a temporary folder, refresh it in a process of its own, print, write."""
    if os.name != "posix":
        raise errors.BadRequest("bench cold asks the system for a child's memory: it needs Linux or macOS")
    with tempfile.TemporaryDirectory(prefix="raum-bench-") as place:
        figures = run(Path(place), count=count, folder=folder, backbone=backbone, crops=crops)
    print(told(figures))
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def run(place: Path, *, count: int, folder: Path | None, backbone: str, crops: int = config.BOTH) -> dict[str, Any]:
    """A pool of `count` rows over the pictures of `folder` (None: drawn ones), and its first refresh: the figures.

    Pictures repeat under other names, and each row is read and decoded for itself. Raises BadRequest where there are no
    pictures, or where the refresh ends with a complaint."""
    if folder is None:
        demo.make(place / "pictures", count=min(count, bench_pool.PICTURES))
    files = [Path(found.path) for found in ingest_files.walk(folder or place / "pictures").files]
    if not files or count < 1:
        raise errors.BadRequest(f"{folder} holds no pictures, or {count} of them are asked for; give both")
    workspace = place / "workspace"
    db = database.open(processes.writable(workspace) / "raum.db")
    (workspace / "settings.toml").write_text(f"crops = {crops}\n", encoding="utf-8")
    with db.write() as tx:
        images.add_many(tx, list(bench_pool.rows(files, count, held=min(bench_pool.HOLDOUT, count // 5))))
    db.close()
    load = os.getloadavg()[0]
    child = subprocess.Popen(
        [sys.executable, "-m", "app.bench_cold", str(workspace), backbone, repr(time.time())],
        cwd=processes.LAUNCH.parent, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    said = child.communicate()[0].splitlines()
    if child.returncode:
        raise errors.BadRequest(f"the refresh ended with code {child.returncode}: {said[-1] if said else 'see above'}")
    return {
        "images": count,
        "pictures": min(count, len(files)),
        "from": "drawn ones" if folder is None else str(folder),
        **json.loads(said[-1]),
        "machine": f"{os.cpu_count()} cores, load {load:.1f} before",
    }


def told(figures: dict[str, Any]) -> str:
    """The figures, and how they were measured."""
    parts = ", ".join(f"{name} {figures[name]:.1f} s" for name in (*PARTS, "rest"))
    return (
        f"{figures['backbone']}: {figures['images']:,} images in {figures['seconds']:.1f} s ({parts}), "
        f"{figures['cpu_s']:.1f} s of processor time, peak memory {figures['peak_mb']:,} MB\n"
        f"from the start of a process to its published queue of {figures['queue']:,}; {figures['pictures']:,} pictures "
        f"({figures['from']}) under {figures['images']:,} names, each read from the system's file cache and decoded to "
        f"{figures['image_size']} px; crops = {figures['crops']}; {figures['device']}; {figures['machine']}"
    )


def refresh(workspace: Path, backbone: str, *, began: float) -> dict[str, Any]:
    """What `launch.py refresh` does until it has published; seconds since `began` (as time.time), and of its parts."""
    import resource  # POSIX only

    import numpy as np

    from app import learning, switching

    processes.keep_memory()
    chosen = settings.load(workspace, backbone=backbone)
    db = database.open(chosen.database)
    held = switching.successor(db, chosen)
    starting = time.time() - began
    switching.fill(db, held, lambda done, total: None)
    filled = time.time()
    learning.refresh(db, chosen, held, now=filled, rng=np.random.default_rng(0))
    ended = time.time()
    with db.read() as tx:
        current = queue.current(tx)
        length = queue.left(tx, current.id) if current else 0
    db.close()
    seconds = {"starting": starting, **held.spent, "ranking": ended - filled}
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "backbone": chosen.backbone,
        "seconds": ended - began,
        **seconds,
        "rest": ended - began - sum(seconds.values()),
        "cpu_s": time.process_time(),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6),
        "embedded": len(held.image_ids),
        "queue": length,
        "image_size": held.config.image_size,
        "crops": held.config.crops,
        "device": held.device_text,
    }


if __name__ == "__main__":
    try:
        print(json.dumps(refresh(Path(sys.argv[1]), sys.argv[2], began=float(sys.argv[3]))))
    except errors.AppError as problem:
        print(problem)
        sys.exit(2)
