"""What a reader can see: counts, the worker's state, accuracy and calibration by number of labels, the quarantine."""

import time
from typing import Any

from sqlalchemy import Connection

from app import artifact_keeping, backbone_names, counted
from store import annotators, class_acts, classes, commands, images, labels, queue, rounds, tally, workers
from store import settings as stored
from store.database import Database
from store.records_work import WorkerState

ALIVE_SECONDS = 10.0
INGESTING = ("ingest", "demo")
MEASURED_FROM = 20  # holdout answers under which accuracy is "not yet measured"
LEARNING_STEPS = 5  # labels between two points of the learning curve


def status(
    db: Database,
    *,
    now: float,
    annotator: str | None = None,
    edition: str | None = None,
    counts: counted.Counted | None = None,
) -> dict[str, Any]:
    """One small record of everything that the page's status line and empty states need.

    `edition`: that of the class list which the asker has; `classes` is None while that is still the list. `class_counts`:
    [class_id, labels] of every class that has any. `counts`: those that tabs share.
    """
    with db.read() as tx:
        whole = counts.now(tx) if counts else counted.count(tx)
        states = {state.name: state for state in workers.workers(tx)}
        current = queue.current(tx)
        recent = tally.recent(tx, _midnight(now), _annotator_id(tx, annotator))
        act = class_acts.newest(tx)
        newest = str(act)
        answer = {
            **_machine(states, now),
            "round": current.round_id if current else None,
            "publication": current.id if current else None,
            "calibrated": bool(current and current.calibrated),
            "labels": whole.labels | recent | {"events": labels.watermark(tx)},
            "edition": newest,
            "classes": _classes(tx, whole.per_class) if newest != edition else None,
            "class_counts": list(whole.per_class.items()),
            "class_act": act,
            "backbone": _backbone(tx),
            "switch": _switch(states, now),
            "ingest": _ingest(tx, states.get("ingest"), now),
            "quarantined": whole.images["quarantined"],
            "images": whole.images["ok"],
            "paused": bool(stored.get_setting(tx, "paused", False)),
            "ready": whole.images["ok"] > 0,
            "last_failure": _last_failure(tx, now),
        }
    return answer


def history(db: Database) -> list[dict[str, Any]]:
    """The learning curve, oldest first: one point a round and one every few labels; None where not yet measured."""
    points: list[dict[str, Any]] = []
    with db.read() as tx:
        for publication in queue.publications(tx):
            metrics = publication.metrics
            if "labels" not in metrics:
                continue
            point: dict[str, Any] = {
                "publication": publication.id,
                "kind": publication.kind,
                "round": publication.round_id,
                "at": publication.created_at,
                **{name: metrics.get(name) for name in ("labels", "accuracy", "low", "high", "ece", "n")},
            }
            if point["n"] is None or point["n"] < MEASURED_FROM:
                point.update(accuracy=None, low=None, high=None, ece=None)
            last = points[-1] if points else None
            both = last is not None and (last["kind"], publication.kind) == ("refresh", "refresh")
            if last is None or not both or metrics["labels"] >= last["labels"] + LEARNING_STEPS:
                points.append(point)
    return points


def calibration(db: Database) -> list[dict[str, Any]]:
    """Reliability bins of the current publication on the holdout; empty while not yet measured."""
    with db.read() as tx:
        current = queue.current(tx)
    if current is None or (current.metrics.get("n") or 0) < MEASURED_FROM:
        return []
    return list(current.metrics.get("reliability", []))


def quarantine(db: Database) -> list[dict[str, Any]]:
    """Files that could not be read, by name with the reason."""
    with db.read() as tx:
        return [{"image_id": each.id, "path": each.path, "problem": each.problem} for each in images.quarantined(tx)]


def _classes(tx: Connection, per_class: dict[int, int]) -> list[dict[str, Any]]:
    return [
        {"class_id": each.id, "name": each.name, "count": per_class.get(each.id, 0), "shortcut": each.shortcut}
        for each in classes.all_(tx)
    ]


def _machine(states: dict[str, WorkerState], now: float) -> dict[str, Any]:
    worker, training = states.get("worker"), states.get("round")
    device, _, kernel = ((worker.device if worker else None) or "").partition("; scan ")
    shown = training if training and training.phase != "idle" and _lately(training, now) else worker
    return {
        "worker_alive": bool(worker and _lately(worker, now)),
        "phase": shown.phase if shown else "starting",
        "message": shown.message if shown else "the worker is starting",
        "fraction": shown.fraction if shown else None,
        "throughput": shown.throughput if shown else None,
        "eta_s": shown.eta_s if shown else None,
        "device": device or None,
        "kernel": kernel or None,
        "training": bool(training and shown is training),
    }


def _lately(state: WorkerState, now: float) -> bool:
    """Whether a process gave a sign of life; one from a future that a clock set back has left says nothing."""
    return abs(now - state.beat_at) < ALIVE_SECONDS


def _backbone(tx: Connection) -> dict[str, str] | None:
    """What the worker chose when it started: {"name", "why", "better", "command"} (app/backbones.py)."""
    kept: dict[str, str] | None = stored.get_setting(tx, "backbone")
    return kept and kept | {"name": backbone_names.short(kept["name"])}


def _switch(states: dict[str, WorkerState], now: float) -> dict[str, Any] | None:
    """How far a new backbone or its pretraining has come, or why it cannot be used; None while none is wanted
    (app/switching.py).

    Its row may be old, while weights are downloaded: the worker that looks after it is the one to be alive."""
    taught, worker = states.get("pretrain-pool"), states.get("worker")
    teaches = taught and (taught.phase == "failed" or (taught.phase != "idle" and _lately(taught, now)))
    state = taught if teaches else states.get("embed")
    goes_on = state is not None and state.phase != "idle" and worker is not None and _lately(worker, now)
    if state is None or not (goes_on or state.phase == "failed"):
        return None
    return {name: getattr(state, name) for name in ("phase", "fraction", "message", "eta_s")}


def _ingest(tx: Connection, state: WorkerState | None, now: float) -> dict[str, Any] | None:
    asked = [command for command in commands.pending(tx) if command.kind in INGESTING]
    running = state is not None and _lately(state, now) and state.phase not in ("idle", "done")
    if running and state is not None:
        return {"phase": state.phase, "fraction": state.fraction, "message": state.message, "error": None}
    if asked:
        return {"phase": "waiting", "fraction": 0.0, "message": "waiting for the worker", "error": None}
    ended = [command for command in (commands.last(tx, kind) for kind in INGESTING) if command is not None]
    newest = max(ended, key=lambda command: command.id, default=None)
    if newest is not None and newest.error:
        return {"phase": "failed", "fraction": None, "message": newest.error, "error": newest.error}
    return None


def _last_failure(tx: Connection, now: float) -> str | None:
    every = rounds.all_(tx)
    newest = every[-1] if every else None
    failed = [f"round {newest.id} failed: {newest.error}"] if newest is not None and newest.status == "failed" else []
    if newest is not None and newest.metrics.get("kept_because"):
        failed = [f"round {newest.id} is {newest.metrics['kept_because']}"]
    backup = stored.get_setting(tx, "backup_failed")
    failed += [f"no backup today: {backup}"] if backup else []
    return "; ".join([*failed, *artifact_keeping.failures(tx, now=now)]) or None


def _annotator_id(tx: Connection, name: str | None) -> int | None:
    known = annotators.by_name(tx, name) if name else None
    return known.id if known else None


def _midnight(now: float) -> float:
    local = time.localtime(now)
    return now - (local.tm_hour * 3600 + local.tm_min * 60 + local.tm_sec)
