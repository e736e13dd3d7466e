"""`predict`: what a trained classifier says of every image of a folder, written row by row as the network gets to it."""

from __future__ import annotations

import contextlib
import csv
import json
import math
import os
import sys
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from app import (
    errors,
    ingest_files,
    ingest_labels,
    ingest_scenes,
    jobs,
    named_classes,
    pictures,
    processes,
    published_model,
    scenes,
    settings,
)
from app.exchange import labels_csv
from model import classifier

FORMATS = ("csv", "jsonl")
FIRST = ("path", "class", "probability", "runner_up", "runner_up_probability")
LAST = ("entropy", "epistemic", "problem")
TELL_EVERY = 16  # images


def command(
    folder: Path,
    *,
    ckpt: Path | None,
    workspace: Path | None,
    format: str,
    out: Path | None,
    top: int,
    boxes: dict[str, Any] | None = None,
) -> None:
    """Predict a folder with a checkpoint, an exported folder, or a workspace's published model; rows to `out` or stdout.

    With `boxes` (of options.boxes) a row is a box in a picture."""
    processes.keep_memory()
    if format not in FORMATS:
        raise errors.BadRequest(f"there is no format {format!r}: take {' or '.join(FORMATS)}")
    if top < 2:
        raise errors.BadRequest(
            f"--top is {top}: the likeliest class and the runner-up are always written, give 2 or more"
        )
    root = ingest_files.root(folder)
    walk = ingest_files.walk(root)
    if not walk.files:
        raise errors.BadRequest(f"{folder} holds no images")
    report = ingest_labels.IngestReport()
    files = ingest_scenes.cut(walk.files, str(root), ingest_scenes.Asked(**boxes), report) if boxes else walk.files
    count = sum(file.count for file in files)
    model, told = chosen_model(ckpt, workspace)
    began = time.perf_counter()
    with jobs.bar("predict") as tell, _target(out) as file:
        write = {"csv": _csv, "jsonl": _jsonl}[format]
        answers = _with_progress(model.stream(place for each in files for place in pictures.inside(each)), count, tell)
        unread = write(file, answers, root, min(top, len(model.names)), boxes is not None)
    seconds = time.perf_counter() - began
    rate = f"{count / max(seconds, 1e-9):.0f} a second"
    lines = [f"{count:,} images in {seconds:.1f} s, {rate}; {told}"]
    if unread:
        lines.append(f"{unread:,} images could not be read: their rows say why")
    lines += jobs.of_boxes(report) if boxes else []
    lines += [f"{closed}: this folder could not be read" for closed in walk.closed]
    print("\n".join(map(ingest_files.shown, lines)), file=sys.stderr)


def chosen_model(ckpt: Path | None, workspace: Path | None) -> tuple[classifier.Classifier, str]:
    """The model that is asked for, and a sentence on what its probabilities are. BadRequest where none is named."""
    if ckpt is not None:
        model = classifier.load(ckpt, names=named_classes.of(ckpt, workspace))
        temperature = model.meta.get("temperature")
        how = f"temperature {temperature:.2f}" if temperature else "no temperature was fitted to them"
        return model, f"probabilities: mean of {classifier.DRAWS} posterior draws of the network's own head, {how}"
    if workspace is None:
        raise errors.BadRequest("name a checkpoint with --ckpt FILE, or a workspace with --workspace W")
    chosen = settings.load(workspace)
    with jobs.opened(named_classes.there(chosen)) as db:
        return published_model.load(db, chosen, now=time.time())


def _with_progress(answers: Iterable[classifier.Answer], count: int, tell: Any) -> Iterator[classifier.Answer]:
    for at, answer in enumerate(answers, start=1):
        if at % TELL_EVERY == 0 or at == count:
            tell(at / count, f"{at:,} of {count:,} images")
        yield answer


@contextlib.contextmanager
def _target(out: Path | None) -> Iterator[TextIO]:
    """The file, there only once it is whole; or stdout."""
    if out is None:
        yield sys.stdout
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(f".{out.name}.{uuid.uuid4().hex}")
    try:
        with open(beside, "w", encoding="utf-8", newline="") as file:
            yield file
        os.replace(beside, out)
    finally:
        beside.unlink(missing_ok=True)


def _csv(file: TextIO, answers: Iterable[classifier.Answer], root: Path, top: int, boxed: bool) -> int:
    more = [name for k in range(3, top + 1) for name in (f"class_{k}", f"probability_{k}")]
    rows, unread = csv.writer(file, lineterminator="\n"), 0
    rows.writerow([*FIRST, *more, *LAST, *(labels_csv.BOX if boxed else ())])
    for answer in answers:
        best: list[labels_csv.Cell] = [cell for pair in _best(answer, top) for cell in pair]
        best += [None] * (len(FIRST) - 1 + len(more) - len(best))  # of an unreadable image, of a single class
        sure = [_number(answer.entropy), _number(answer.epistemic)]
        path, box = _place(root, answer.path, boxed)
        cells: list[labels_csv.Cell] = [path, *best, *sure, answer.problem]
        cells += box or [None] * (4 if boxed else 0)
        rows.writerow([labels_csv.safe(cell) for cell in cells])
        unread += bool(answer.problem)
    return unread


def _jsonl(file: TextIO, answers: Iterable[classifier.Answer], root: Path, top: int, boxed: bool) -> int:
    unread = 0
    for answer in answers:
        best = [{"class": name, "probability": probability} for name, probability in _best(answer, top)]
        path, box = _place(root, answer.path, boxed)
        row: dict[str, Any] = {"path": path, **({"box_xywh": box} if boxed else {})}
        if answer.problem:
            row["problem"] = answer.problem
        else:
            row |= {**best[0], "top": best, "entropy": _number(answer.entropy), "epistemic": _number(answer.epistemic)}
        file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
        unread += bool(answer.problem)
    return unread


def _best(answer: classifier.Answer, top: int) -> list[tuple[str, float | None]]:
    return [(name, _number(each)) for name, each in list(answer.probabilities.items())[:top]]


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 6)


def _place(root: Path, path: str, boxed: bool) -> tuple[str, list[int] | None]:
    """The path below the folder that was given, with forward slashes, as any file can hold it; and the box there."""
    file, box = scenes.parted(path) if boxed else (path, None)
    below = ingest_files.printable(os.path.relpath(file, root).replace(os.sep, "/"))
    return below, None if box is None else list(box)
