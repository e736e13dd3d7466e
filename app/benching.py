"""`bench page` and `bench loop`: serve a workspace of their own, train in the background, and label in a real browser."""

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
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from app import errors, processes
from store import annotators, classes, database, images, labels, queue, rounds
from store.records import Image, NewEvent

START_LABELS = 60
SETTINGS = (
    "round_after_labels = 1000000\nround_min_labels = 1000000\nround_after_minutes = 1e9\n"  # rounds when asked only
)


def page(*, answers: int, training: bool, json_file: Path | None) -> None:
    """Start to first image, then key press to next image painted, on a fresh demo pool; prints and writes the figures."""
    from app.web import bench

    with tempfile.TemporaryDirectory(prefix="raum-bench-") as folder:
        workspace = Path(folder) / "workspace"
        prepare(workspace, None, labelled=START_LABELS)
        starts = sorted(_start_to_first_image(workspace) for _ in range(3))
        figures: dict[str, Any] = {"start_to_first_image_s": [round(taken, 2) for taken in starts]}
        with served(workspace) as url:
            wait(url, lambda status: bool(status["ready"]), 60)
            if training:
                wait(url, lambda status: status["publication"] is not None, 300)
                _post(f"{url}/api/v1/commands", {"kind": "train", "payload": {}})
                wait(url, lambda status: status["phase"] == "training", 120)
            figures |= bench.bench_page(url, answers=answers)
            figures["training_throughout"] = training and status_of(url)["phase"] == "training"
    tell(figures, json_file)


def round_(*, labelled: int, json_file: Path | None) -> None:
    """One round on a fresh demo pool, in a process of its own, with so many answers by the truth: seconds and memory."""
    import resource  # POSIX only; nothing else here needs it

    with tempfile.TemporaryDirectory(prefix="raum-bench-") as folder:
        workspace = Path(folder) / "workspace"
        prepare(workspace, None, labelled=labelled)
        began = time.monotonic()
        subprocess.run([sys.executable, str(processes.LAUNCH), "round", "--workspace", str(workspace)], check=True)
        seconds = time.monotonic() - began
        db = database.open(workspace / "raum.db")
        told = _Watch(db).round_metrics()
        db.close()
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit / 1e9  # of the larger child: the round
    tell({"round_s": round(seconds, 1), "peak_gb": round(peak, 2), **told}, json_file)


def loop(
    images_folder: Path | None, *, answers: int, backbone: str, screenshot: Path | None, json_file: Path | None
) -> None:
    """Label by key before and while a round trains; how soon each answer was in a publication; what changed the queue."""
    from app.web import bench, bench_loop

    sync_api, executable = bench.browser()
    with tempfile.TemporaryDirectory(prefix="raum-bench-") as folder, sync_api.sync_playwright() as playwright:
        workspace = Path(folder) / "workspace"
        truth = prepare(workspace, images_folder, labelled=0)
        db = database.open(workspace / "raum.db")
        watch = _Watch(db)
        with served(workspace, "--backbone", backbone) as url:
            wait(url, lambda status: status["publication"] is not None, 900)
            browser, hand = bench_loop.open_hand(playwright, url, truth, executable=executable)
            before = hand.label(START_LABELS, pause_ms=100)
            _post(f"{url}/api/v1/commands", {"kind": "train", "payload": {}})
            wait(url, lambda status: status["phase"] == "training", 300)
            queue_before, maps_before = watch.head(), hand.maps_seen
            hand.label(answers, pause_ms=500, after=watch.look)
            still = status_of(url)["phase"] == "training"
            queue_refreshed = watch.head()
            wait(url, lambda status: status["round"] is not None, 1800)
            figures = {
                "answers_by_key_while_training": answers,
                "training_throughout": still,
                "answers_in_store": watch.answers() - before,
                "queue_changed_by_refreshes": queue_before != queue_refreshed,
                "queue_changed_by_round": queue_refreshed != watch.head(),
                "answers_with_a_map_shown": hand.maps_seen - maps_before,
                **watch.latencies(),
                "round": watch.round_metrics(),
            }
            if screenshot is not None:
                figures["map_in_screenshot"] = bench_loop.shoot(hand, screenshot)
            browser.close()
        db.close()
    tell(figures, json_file)


