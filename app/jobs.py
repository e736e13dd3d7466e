"""The verbs of launch.py that do one thing and end: each opens the workspace, shows progress, and tells what came of it."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from rich import console
from rich import progress as bars

from app import errors, importing, ingest_files, ingest_labels, processes, remote, settings
from store import database, queue, workers

BEAT_SECONDS = 0.5
COLUMNS = (
    bars.TextColumn("{task.description}"),
    bars.BarColumn(),
    bars.TaskProgressColumn(),
    bars.TimeRemainingColumn(),
)


def ingest(
    workspace: Path,
    images_at: str | None,
    *,
    classes_file: Path | None,
    labels_from_folders: bool,
    demo: bool,
    child: bool,
    boxes: dict[str, Any] | None = None,
) -> None:
    """Add the images of a folder, an archive or an address, or draw the demo pool first and add that."""
    from app import ingest as reading
    from app import ingest_scenes

    chosen = settings.load(workspace)
    if (images_at is None) != demo:
        raise errors.BadRequest("give either --images DIR or --demo")
    names = _names(classes_file)
    with opened(chosen) as db, shown(db, "ingest", child) as tell:
        folder: Path | str
        if demo:
            folder, names = _demo(chosen, tell)
        else:
            folder = remote.source(str(images_at), chosen.workspace, partial(tell, "unpacking"))
        report = reading.ingest(
            db,
            folder,
            workspace=chosen.workspace,
            now=time.time(),
            class_names=names,
            labels_from_folders=labels_from_folders,
            boxes=ingest_scenes.Asked(**boxes) if boxes else None,
            seed=chosen.seed,
            max_megapixels=chosen.max_megapixels,
            progress=lambda fraction, message: tell("reading", fraction, message),
            stop=orphaned(child),
        )
    print("\n".join(map(ingest_files.shown, _told(report))))


def _told(report: ingest_labels.IngestReport) -> list[str]:
    """What an ingest did, and every oddity that a person should know of."""
    sentences = [
        f"{report.added:,} images added, {report.known:,} known already, {report.quarantined:,} in quarantine, "
        f"{report.holdout:,} held out"
    ]
    oddities = {
        "known images whose file is another one now (their answers stay)": report.changed,
        "folders that could not be read": report.closed,
        "folders that name no class": report.unmatched,
        "images that could not be fetched, run it again to add them": report.unfetched,
    }
    sentences += [f"{len(found):,} {what}, the first is {found[0]}" for what, found in oddities.items() if found]
    if report.scenes or report.empty:
        sentences += of_boxes(report)
    if report.links:
        sentences.append(f"{report.links:,} links were passed over: only real files below the folder are taken")
    if report.stopped:
        sentences.append("stopped before the end: run it again to add the rest")
    return sentences


def of_boxes(report: ingest_labels.IngestReport) -> list[str]:
    """What of a box file is here, and what was left out."""
    told = [f"{report.scenes:,} pictures have boxes, {report.empty:,} have none (empty scenes)"]
    counted = {
        "are not in the box file": report.unlisted,
        "could not be read by its detector": report.undetected,
    }
    told += [f"{number:,} pictures {what}" for what, number in counted.items() if number]
    told += [f"{number:,} boxes left out: {why}" for why, number in sorted(report.left_out.items())]
    if report.missing:
        told.append(f"{len(report.missing):,} pictures of the box file are not here, the first is {report.missing[0]}")
    return told


def _names(classes_file: Path | None) -> list[str] | None:
    if classes_file is None:
        return None
    if classes_file.suffix == ".json":
        return [str(name) for name in json.loads(classes_file.read_text(encoding="utf-8"))]
    return list(ingest_files.read_classes(classes_file))


def _demo(chosen: settings.Settings, tell: Callable[[str, float, str], None]) -> tuple[Path, list[str]]:
    from model.data import demo

    folder = chosen.workspace / "demo"
    demo.make(folder, progress=lambda fraction, message: tell("drawing", fraction, message))
    return folder, list(demo.CLASS_NAMES)


def threads_beside(db: database.Database, cores: int) -> Callable[[], int]:
    """All cores, but one fewer while people label or other programs want one: threads that wait for each other at
    every layer lose far more to a busy core than the core itself."""
    looked = {"at": -10.0, "threads": cores}

    def threads() -> int:
        if time.monotonic() - looked["at"] > 2.0:
            with db.read() as tx:
                people = bool(queue.live_leases(tx, time.time()))
            busy = hasattr(os, "getloadavg") and os.getloadavg()[0] > cores + 0.5
            looked.update(at=time.monotonic(), threads=max(1, cores - 1) if people or busy else cores)
        return int(looked["threads"])

    return threads


def orphaned(child: bool) -> Callable[[], bool] | None:
    """For a child: whether the worker that started it is gone."""
    parent = processes.parent()
    return (lambda: processes.parent_is_gone(parent)) if child else None


def export(workspace: Path, path: Path, *, format: str, certified: float | None) -> None:
    """Write the labels, with `certified` the model's too as far as at most that share is wrong."""
    from app.exchange import certified as promised
    from app.exchange import formats

    chosen = settings.load(workspace)
    if certified is not None and format != "csv":
        raise errors.BadRequest(f"certified labels are written as csv, not as {format!r}")
    with opened(chosen) as db:
        while importing.carry_on(db, chosen, now=time.time()):  # what a kill cut short is whole before it is given out
            pass
        if certified is None:
            print(formats.export(db, path, name=format))
        else:
            print(promised.export(db, path, chosen.workspace, certified, now=time.time()))


@contextmanager
def opened(chosen: settings.Settings) -> Iterator[database.Database]:
    """The workspace's database, closed in the end."""
    processes.writable(chosen.workspace)
    db = database.open(chosen.database, chosen.workspace)
    try:
        yield db
    finally:
        db.close()


@contextmanager
def bar(name: str, *, shown: bool = True) -> Iterator[Callable[[float, str], None]]:
    """A bar in the terminal alone."""
    with bars.Progress(*COLUMNS, transient=True, disable=not shown, console=console.Console(stderr=True)) as drawn:
        task = drawn.add_task(name, total=1.0)
        yield lambda fraction, message: drawn.update(task, completed=fraction, description=f"{name}: {message}")


@contextmanager
def shown(db: database.Database, name: str, child: bool) -> Iterator[Callable[[str, float, str], None]]:
    """A bar in the terminal and the same progress in the database, where the page reads it."""
    beat = {"at": 0.0, "began": time.monotonic()}
    with bars.Progress(*COLUMNS, disable=child, transient=True) as bar:
        task = bar.add_task(name, total=1.0)

        def tell(phase: str, fraction: float, message: str) -> None:
            bar.update(task, completed=fraction, description=f"{phase}: {message}")
            now = time.monotonic()
            if now - beat["at"] < BEAT_SECONDS and fraction < 1.0:
                return
            beat["at"] = now
            first = beat.setdefault("first", fraction)  # what is resumed begins in the middle
            done = fraction - first
            eta = (now - beat["began"]) * (1 - fraction) / done if done > 0.02 else None
            with db.write() as tx:
                workers.beat(
                    tx,
                    name,
                    pid=os.getpid(),
                    phase=phase,
                    fraction=fraction,
                    message=message,
                    eta_s=eta,
                    now=time.time(),
                )

        try:
            yield tell
        finally:
            with db.write() as tx:
                workers.beat(tx, name, pid=0, phase="idle", now=time.time())
