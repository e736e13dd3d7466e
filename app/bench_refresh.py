"""`bench refresh`: from a label to the queue that knows of it, on a large pool, at rest and while a round trains."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from app import bench_pool, bench_store, errors, labelling, pool, pool_files, processes, settings, switching
from model import config
from model.data import demo
from store import annotators, classes, commands, database, images, label_batches, labels, queue, rounds, workers
from store.records import NewEvent, NewPublication

HOLDOUT = 400
SETTINGS = f'backbone = "{config.NANO}"\nrounds = false\nbackup_days = 0\nbackup_weeks = 0\n'
APART = 0.55  # of the classes' centres, in units of the noise: nearly all can be told apart
LOOK = 0.004  # seconds between two looks for the publication
PATIENCE = 120.0
WARM = 8  # first labels, not counted: the worker finds out that a fit is slow


def command(
    *, images: int, dims: int, class_count: int, labelled: int, answers: int, pause: float, training: bool,
    json_file: Path | None,
) -> None:  # fmt: skip
    """Measure in a folder of its own, which is removed again; print and write."""
    with tempfile.TemporaryDirectory(prefix="raum-refresh-") as folder:
        chosen = settings.load(Path(folder) / "workspace", backbone=config.NANO)
        chosen.workspace.mkdir()
        (chosen.workspace / "settings.toml").write_text(SETTINGS, encoding="utf-8")
        person = make(chosen, Path(folder), count=images, dims=dims, class_count=class_count, labelled=labelled)
        figures = run(
            chosen, person, answers=answers, pause=pause, training=training,
            tell=lambda text: print(text, file=sys.stderr, flush=True),
        )  # fmt: skip
    figures |= {"images": images, "dims": dims, "classes": class_count, "labelled": labelled}
    print(told(figures))
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def make(
    chosen: settings.Settings, folder: Path, *, count: int, dims: int, class_count: int, labelled: int
) -> Callable[[int], int]:
    """A workspace of drawn pictures under many names whose embeddings are made up; returns the truth of an image."""
    demo.make(folder / "pictures", count=bench_pool.PICTURES, seed=0)
    held_out = min(HOLDOUT, count // 5)
    made = bench_pool.rows(sorted((folder / "pictures").glob("*.jpg")), count, held=held_out)
    rng = np.random.default_rng(0)
    truth_N = rng.integers(0, class_count, count)
    centres_KD = rng.standard_normal((class_count, dims)).astype(np.float32)
    held = pool.open_wanted(chosen, [])
    own = int(held.net.dim)
    apart = bool(dims) and dims != own
    if apart:  # of a network that is not to be had: ranked as any other, but no map can be drawn
        strange = dataclasses.replace(held.config, backbone=f"hf:{folder / 'gone'}")
        held = pool.Pool(chosen, None, None, "made-up", strange)
    dims = dims or own
    db = database.open(chosen.database)
    with db.write() as tx:
        ids: list[int] = []
        while part := list(itertools.islice(made, 50_000)):
            ids += images.add_many(tx, part)
        said = [classes.add(tx, f"class {number}", 1.0).id for number in range(class_count)]
        oracle = annotators.ensure(tx, "oracle", 1.0).id
    new = [
        NewEvent(uuid=str(uuid.uuid4()), image_id=image_id, annotator_id=oracle, kind="label",
                 class_id=said[truth_N[at]], source="oracle")
        for at, image_id in enumerate(ids[: held_out + labelled])
    ]  # fmt: skip
    with db.write() as tx:
        label_batches.append_many(tx, new, time.time())
    noise_ND = rng.standard_normal((count, dims), dtype=np.float32)
    pool.add(held, ids, noise_ND + APART * centres_KD[truth_N])
    pool_files.save(held)
    if apart:
        with db.write() as tx:
            queue.publish(
                tx, NewPublication(kind="cold", watermark=0, embeddings=held.folder, created_at=time.time()), []
            )
        switching.stay(db, chosen, None)  # nor is the pool embedded with a network that is there, beside the answers
    db.close()
    return lambda image_id: said[truth_N[image_id - ids[0]]]


def run(
    chosen: settings.Settings,
    truth: Callable[[int], int],
    *,
    answers: int,
    pause: float,
    training: bool,
    tell: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Start a worker, answer one image at a time, and wait for the queue that knows; BadRequest where it does not come."""
    words = [sys.executable, str(processes.LAUNCH), "worker", "--workspace", str(chosen.workspace)]
    log = chosen.workspace.parent / "worker.log"
    db = database.open(chosen.database)
    load = os.getloadavg()[0]
    with (
        log.open("wb") as out,
        subprocess.Popen(words, stdout=out, stderr=out, env=processes.told_of_us(os.environ)) as worker,
    ):
        try:
            tell("the worker reads the pool")
            _wait(lambda: _shown(db) is not None, log)
            found = {"at rest": _answer(db, truth, answers + WARM, pause, log)[WARM:]}
            if training:
                with db.write() as tx:
                    commands.ask(tx, "train", {}, time.time())
                tell("a round begins")
                _wait(lambda: _training(db), log)
                found["while a round trains"] = _answer(db, truth, answers, pause, log)
                throughout = _training(db)
        finally:
            worker.terminate()
    kinds = {name: bench_store.latencies([seconds for seconds, _ in each]) for name, each in found.items()}
    own = {name: bench_store.latencies([own for _, own in each]) for name, each in found.items()}
    db.close()
    machine = f"{os.cpu_count()} cores, load {load:.1f} before it"
    return {"machine": machine, "pause_s": pause, "until_known_ms": kinds, "refresh_itself_ms": own} | (
        {"training_throughout": throughout} if training else {}
    )