class _Watch:
    """Reads the store beside the browser: when each answer was saved, and when a publication had seen it."""

    def __init__(self, db: database.Database) -> None:
        self.db = db
        self.taken: list[float] = []

    def look(self) -> None:
        """Wait until the newest answer is in a publication; remember how long that took from its arrival."""
        with self.db.read() as tx:
            newest = labels.get(tx, labels.watermark(tx))
        deadline = time.time() + 30
        while time.time() < deadline:
            with self.db.read() as tx:
                current = queue.current(tx)
            if current is not None and current.watermark >= newest.seq:
                break
            time.sleep(0.02)
        self.taken.append(time.time() - newest.received_at)

    def head(self) -> list[int]:
        """The first images of the queue."""
        with self.db.read() as tx:
            current = queue.current(tx)
            return [row.image_id for row in queue.head(tx, current.id, 20)] if current else []

    def answers(self) -> int:
        with self.db.read() as tx:
            return labels.counts(tx)["total"]

    def round_metrics(self) -> dict[str, Any]:
        """What the last round says of itself."""
        with self.db.read() as tx:
            last = rounds.last(tx)
        return {name: last.metrics.get(name) for name in ("labels", "seconds", "images_per_s")} if last else {}

    def latencies(self) -> dict[str, float]:
        """Seconds from an answer's arrival to a publication that has seen it."""
        ordered = sorted(self.taken)
        at = [ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.95)]
        return {"in_publication_p50_s": round(at[0], 2), "p95_s": round(at[1], 2), "max_s": round(ordered[-1], 2)}


def tell(figures: dict[str, Any], json_file: Path | None) -> None:
    figures["machine"] = f"{os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}"
    print(json.dumps(figures, indent=1))
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def prepare(workspace: Path, folder: Path | None, *, labelled: int) -> dict[int, str]:
    """A workspace of an ImageFolder, or of the demo pool, with some labels given by the truth; returns the truth."""
    source = ["--demo"] if folder is None else ["--images", str(folder)]
    subprocess.run(
        [sys.executable, str(processes.LAUNCH), "ingest", *source, "--workspace", str(workspace)], check=True
    )
    (workspace / "settings.toml").write_text(SETTINGS, encoding="utf-8")
    db = database.open(workspace / "raum.db")
    with db.write() as tx:
        known = images.all_ok(tx)
        truth = _truth(workspace, known, folder is None)
        oracle = annotators.ensure(tx, "oracle", time.time())
        ids = {each.name: each.id for each in classes.all_(tx)}
        for image in [image for image in known if not image.holdout and truth[image.id]][:labelled]:
            event = NewEvent(
                uuid=str(uuid.uuid4()),
                image_id=image.id,
                annotator_id=oracle.id,
                kind="label",
                class_id=ids[truth[image.id]],
                source="oracle",
            )
            labels.append(tx, event, time.time())
    db.close()
    return truth


def _truth(workspace: Path, known: list[Image], demo: bool) -> dict[int, str]:
    """Class name by image, empty where there is none."""
    if not demo:
        return {image.id: Path(image.path).parent.name for image in known}
    with (workspace / "demo" / "truth.csv").open(newline="", encoding="utf-8") as file:
        names = {row["file"]: row["class"] for row in csv.DictReader(file)}
    return {image.id: names[Path(image.path).name] for image in known}


def _start_to_first_image(workspace: Path) -> float:
    from app.web import bench

    port = free_port()
    with ExitStack() as running:
        return bench.first_image(("127.0.0.1", port), lambda: running.enter_context(served(workspace, port=port)))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(workspace: Path, *options: str, port: int = 0) -> Iterator[str]:
    port = port or free_port()
    command = [
        sys.executable,
        str(processes.LAUNCH),
        "serve",
        "--workspace",
        str(workspace),
        "--port",
        str(port),
        *options,
    ]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def wait(url: str, done: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        status = status_of(url)
        if status and done(status):
            return
        time.sleep(0.05)
    raise errors.BadRequest(f"the bench server at {url} did not get ready within {seconds:.0f} s")


def status_of(url: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"{url}/api/v1/status", timeout=5) as answer:
            return dict(json.loads(answer.read()))
    except OSError:
        return {}


def _post(url: str, body: dict[str, Any]) -> None:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()
