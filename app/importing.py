"""`import-labels`: a file of labels is checked wholly, shown, and then stored whole or not at all; undone as a whole."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from app import errors, import_preview, import_steps, imported, processes
from app.exchange import formats, rows
from app.import_steps import NEW
from app.settings import Settings
from store import backup, database
from store import errors as store_errors
from store.database import Database

ROLE = "import"
OVER = ("nobody", "people")
Tell = import_preview.Tell
Asked = import_preview.Asked
ImportRefused = import_preview.ImportRefused
Preview = import_preview.Preview


def run(settings: Settings, asked: Asked, *, now: float, tell: Tell = lambda fraction, message: None) -> list[str]:
    """Import a file, or with `dry_run` only say what would happen; returns sentences. Raises ImportRefused."""
    _look_at(asked)
    with opened(settings) as db:
        if asked.dry_run:
            with _spool() as spool, db.read() as tx:
                return [
                    "a dry run, nothing is stored",
                    *import_preview.told(import_preview.preview(tx, asked, spool, None, tell), "would be added"),
                ]
        with role(settings):
            told = finish(db, settings, now=now)
            one, seen = _prepared(db, settings, asked, now, tell)
            if one is None:
                return [*told, "nothing to add", *import_preview.told(seen, "added")]
            with db.read() as tx:
                class_ids = import_steps.class_ids(tx, one)
            imported.keep(db, one.id, seen.checked.guesses, class_ids)
            while import_steps.step(db, settings.workspace, one, now):
                tell(one.offset / max(one.path(settings.workspace).stat().st_size, 1), "storing")
                pause(settings, one)
            if one.status != import_steps.DONE:
                raise store_errors.CannotWrite(
                    f"the checked rows were damaged on the disk of {settings.workspace}: nothing is imported"
                )
            seen.counts = Counter(one.counts)
    return [*told, *import_preview.told(seen, "added"), _ended(one)]


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
        imported.forget(db, one.id)
        while import_steps.step(db, settings.workspace, one, now):
            tell(0.5, "taking back")
            pause(settings, one)
    return [*told, f"import {number} is undone: {one.counts.get('taken back', 0):,} answers were taken back"]


def finish(db: Database, settings: Settings, *, now: float) -> list[str]:
    """Carry on what was cut short, and clear away what was never decided on. Only for who holds the role."""
    told = []
    with db.read() as tx:
        left = [each for each in import_steps.all_(tx) if each.unfinished]
    for one in left:
        while import_steps.step(db, settings.workspace, one, now):
            pause(settings, one)
        if one.status == import_steps.UNDONE:
            imported.forget(db, one.id)
        told.append(f"import {one.id} ({one.file}), which had been cut short, is {one.status} now")
    for path in (settings.workspace / "imports").glob("*.jsonl*"):
        path.unlink(missing_ok=True)
    return told


def carry_on(db: Database, settings: Settings, *, now: float) -> bool:
    """One step, and its pause, of an import whose own process is gone; returns whether there was one."""
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
    except errors.WorkspaceBusy:
        return False
    if left:
        pause(settings, left[0])
    return bool(left)


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
    if not settings.exists:
        raise errors.BadRequest(f"there is no workspace at {settings.workspace}: name it with --workspace")
    db = database.open(settings.database)
    try:
        yield db
    finally:
        db.close()


def pause(settings: Settings, one: import_steps.Import) -> None:
    """Let others write for as long as the last step kept them waiting, where a page or a worker is there to want it."""
    if any((settings.workspace / f"{name}.pid").exists() for name in ("page", "worker")):
        time.sleep(min(max(one.last_lock_s, 0.02), 0.5))


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
    if stat.S_ISDIR(mode) and asked.format in formats.FOLDERS:
        return
    if asked.format in formats.FOLDERS - formats.FILES:
        raise errors.BadRequest(f"{rows.shown(str(asked.path))} is a file: give the folder of the dataset")
    if not stat.S_ISREG(mode):
        kind = "folder" if stat.S_ISDIR(mode) else "pipe or device"
        raise errors.BadRequest(f"{rows.shown(str(asked.path))} is a {kind}: give a file of labels")


@contextlib.contextmanager
def _spool(folder: Path | None = None) -> Iterator[IO[str]]:
    """A nameless file for the checked rows. Raises CannotWrite where the file cannot be read on or the disk is full."""
    try:
        with tempfile.TemporaryFile("w+", encoding="utf-8", newline="", dir=folder) as spool:
            yield spool
    except OSError as problem:
        place = problem.filename or folder or tempfile.gettempdir()
        raise store_errors.CannotWrite(f"{place}: {problem.strerror}; nothing is imported") from problem


def _prepared(
    db: Database, settings: Settings, asked: Asked, now: float, tell: Tell
) -> tuple[import_steps.Import | None, Preview]:
    """Write the checked rows beside, flush and rename them, then decide on the import in one durable transaction."""
    folder = settings.workspace / "imports"
    try:
        folder.mkdir(exist_ok=True)
        with db.read() as tx:
            number = max((each.id for each in import_steps.all_(tx)), default=0) + 1
            one = import_preview.record(asked, None, number, now)
            beside = one.path(settings.workspace).with_suffix(".jsonl.new")
            with (
                _spool(folder) as spool,
                beside.open("w", encoding="utf-8", newline="") as out,
            ):
                seen = import_preview.preview(tx, asked, spool, out, tell)
                out.flush()
                os.fsync(out.fileno())
        one.rows = seen.counts.total()
        if not seen.counts[NEW] and not seen.guesses:
            return None, seen
        os.replace(beside, one.path(settings.workspace))
        backup.flush(folder)
    except OSError as problem:
        raise store_errors.CannotWrite(
            f"{problem.filename or folder}: {problem.strerror}; nothing is imported"
        ) from problem
    finally:
        for left in folder.glob("*.new"):
            left.unlink(missing_ok=True)
    with db.write(durable=True) as tx:
        import_steps.begin(tx, one, seen.checked, now)
    return one, seen


def _ended(one: import_steps.Import) -> str:
    return f"import {one.id} is done (longest hold of the write lock {one.longest_lock_s:.2f} s); undo it with --undo {one.id}"
