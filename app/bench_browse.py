"""`bench browse`: a workspace of many rows without pixels, served by a page of its own; latency of every filter and order."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from app import bench_store, errors, predictions, processes
from store import annotators, database, images, label_batches, queue
from store.records import NewEvent, NewPublication

WIDTH = 384  # of an embedding
GROUPS = 200
SETTLED = 0.02  # share of the pool that is labelled, by two people
WINDOW = 100
WAIT_S = 600.0
SENT = 1000  # images of the bulk action


def command(*, rows: int, repeat: int, place: Path | None, json_file: Path | None) -> None:
    """Make it, serve it, ask each question `repeat` times at random places; print and write the figures."""
    with tempfile.TemporaryDirectory(prefix="raum-bench-", dir=place) as folder:
        workspace = Path(folder) / "workspace"
        make(workspace, rows)
        figures = served_and_measured(workspace, rows, repeat)
    figures["machine"] = f"{os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}"
    print(told(figures))
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def served_and_measured(workspace: Path, rows: int, repeat: int) -> dict[str, Any]:
    """What a page process of its own over a workspace of `rows` images takes."""
    with _served(workspace) as (url, pid):
        figures = measure(url, rows, repeat)
        figures["page_peak_mb"] = _peak_mb(pid)
    return figures


def make(workspace: Path, rows: int, seed: int = 0) -> None:
    """A store of `rows` images with some labels, one publication with predictions and embeddings in groups."""
    workspace.mkdir(parents=True)
    path, rng = workspace / "raum.db", np.random.default_rng(seed)
    bench_store.make(path, rows - min(bench_store.HOLDOUT, rows // 5))
    db = database.open(path)
    with db.read() as tx:
        known = [image.id for image in images.all_ok(tx)]
        pool = [image.id for image in images.all_ok(tx) if not image.holdout]
    chosen = rng.permutation(len(pool))[: max(2, int(SETTLED * rows))]
    with db.write() as tx:
        people = [annotators.ensure(tx, name, 1.0).id for name in ("ada", "ben")]
        said = [
            NewEvent(
                uuid=str(uuid.UUID(int=at + 1)),
                image_id=pool[int(spot)],
                annotator_id=people[at % 2],
                kind="label" if at % 10 else "reject",
                class_id=1 + int(rng.integers(bench_store.CLASSES)) if at % 10 else None,
            )
            for at, spot in enumerate(chosen)
        ]
        label_batches.append_many(tx, said, time.time())
        new = NewPublication(kind="refresh", watermark=0, created_at=time.time(), embeddings="embeddings/bench")
        number = queue.publish(tx, new, [])
    db.close()
    _write_arrays(workspace, number, np.array(known, np.int64), rng)


def _write_arrays(workspace: Path, number: int, ids_N: Any, rng: np.random.Generator) -> None:
    folder = workspace / "embeddings" / "bench"
    folder.mkdir(parents=True)
    np.save(folder / "image_ids.npy", ids_N)
    (folder / "meta.json").write_text("{}", encoding="utf-8")
    group_N = rng.integers(0, GROUPS, len(ids_N))
    shape = (len(ids_N), WIDTH)
    out = np.lib.format.open_memmap(folder / "embeddings.npy", mode="w+", dtype=np.float16, shape=shape)
    middles, mix = rng.standard_normal((GROUPS, 32), np.float32), rng.standard_normal((32, WIDTH), np.float32) / 5
    for start in range(0, len(ids_N), 20_000):
        near = middles[group_N[start : start + 20_000]]
        inner = near + 0.6 * rng.standard_normal(near.shape, np.float32)
        out[start : start + 20_000] = inner @ mix + 0.1 * rng.standard_normal((len(near), WIDTH), np.float32)
    out.flush()
    count = len(ids_N)
    sure, odd = rng.random(count, np.float32), rng.random(count, np.float32)
    top = 1 + (group_N % bench_store.CLASSES).astype(np.int32)
    meta = {"class_ids": list(range(1, bench_store.CLASSES + 1)), "checkpoint": None, "watermark": 0}
    predictions.write(workspace, number, predictions.Predictions(ids_N, top, sure, odd, meta))


def questions(rows: int) -> dict[str, dict[str, Any]]:
    """Every filter and order of the Browse tab, by name."""
    return {
        "all, newest first": {},
        "all, oldest first": {"order": "oldest"},
        "all, by file name": {"order": "name"},
        "all, surest first": {"order": "sure"},
        "all, least sure first": {"order": "unsure"},
        "all, fits no class first": {"order": "odd"},
        "open": {"state": "open"},
        "labelled": {"state": "labelled"},
        "rejected": {"state": "rejected"},
        "labelled as one class": {"said": 7},
        "suggested class, 60 to 90 %": {"suggested": 7, "low": 0.6, "high": 0.9, "order": "sure"},
        "answered by a person": {"person": 1},
        "text in the name": {"text": f"{rows // 3 % 10_000:04}"},
        "text in every name": {"text": "jpg", "order": "name"},
        "inside a lasso": {"lasso": "200,200,800,200,800,800,200,800"},
    }


def measure(url: str, rows: int, repeat: int) -> dict[str, Any]:
    """Milliseconds by question: the first page, which finds the order, and pages at random places of it."""
    rng = np.random.default_rng(1)
    began = time.monotonic()
    _until_ready(lambda: _get(url, "", {}))
    figures: dict[str, Any] = {"rows": rows, "first_look_s": round(time.monotonic() - began, 2)}
    shown_first = [_get(url, "", {"start": int(start)}) for start in rng.integers(0, rows, repeat)]
    cards = [card for answer in shown_first for card in json.loads(answer)["images"]]
    compared = [card["image_id"] for card in cards if card["suggestion"]]  # none that the model keeps quiet about
    began = time.monotonic()
    _until_ready(lambda: _get(url, "", {"like": compared[0]}))
    figures["sketch_s"] = round(time.monotonic() - began, 2)
    began = time.monotonic()
    shown = _until_ready(lambda: _get(url, "/map", {}))
    figures["map_s"] = round(time.monotonic() - began, 2)
    figures["map_bytes"] = len(shown)
    first, pages = {}, {}
    for name, asked in questions(rows).items():
        taken, answer = _timed(lambda asked=asked: _get(url, "", asked))  # type: ignore[misc]
        first[name], total = taken, json.loads(answer)["total"]
        places = rng.integers(0, max(1, total), repeat)
        pages[name] = [_timed(lambda a=asked, s=s: _get(url, "", {**a, "start": int(s)}))[0] for s in places]  # type: ignore[misc]
    like = [_timed(lambda i=i: _get(url, "", {"like": int(i)}))[0] for i in rng.choice(compared, repeat)]  # type: ignore[misc]
    first["like this one"], pages["like this one"] = like[0], like
    figures["first_page_ms"] = {name: round(1000 * taken, 1) for name, taken in first.items()}
    figures["page_ms"] = {name: bench_store.latencies(taken) for name, taken in pages.items()}
    ids = json.loads(_get(url, "/ids", {"state": "open", "start": 100, "count": SENT}))["image_ids"]
    body = {"uuid": str(uuid.uuid4()), "annotator": "ada", "action": "label", "class_id": 3, "image_ids": ids}
    taken, _ = _timed(lambda: _post(url, "/act", body))
    back = {"uuid": str(uuid.uuid4()), "annotator": "ada", "target": body["uuid"]}
    undone, _ = _timed(lambda: _post(url, "/undo", back))
    figures["bulk_ms"] = {f"label {len(ids):,}": round(1000 * taken, 1), "undo": round(1000 * undone, 1)}
    figures["page_after_it_ms"] = round(1000 * _timed(lambda: _get(url, "", {"state": "open"}))[0], 1)
    return figures


def told(figures: dict[str, Any]) -> str:
    """The figures as a table and sentences."""
    lines = [f"{'milliseconds':>30}{'first':>10}" + "".join(f"{name:>10}" for name in ("p50", "p95", "max"))]
    for name, row in figures["page_ms"].items():
        cells = [figures["first_page_ms"][name], *(row[key] for key in ("p50", "p95", "max"))]
        lines.append(f"{name:>30}" + "".join(f"{cell:>10,.1f}" for cell in cells))
    lines += [
        f"{figures['rows']:,} rows, windows of {WINDOW} at random places; first: the order is found and its first page sent",
        f"reading the list {figures['first_look_s']} s and comparing the embeddings {figures['sketch_s']} s, once, while told",
        f"the map in {figures['map_s']} s ({figures['map_bytes']:,} bytes sent); bulk: {figures['bulk_ms']}, "
        f"a page after it {figures['page_after_it_ms']} ms",
        f"peak memory of the page process {figures['page_peak_mb']} MB; {figures['machine']}",
    ]
    return "\n".join(lines)


def _get(url: str, path: str, asked: dict[str, Any]) -> bytes:
    query = urllib.parse.urlencode({"annotator": "bench", **asked})
    with urllib.request.urlopen(f"{url}/api/v1/browse{path}?{query}", timeout=60) as answer:
        return bytes(answer.read())


def _post(url: str, path: str, body: dict[str, Any]) -> bytes:
    request = urllib.request.Request(
        f"{url}/api/v1/browse{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


def _until_ready(ask: Callable[[], bytes]) -> bytes:
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        answer = ask()
        if not answer.startswith(b'{"ready":false'):
            return answer
    raise errors.BadRequest(f"the page was not ready within {WAIT_S:.0f} s")


def _timed(ask: Callable[[], bytes]) -> tuple[float, bytes]:
    began = time.perf_counter()
    answer = ask()
    return time.perf_counter() - began, answer


def _peak_mb(pid: int) -> int | None:
    """Of the page process, as Linux counts it (resident, mapped files included); None elsewhere."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) // 1000 for line in lines if line.startswith("VmHWM")), None)


@contextmanager
def _served(workspace: Path) -> Iterator[tuple[str, int]]:
    """The page process alone, as `serve` starts it -> (its address, its pid)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, str(processes.LAUNCH), "page", "--workspace", str(workspace), "--port", str(port)]
    page = subprocess.Popen(command, env=processes.told_of_us(os.environ), stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and page.poll() is None:
            try:
                urllib.request.urlopen(f"{url}/healthz", timeout=2).close()
                break
            except OSError:
                time.sleep(0.1)
        yield url, page.pid
    finally:
        page.terminate()
        page.wait(30)
