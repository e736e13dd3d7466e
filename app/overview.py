"""What a leader of the work looks at: who answers how fast, which round was better, what the model confuses, the log."""

import math
from collections import defaultdict
from pathlib import Path
from typing import Any

from app import artifacts, predictions
from app.settings import Settings
from store import answers, classes, labels, pace, queue, rounds
from store.database import Database
from store.records import Round

HOURS = 12
LOG_BYTES = 16_000
IN_A_CELL = 24  # images that a cell of the confusion matrix names
TOLD = ("labels", "accuracy", "low", "high", "n", "ece", "nll", "brier", "seconds")


def people(db: Database, *, now: float) -> dict[str, Any]:
    """Answers by the hour: {"from": first hour, "people": [{"name", "hours": [answers], "last_hour", "seconds"}]}.

    `hours` are the last 12 clock hours, the present one last; `last_hour` counts the sixty minutes up to now; `seconds`
    is the median from painted to answered. Who answered nothing in that time is left out; most answers first."""
    first = (math.floor(now / pace.HOUR) - HOURS + 1) * pace.HOUR
    with db.read() as tx:
        rows = pace.by_hour(tx, since=first)
        latest = pace.counts(tx, since=now - pace.HOUR)
        hours: dict[str, list[int]] = defaultdict(lambda: [0] * HOURS)
        for row in rows:
            at = int((row.at - first) // pace.HOUR)
            if 0 <= at < HOURS:  # an event from a clock that was ahead has no place here
                hours[row.name][at] = row.answers
        told = [
            {"name": name, "hours": counts, "last_hour": latest.get(name, 0), "seconds": pace.seconds(tx, name)}
            for name, counts in hours.items()
        ]
    return {"from": first, "people": sorted(told, key=lambda each: -sum(each["hours"]))}


def history(db: Database, settings: Settings) -> dict[str, Any]:
    """Every round, newest first, with what it reached, and the round whose network is shown: {"shown", "rounds"}."""
    with db.read() as tx:
        every, current, there = rounds.all_(tx), queue.current(tx), artifacts.known(tx, settings, "checkpoints/")
    return {
        "shown": current.round_id if current and current.checkpoint else None,
        "rounds": [_round(each, settings.workspace, each.checkpoint in there) for each in reversed(every)],
    }


def _round(each: Round, workspace: Path, there: bool) -> dict[str, Any]:
    kept = there or (bool(each.checkpoint) and (workspace / str(each.checkpoint)).is_file())
    return {
        "round": each.id,
        "status": each.status,
        "begun_at": each.begun_at,
        "finished_at": each.finished_at,
        "error": each.error,
        "seed": each.seed,
        "kept": kept,  # whether one can go back to it
        "kept_because": each.metrics.get("kept_because"),  # why it was not shown though it ended well
        **{name: each.settings.get(name) for name in ("backbone", "method")},
        **{name: each.metrics.get(name) for name in TOLD},
        "labels": each.settings.get("labels"),
    }


def confusion(db: Database, workspace: Path) -> dict[str, Any]:
    """The answered holdout against the newest predictions: {"publication", "answers", "classes", "cells"}.

    A cell: {"truth", "said" (class ids), "count", "image_ids"}; only cells that hold an image, most first. Images that
    people found to be of no class are left out. The holdout is never trained on, so nothing here is learnt by heart."""
    found = predictions.newest(workspace)
    if found is None:
        return {"publication": None, "answers": 0, "classes": [], "cells": []}
    said = dict(zip(found.image_ids_N.tolist(), found.top_class_N.tolist(), strict=True))
    cells: dict[tuple[int, int], list[int]] = defaultdict(list)
    with db.read() as tx:
        names = {each.id: each.name for each in classes.all_(tx)}
        now_is = {each.id: each.merged_into or each.id for each in classes.ever(tx)}
        for image_id, truth in answers.of_holdout(tx):
            guess = now_is.get(said.get(image_id, -1), -1)
            if truth in names and guess in names:
                cells[truth, guess].append(image_id)
    told = [
        {"truth": truth, "said": guess, "count": len(ids), "image_ids": ids[:IN_A_CELL]}
        for (truth, guess), ids in cells.items()
    ]
    used = {class_id for cell in cells for class_id in cell}
    return {
        "publication": found.meta["publication"],
        "answers": sum(map(len, cells.values())),
        "classes": [{"class_id": class_id, "name": name} for class_id, name in names.items() if class_id in used],
        "cells": sorted(told, key=lambda each: -each["count"]),
    }


def queue_health(db: Database, *, now: float) -> dict[str, Any]:
    """How far the queue is used up and how old it is; `behind`: label events that it has not learnt from yet."""
    with db.read() as tx:
        current = queue.current(tx)
        waiting = queue.left(tx, current.id) if current else 0
        return {
            "publication": current.id if current else None,
            "kind": current.kind if current else None,
            "left": waiting,
            "age_s": now - current.created_at if current else None,
            "behind": labels.watermark(tx) - current.watermark if current else labels.watermark(tx),
            "leased": len(queue.live_leases(tx, now)),
        }


def log_tail(folder: Path) -> list[str]:
    """The last lines of the worker's log, oldest first; none before it wrote any."""
    try:
        with (folder / "worker.log").open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - LOG_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
    return lines[-100:]
