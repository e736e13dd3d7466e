"""`bench page --images N`: a real browser and simulated people at one page over a large pool, while a round of it trains."""

import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from app import bench_people, bench_pool, bench_store, benching, errors, processes
from app.web import bench
from store import annotators, database, labels, queue, rounds

TRAINING_BEGINS = 600.0  # seconds that a round may take until it trains
LOADS = 3
PACE_MS = 400
TARGETS = {
    "key_p50_ms": 20.0, "key_p95_ms": 40.0, "first_load_s": 2.0, "next_image_p95_ms": 100.0, "lost": 0, "leased_twice": 0,
    "locked": 0,
}  # fmt: skip
HOW = (
    "pool: {images:,} rows that share {pictures} picture files, {classes:,} classes, made without decoding; its own page "
    "process and database; a queue of {length} rows with {mapped} maps is published every {every:g} s, as a worker does, by "
    "a process as nice as it; {load}; people: threads of another process, each a tab with its own client id that claims, fetches "
    "pictures, maps and thumbnails and answers every second at fixed times, the "
    "next one coming {arrivals:g} s after the one before; next image: from asking for it until its "
    "picture is there, without anything prefetched; first load: from asking for the page to its first image painted, in "
    "a browser that has kept nothing"
)


def command(
    *, images: int, class_count: int, people: int, seconds: float, training: bool, pool: Path | None,
    json_file: Path | None,
) -> None:  # fmt: skip
    """Measure in a folder of its own, print, write."""
    with tempfile.TemporaryDirectory(prefix="raum-bench-") as folder:
        figures = run(
            Path(folder), pool or Path(folder) / "pool", images=images, class_count=class_count, people=people,
            seconds=seconds, training=training,
        )  # fmt: skip
    benching.tell(figures, json_file)


def run(
    folder: Path, pool: Path, *, images: int, class_count: int, people: int, seconds: float, training: bool = True
) -> dict[str, Any]:
    """Figures by name, "targets" and "how" among them; `pool` is made where it is not there yet."""
    bench.browser()
    workspace = folder / "workspace"
    began = time.monotonic()
    if not (pool / bench_pool.NAME).exists():
        bench_pool.make(pool, pool=images, class_count=class_count)
    bench_pool.workspace(pool, workspace)
    figures: dict[str, Any] = {"made_in_s": round(time.monotonic() - began, 1), "load_before": os.getloadavg()[0]}
    with ExitStack() as running:
        refreshes = bench_pool.Refreshes(workspace)
        running.callback(refreshes.end)
        refreshes.publish()
        page, port, complaints = running.enter_context(_page(folder, workspace))
        url = f"http://127.0.0.1:{port}"
        figures["first_load_s"] = _rounded(bench.first_loads(url, LOADS))
        if training:
            running.enter_context(_round(workspace, refreshes.db))
        published = running.enter_context(_worker(workspace))
        before = _phase(refreshes.db)
        ended = running.enter_context(_people(bench_people.Plan(port, people, seconds, refreshes.said[:50])))
        figures["key"] = bench.bench_page(url, answers=10**6, pace_ms=PACE_MS, seconds=seconds - 2)
        figures["load_meanwhile"] = os.getloadavg()[0]
        met = ended()
        figures["round"] = {"at_the_beginning": before, "at_the_end": _phase(refreshes.db)} if training else None
        figures["first_load_while_it_trains_s"] = _rounded(bench.first_loads(url, LOADS))
        figures["page_peak_mb"] = _peak_mb(page.pid)
        figures["publish_ms"] = bench_store.latencies(map(float, published.read_text(encoding="utf-8").split()))
        figures |= told(met, seconds) | checked(refreshes.db, met, complaints.read_text(encoding="utf-8"))
    load = "a round of this very pool trains beside it, as the worker's child does" if training else "nothing trains"
    figures |= {"targets": TARGETS, "how": HOW.format(
        images=images, pictures=bench_pool.PICTURES, classes=class_count, length=bench_pool.QUEUE_LENGTH,
        mapped=bench_pool.MAPPED, every=bench_pool.EVERY, load=load, arrivals=bench_people.Plan.arrivals,
    )}  # fmt: skip
    return figures


def told(met: list[bench_people.Met], seconds: float) -> dict[str, Any]:
    """The people's latencies by kind of request, and whether they kept their pace."""
    kinds = {kind for each in met for kind in each.seconds}
    return {
        "people": len(met),
        "answers_a_second": round(sum(len(each.saved) for each in met) / seconds, 1),
        "people_ms": {
            kind: bench_store.latencies(taken for each in met for taken in each.seconds.get(kind, ()))
            for kind in sorted(kinds)
        },
        "answers_late": sum(each.late for each in met),
        "no_image_at_hand": sum(each.without for each in met),
    }


