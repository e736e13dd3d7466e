"""`bench annotator`: a scripted expert's answers an hour in each mode, beside the thinking time and the page's own share."""

import dataclasses
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from app import bench_store, benching, processes
from app.web import bench, bench_expert

BIRDS = processes.LAUNCH.parent.parent / "shared" / "data" / "birds"
READY_SECONDS = 1800.0
TARGET_MS = 50.0
HOW = (
    "headless Chromium, 1280 x 720, real key presses; `thinking` is the fixed time that the expert takes, by `pace` (seconds): "
    "name: one image's class; judge: yes or no; glance: each image of a page; key: each key press. The expert is never "
    "wrong. own share: from the event of the key that answers to the first task after the frame that holds what is to be "
    "decided next, waiting included, divided by the answers it gave; answers an hour: by the page's own clock, first to "
    "last paint"
)


def command(
    images: Path | None, *, answers: int, labelled: int, backbone: str, pace: bench_expert.Pace, json_file: Path | None
) -> None:
    """Measure in a workspace of its own, print, write; says so where there is no pool to label."""
    folder = images or BIRDS
    if not folder.is_dir():
        print(f"skipped: there is no folder {folder}; name one with a folder for each class by --images")
        return
    bench.browser()
    with tempfile.TemporaryDirectory(prefix="raum-bench-") as place:
        figures = run(Path(place) / "workspace", folder, answers, labelled=labelled, backbone=backbone, pace=pace)
    benching.tell(figures, json_file)


def run(
    workspace: Path, folder: Path, answers: int, *, labelled: int, backbone: str, pace: bench_expert.Pace
) -> dict[str, Any]:
    """Ingest the folder, label some by the truth, let the model look at all, then label in every mode by key."""
    truth = benching.prepare(workspace, folder, labelled=labelled)
    load = os.getloadavg()[0]
    with benching.served(workspace, "--backbone", backbone) as url:
        benching.wait(url, _settled(), READY_SECONDS)
        told = bench_expert.days(url, truth, pace, answers=answers)
    return {
        "pool": f"{folder.name}: {len(truth):,} images, {len(set(truth.values()))} classes; {labelled} labelled before",
        "backbone": backbone,
        "pace": dataclasses.asdict(pace),
        "load_before": load,
        "modes": {mode: figures(day) for mode, day in told.items()},
        "target_own_share_ms": TARGET_MS,
        "how": HOW,
    }


def figures(day: bench_expert.Day) -> dict[str, Any]:
    """One mode's line."""
    if not day.answers:
        return {"answers": 0, "why": "the model offers no image for this mode"}
    spent = max(1e-3, day.ended - day.began) / 1000
    return {
        "answers": day.answers,
        "decisions": day.decisions,
        "seconds": round(spent, 1),
        "answers_an_hour": round(3600 * day.answers / spent),
        "thinking_s_an_answer": round(day.thought / day.answers, 3),
        "own_share_ms_an_answer": round(sum(day.own_ms) / day.answers, 1),
        "own_share_ms_a_decision": bench_store.latencies(each / 1000 for each in day.own_ms),
    }


def _settled(steady: float = 3.0) -> Any:
    """Whether the worker has looked at every image: it has been at rest for a while."""
    since = {"at": time.monotonic()}

    def done(status: dict[str, Any]) -> bool:
        if status["phase"] != "ready" or status["publication"] is None:
            since["at"] = time.monotonic()
        return time.monotonic() - since["at"] > steady

    return done
