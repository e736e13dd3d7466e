"""`bench page`: serves a demo workspace of its own, trains in the background, and measures key presses in a browser."""

import csv
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from app import errors, processes
from store import annotators, classes, database, images, labels
from store.records import NewEvent

START_LABELS = 60
SETTINGS = (
    "round_after_labels = 1000000\nround_min_labels = 1000000\nround_after_minutes = 1e9\n"  # rounds when asked only
)


def page(*, answers: int, training: bool, json_file: Path | None) -> None:
    """Start to first image, then key press to next image painted, on a fresh demo pool; prints and writes the figures."""
    from app.web import bench

    with tempfile.TemporaryDirectory(prefix="raum-bench-") as folder:
        workspace = Path(folder) / "workspace"
        _prepare(workspace)
        began = time.monotonic()
        with _served(workspace) as url:
            _wait(url, lambda status: bool(status["ready"]), 60)
            figures: dict[str, Any] = {"start_to_serving_s": round(time.monotonic() - began, 2)}
            if training:
                _wait(url, lambda status: status["publication"] is not None, 300)
                _post(f"{url}/api/v1/commands", {"kind": "train", "payload": {}})
                _wait(url, lambda status: status["phase"] == "training", 120)
            figures |= bench.bench_page(url, answers=answers)
            figures["training_throughout"] = training and _status(url)["phase"] == "training"
    figures["machine"] = f"{os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}"
    print(json.dumps(figures, indent=1))
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def _prepare(workspace: Path) -> None:
    """A demo pool with the first labels given by its own truth."""
    subprocess.run(
        [sys.executable, str(processes.LAUNCH), "ingest", "--demo", "--workspace", str(workspace)], check=True
    )
    (workspace / "settings.toml").write_text(SETTINGS, encoding="utf-8")
    with (workspace / "demo" / "truth.csv").open(newline="", encoding="utf-8") as file:
        truth = {row["file"]: row["class"] for row in csv.DictReader(file)}
    db = database.open(workspace / "raum.db")
    with db.write() as tx:
        oracle = annotators.ensure(tx, "oracle", time.time())
        ids = {each.name: each.id for each in classes.all_(tx)}
        known = [image for image in images.all_ok(tx) if not image.holdout and truth[Path(image.path).name]]
        for image in known[:START_LABELS]:
            event = NewEvent(
                uuid=str(uuid.uuid4()),
                image_id=image.id,
                annotator_id=oracle.id,
                kind="label",
                class_id=ids[truth[Path(image.path).name]],
                source="oracle",
            )
            labels.append(tx, event, time.time())
    db.close()


@contextmanager
def _served(workspace: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(processes.LAUNCH), "serve", "--workspace", str(workspace), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def _wait(url: str, done: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status = _status(url)
        if status and done(status):
            return
        time.sleep(0.05)
    raise errors.BadRequest(f"the bench server at {url} did not get ready within {seconds:.0f} s")


def _status(url: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"{url}/api/v1/status", timeout=5) as answer:
            return dict(json.loads(answer.read()))
    except OSError:
        return {}


def _post(url: str, body: dict[str, Any]) -> None:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()
