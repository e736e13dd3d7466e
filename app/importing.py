"""`import-labels`: a file of labels is checked wholly, shown, and then stored whole or not at all; undone as a whole."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
from sqlalchemy.engine import Connection

from app import errors, import_check, import_steps, processes
from app.exchange import formats, rows
from app.import_steps import KEPT, NEW, THERE
from app.settings import Settings
from store import annotators, backup, database, images
from store import errors as store_errors
from store.database import Database

ROLE = "import"
OVER = ("nobody", "people")
Tell = Callable[[float, str], None]


class ImportRefused(errors.BadRequest):
    """Nothing of the file was stored; the message lists what is wrong with it, by line."""


@dataclass(frozen=True)
class Asked:
    """What a person wants imported, and how."""

    path: Path
    format: str = "csv"
    dry_run: bool = False
    add_classes: bool = False
    annotators: bool = False
    over: str = "nobody"


@dataclass
class Preview:
    """What an import would do. `per_class`: new labels by class name; `held`: new answers of holdout images."""

    checked: import_check.Checked
    counts: Counter[str] = field(default_factory=Counter)
    per_class: Counter[str] = field(default_factory=Counter)
    held: int = 0


def run(settings: Settings, asked: Asked, *, now: float, tell: Tell = lambda fraction, message: None) -> list[str]:
    """Import a file, or with `dry_run` only say what would happen; returns sentences. Raises ImportRefused."""
    _look_at(asked)
    with opened(settings) as db:
        if asked.dry_run:
            with tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as spool, db.read() as tx:
                return ["a dry run, nothing is stored", *_told(preview(tx, asked, spool, None, tell), "would be added")]
        with role(settings):
            told = finish(db, settings, now=now)
            one, seen = _prepared(db, settings, asked, now, tell)
            if one is None:
                return [*told, "nothing to add", *_told(seen, "added")]
            while import_steps.step(db, settings.workspace, one, now):
                tell(one.offset / max(one.path(settings.workspace).stat().st_size, 1), "storing")
                pause(settings)
            seen.counts = Counter(one.counts)
    return [*told, *_told(seen, "added"), _ended(one)]


def undo(settings: Settings, number: int, *, now: float, tell: Tell = lambda fraction, message: None) -> list[str]:
    """Take an import back as a whole: a retract for each of its events that stands; returns sentences."""
    with opened(settings) as db, role(settings):
        told = finish(db, settings, now=now)
        with db.write(durable=True) as tx:
            known = import_steps.all_(tx)
            one = next((each for each in known if each.id == number), None)
            if one is None or one.status != import_steps.DONE:
                why = "there is no such import" if one is None else "it was taken back already"
                done = ", ".join(f"{each.id} ({each.file})" for each in known if each.status == import_steps.DONE)
                raise errors.BadRequest(f"import {number} cannot be undone: {why}; there are {done or 'none'}")
            one.status = import_steps.UNDOING
            import_steps.save(tx, one)
        while import_steps.step(db, settings.workspace, one, now):
            tell(0.5, "taking back")
            pause(settings)
    return [*told, f"import {number} is undone: {one.counts.get('taken back', 0):,} answers were taken back"]


def finish(db: Database, settings: Settings, *, now: float) -> list[str]:
    """Carry on what was cut short, and clear away what was never decided on. Only for who holds the role."""
    told = []
    with db.read() as tx:
        left = [each for each in import_steps.all_(tx) if each.unfinished]
    for one in left:
        while import_steps.step(db, settings.workspace, one, now):
            pause(settings)
        told.append(f"import {one.id} ({one.file}), which had been cut short, is {one.status} now")
    for path in (settings.workspace / "imports").glob("*.jsonl*"):
        path.unlink(missing_ok=True)
    return told


def carry_on(db: Database, settings: Settings, *, now: float) -> bool:
    """For the worker: one step of an import whose own process is gone; returns whether there was one."""
    with db.read() as tx:
        left = [each for each in import_steps.all_(tx) if each.unfinished]
    if not left:
        return False
    try:
        with processes.only_one(settings.workspace, ROLE):
            with db.read() as tx:
                left = [each for each in import_steps.all_(tx) if each.unfinished]
            if left:
                import_steps.step(db, settings.workspace, left[0], now)
            return bool(left)
    except errors.WorkspaceBusy:
        return False


def preview(tx: Connection, asked: Asked, spool: IO[str], out: IO[str] | None, tell: Tell) -> Preview:
    """Check the whole file and say what each row would become; good rows, each once, are written to `out`.

    Raises ImportRefused when anything is wrong.
    """
    checked = import_check.check(
        tx, asked.path, spool, name=asked.format, add_classes=asked.add_classes, with_annotators=asked.annotators,
        progress=lambda line: tell(0.0, f"reading line {line:,}"),
    )  # fmt: skip
    _refuse(asked, checked.problems)
    seen = Preview(checked)
    class_ids = [class_id for _, class_id in checked.classes]
    people = _people(tx, checked)
    decider = import_steps.Decider(tx, _new(asked, checked, 0, 0.0), class_ids, people)
    held, kept = images.holdout(tx), set[str | None]()
    spool.seek(0)
    once = (row for row in import_check.staged(spool) if not _among(row.line, checked.repeated))
    for batch in import_steps.batches(once):
        for row, (_, verdict) in zip(batch, decider.decide(batch), strict=True):
            if verdict == import_steps.CLASH:
                checked.problems.add(rows.Problem(row.line, "uuid", f"{row.uuid} is another event here"))
            if row.kind == "retract" and row.target in kept:
                verdict = KEPT
            if verdict == KEPT and row.uuid is not None:
                kept.add(row.uuid)
            seen.counts[verdict] += 1
            if verdict == NEW:
                seen.held += row.image_id in held
                seen.per_class[_named(row, checked)] += 1
            if out is not None:
                out.write(import_check.line_of(row))
    _refuse(asked, checked.problems)
    return seen


@contextlib.contextmanager
def role(settings: Settings) -> Iterator[None]:
    """One import at a time; raises BadRequest while another runs."""
    one = processes.only_one(settings.workspace, ROLE)
    try:
        one.__enter__()
    except errors.WorkspaceBusy as busy:
        raise errors.WorkspaceBusy(f"another import runs in {settings.workspace}: wait until it has ended") from busy
    try:
        yield
    finally:
        one.__exit__()


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """The database of a workspace that is there; raises BadRequest where none is."""
    if not settings.database.is_file():
        raise errors.BadRequest(f"there is no workspace at {settings.workspace}: name it with --workspace")
    db = database.open(settings.database)
    try:
        yield db
    finally:
        db.close()


def pause(settings: Settings, seconds: float = 0.05) -> None:
    """Let others write between two steps, where a page or a worker is there to want it."""
    if any((settings.workspace / f"{name}.pid").exists() for name in ("page", "worker")):
        time.sleep(seconds)


def _look_at(asked: Asked) -> None:
    if asked.format not in formats.IMPORTS:
        raise errors.BadRequest(
            f"there is no import format {asked.format!r}: choose {', '.join(sorted(formats.IMPORTS))}"
        )
    if asked.over not in OVER:
        raise errors.BadRequest(f"--over is {' or '.join(OVER)}, not {asked.over!r}")
    try:
        mode = asked.path.stat().st_mode
        with asked.path.open("rb") if stat.S_ISREG(mode) else contextlib.nullcontext():
            pass
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise errors.BadRequest(f"cannot read {rows.shown(str(asked.path))}: {why}") from problem
    if not stat.S_ISREG(mode):
        kind = "folder" if stat.S_ISDIR(mode) else "pipe or device"
        raise errors.BadRequest(f"{rows.shown(str(asked.path))} is a {kind}: give a file of labels")


def _prepared(
    db: Database, settings: Settings, asked: Asked, now: float, tell: Tell
) -> tuple[import_steps.Import | None, Preview]:
    """Write the checked rows beside, flush and rename them, then decide on the import in one durable transaction."""
    folder = settings.workspace / "imports"
    try:
        folder.mkdir(exist_ok=True)
        with db.read() as tx:
            number = max((each.id for each in import_steps.all_(tx)), default=0) + 1
            one = _new(asked, None, number, now)
            beside = one.path(settings.workspace).with_suffix(".jsonl.new")
            with (
                tempfile.TemporaryFile("w+", encoding="utf-8", newline="", dir=folder) as spool,
                beside.open("w", encoding="utf-8", newline="") as out,
            ):
                seen = preview(tx, asked, spool, out, tell)
                out.flush()
                os.fsync(out.fileno())
        one.rows = seen.counts.total()
        if not seen.counts[NEW]:
            return None, seen
        os.replace(beside, one.path(settings.workspace))
        backup.flush(folder)
    except OSError as problem:
        raise store_errors.CannotWrite(
            f"cannot write in {folder}: {problem.strerror}; nothing is imported"
        ) from problem
    finally:
        for left in folder.glob("*.new"):
            left.unlink(missing_ok=True)
    with db.write(durable=True) as tx:
        import_steps.begin(tx, one, seen.checked, now)
    return one, seen


def _new(asked: Asked, checked: import_check.Checked | None, number: int, now: float) -> import_steps.Import:
    return import_steps.Import(
        id=number, uuid=str(uuid.uuid4()), file=rows.shown(asked.path.name), format=asked.format,
        over=asked.over == "people", rows=checked.rows if checked else 0, begun_at=now,
    )  # fmt: skip


def _people(tx: Connection, checked: import_check.Checked) -> list[int | None]:
    found = [annotators.by_name(tx, name) for name in checked.annotators]
    return [person.id if person else None for person in found]


def _among(line: int, repeated: np.ndarray) -> bool:
    at = int(np.searchsorted(repeated, line))
    return at < len(repeated) and int(repeated[at]) == line


def _named(row: import_check.Staged, checked: import_check.Checked) -> str:
    if row.class_code is not None:
        return checked.classes[row.class_code][0]
    return {"reject": "rejected", "review": "rejected"}.get(row.kind, row.kind)


def _refuse(asked: Asked, problems: import_check.Problems) -> None:
    if problems.counts:
        told = "\n".join(f"  {line}" for line in problems.lines())
        raise ImportRefused(f"nothing of {rows.shown(asked.path.name)} is imported:\n{told}")


def _told(seen: Preview, added: str) -> list[str]:
    counts, checked = seen.counts, seen.checked
    per_class = ", ".join(f"{rows.plain(name)} {number:,}" for name, number in seen.per_class.most_common(20))
    more = f", and {len(seen.per_class) - 20:,} more" if len(seen.per_class) > 20 else ""
    told = [f"{counts[NEW]:,} answers {added}" + (f" ({per_class}{more})" if per_class else "")]
    if seen.held:
        told.append(f"{seen.held:,} of them are of holdout images: they measure, and are never trained on")
    if checked.new_classes:
        told.append(f"{len(checked.new_classes):,} new classes: {', '.join(map(rows.plain, checked.new_classes[:20]))}")
    lines = {
        "are there already": counts[THERE],
        "kept out: people answered those images here (--over people adds them as newer answers)": counts[KEPT],
        "say again what a line before them said": len(checked.repeated),
        "only a model answered: passed over": checked.of_model,
        "name images in quarantine: passed over": checked.quarantined,
    }
    return told + [f"{number:,} rows {what}" for what, number in lines.items() if number]


def _ended(one: import_steps.Import) -> str:
    return f"import {one.id} is done (longest hold of the write lock {one.longest_lock_s:.2f} s); undo it with --undo {one.id}"