def checked(db: database.Database, met: list[bench_people.Met], complaints: str) -> dict[str, Any]:
    """What must be nothing: acknowledged answers that are not in the store, images given to two people, locked databases.

    The browser's images are those that the store says it answered or holds."""
    with db.read() as tx:
        events = list(labels.all_events(tx))
        browser = annotators.by_name(tx, "me")
        own = browser.id if browser else -1
        held = [lease.image_id for lease in queue.live_leases(tx, time.time()) if lease.annotator_id == own]
    stored = {event.uuid: event.image_id for event in events}
    saved = {each: image_id for person in met for each, image_id in person.saved.items()}
    holders = Counter(image_id for person in met for image_id in set(person.given))
    holders.update({event.image_id for event in events if event.annotator_id == own} | set(held))
    refused = Counter(sentence for person in met for sentence in person.refused)
    return {
        "answers_acknowledged": len(saved),
        "lost": sum(stored.get(each) != image_id for each, image_id in saved.items()),
        "leased_twice": sum(number > 1 for number in holders.values()),
        "locked": sum(number for text, number in refused.items() if " 503 " in text) + complaints.count("locked"),
        "refused": dict(refused.most_common(5)),
        "page_complained": complaints[-500:],
    }


def _rounded(seconds: list[float]) -> list[float]:
    return [round(each, 2) for each in seconds]


@contextmanager
def _page(folder: Path, workspace: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """The page process alone, its port, and the file of what it complains."""
    port, complaints = benching.free_port(), folder / "page.log"
    command = [sys.executable, str(processes.LAUNCH), "page", "--workspace", str(workspace), "--port", str(port)]
    with complaints.open("wb") as out:
        page = subprocess.Popen(command, stdout=out, stderr=out, env=processes.told_of_us(os.environ))
    try:
        benching.wait(f"http://127.0.0.1:{port}", lambda status: bool(status["ready"]), 30)
        yield page, port, complaints
    finally:
        page.terminate()
        page.wait(30)


@contextmanager
def _worker(workspace: Path) -> Iterator[Path]:
    """Refreshes in a process of their own, as the worker's are; and the file of the seconds that each took."""
    told = workspace / "published.txt"
    command = [sys.executable, "-m", "app.bench_pool", str(workspace)]
    with told.open("wb") as out:
        child = subprocess.Popen(command, cwd=processes.LAUNCH.parent, stdout=out)
    try:
        yield told
    finally:
        child.kill()
        child.wait()


@contextmanager
def _round(workspace: Path, db: database.Database) -> Iterator[None]:
    """A round of the pool in a child of its own, from the moment that it trains; it is ended with the block."""
    command = [sys.executable, str(processes.LAUNCH), "round", "--workspace", str(workspace), "--child"]
    with (workspace / "round.log").open("wb") as out:
        child = subprocess.Popen(command, stdout=out, stderr=out, env=processes.child_environment())
    try:
        deadline = time.monotonic() + TRAINING_BEGINS
        while "training" not in _phase(db):
            if child.poll() is not None or time.monotonic() > deadline:
                said = (workspace / "round.log").read_text(encoding="utf-8")[-500:]
                raise errors.BadRequest(f"the round did not begin to train within {TRAINING_BEGINS:.0f} s: {said}")
            time.sleep(0.2)
        yield
    finally:
        child.kill()
        child.wait()


def _phase(db: database.Database) -> str:
    """What the round does, in a few words."""
    from store import workers

    with db.read() as tx:
        state, running = workers.get(tx, "round"), rounds.running(tx)
    if running is None or state is None:
        return "no round runs"
    return f"{state.phase} {state.fraction or 0:.0%}: {state.message}"


@contextmanager
def _people(plan: bench_people.Plan) -> Iterator[Callable[[], list[bench_people.Met]]]:
    """The people at work in another process; what is given waits for their end and says what they met."""
    command = [sys.executable, "-m", "app.bench_people", json.dumps(dataclasses.asdict(plan))]
    child = subprocess.Popen(command, cwd=processes.LAUNCH.parent, stdout=subprocess.PIPE)

    def ended() -> list[bench_people.Met]:
        out, _ = child.communicate(timeout=plan.seconds + plan.people * plan.arrivals + 60)
        return [bench_people.Met(**met) for met in json.loads(out)]

    try:
        yield ended
    finally:
        child.kill()
        child.wait()


def _peak_mb(pid: int) -> float | None:
    """The most memory that a process ever held; None where the system does not say (it is read from /proc)."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((round(int(line.split()[1]) / 1024, 1) for line in lines if line.startswith("VmHWM")), None)