def _answer(
    db: database.Database, truth: Callable[[int], int], count: int, pause: float, log: Path
) -> list[tuple[float, float]]:
    """Of each answer: seconds until a publication knows of it, and those that this publication took itself."""
    rng, found = np.random.default_rng(0), []
    for _ in range(count):
        now = time.time()
        [item] = labelling.next_images(db, annotator="person", client="tab", count=1, now=now, rng=rng, holdout_rate=0)
        said = {"uuid": str(uuid.uuid4()), "image_id": item["image_id"], "lease": item["lease"], "annotator": "person",
                "kind": "label", "class_id": truth(item["image_id"])}  # fmt: skip
        labelling.submit(db, said, now=time.time())
        began = time.perf_counter()
        with db.read() as tx:
            seq = labels.watermark(tx)
        _wait(functools.partial(_knows, db, seq), log)
        took = time.perf_counter() - began
        with db.read() as tx:
            shown = queue.current(tx)
        found.append((took, float(shown.metrics["seconds"]) if shown is not None else 0.0))
        time.sleep(pause)
    return found


def _shown(db: database.Database) -> int | None:
    with db.read() as tx:
        shown = queue.current(tx)
    return None if shown is None else shown.watermark


def _knows(db: database.Database, seq: int) -> bool:
    shown = _shown(db)
    return shown is not None and shown >= seq


def _training(db: database.Database) -> bool:
    with db.read() as tx:
        state, running = workers.get(tx, "round"), rounds.running(tx)
    return state is not None and running is not None and state.phase == "training"


def _wait(done: Callable[[], bool], log: Path) -> None:
    until = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > until:
            said = log.read_text(encoding="utf-8", errors="replace")[-2000:]
            raise errors.BadRequest(f"nothing came within {PATIENCE:.0f} s; the worker said: {said}")
        time.sleep(LOOK)


def told(figures: dict[str, Any]) -> str:
    """The figures as a table and sentences."""
    lines = [
        f"{figures['images']:,} images of {figures['dims'] or 160} dimensions, {figures['classes']} classes, "
        f"{figures['labelled']:,} labels to begin with; {figures['machine']}",
        f"{'milliseconds':>40}" + "".join(f"{name:>10}" for name in ("n", "p50", "p95", "max")),
    ]
    for name, each in figures["until_known_ms"].items():
        for what, row in (("label to queue", each), ("the refresh itself", figures["refresh_itself_ms"][name])):
            cells = "".join(f"{row.get(column, '-'):>10}" for column in ("n", "p50", "p95", "max"))
            lines.append(f"{f'{what}, {name}':>40}{cells}")
    if not figures.get("training_throughout", True):
        lines.append("the round ended before the answers did: some of its figures are those of a machine at rest")
    maps = "no maps: there is no network of so many dimensions" if figures["dims"] else "maps of its head included"
    lines.append(
        f"label to queue: from the stored answer until a publication knows of it ({maps}), looked for every "
        f"{1000 * LOOK:.0f} ms; {figures['pause_s']} s of thinking between two answers"
    )
    return "\n".join(lines)
