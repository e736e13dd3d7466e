"""Backups of a workspace: by hand to a file or a folder, daily by the worker with rotation; each is checked when it is made."""

from __future__ import annotations

import contextlib
import datetime
import os
import shlex
import shutil
from collections.abc import Iterable
from pathlib import Path

from app import errors
from app.settings import Settings
from store import backup, copying, database, labels, queue, records
from store import errors as store_errors

DAILY = "daily-"
FIRST_AFTER_SECONDS = 3600.0  # from the first answer to the first backup; then one a day
LOOK_SECONDS = 600.0  # between two looks whether one is due
FAILED = "backup_failed"  # settings row: why the last one failed, None after a good one
DATABASE = "raum.db"
SETTINGS = "settings.toml"


def folder(settings: Settings) -> Path:
    """Where the workspace keeps its backups."""
    return settings.workspace / backup.FOLDER


def by_hand(settings: Settings, to: Path | None, *, now: float) -> str:
    """Back up to a file (NAME.db: the database alone) or a new folder below `to` (all that a workspace needs).

    Without `to` it is the database alone, beside the daily ones. Returns a sentence. Raises BadRequest where there is
    nothing to back up, store.errors.BackupFailed where it could not be done; then nothing is left of it.
    """
    if not settings.exists:
        raise errors.BadRequest(f"there is no workspace at {settings.workspace}: name it with --workspace")
    stamp = _utc(now).strftime("%Y-%m-%d-%H%M%S")
    if to is None:
        to = folder(settings) / f"raum-{stamp}.db"
    if to.suffix == ".db":
        done = _write(settings, to)
        return _told(settings, to, done, missing=["the settings", "the trained network"])
    return _whole(settings, to / f"{settings.workspace.name}-{stamp}")


def _write(settings: Settings, target: Path) -> records.Contents:
    """Copy the database to a file; that of a server row by row, into a file such as a workspace has without one."""
    if isinstance(settings.database, Path):
        return backup.write(settings.database, target)
    with contextlib.closing(database.open(settings.database)) as db:
        target.parent.mkdir(parents=True, exist_ok=True)
        return copying.to_file(db, target)


def _whole(settings: Settings, target: Path) -> str:
    """Everything but the images, in a folder that appears under its name when it is complete."""
    beside = target.with_name(f".{target.name}.{os.getpid()}.half")
    try:
        done = _write(settings, beside / DATABASE)
        wanted = [SETTINGS] if (settings.workspace / SETTINGS).exists() else []
        wanted += named(beside / DATABASE)
        missing = [name for name in wanted if not _bring(settings.workspace, name, beside)]
        for made in beside.rglob("*"):
            backup.flush(made)
        if target.exists():
            raise errors.BadRequest(f"{target} is there already: ask again in a second")
        beside.rename(target)
        backup.flush(target.parent)
    except OSError as problem:
        raise store_errors.BackupFailed(f"no backup was written to {target}: {problem}") from problem
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return _told(settings, target, done, missing=missing)


def named(path: Path) -> list[str]:
    """The files that the publication shown by a database needs: checkpoint and embeddings, relative to the workspace."""
    db = database.Database(database.to_url(path))
    try:
        with db.read() as tx:
            shown = queue.current(tx)
    finally:
        db.close()
    return [name for name in (shown.checkpoint, shown.embeddings) if name] if shown else []


def due(db: database.Database, settings: Settings, *, now: float) -> bool:
    """Whether the worker is to make today's backup: none has today's date (UTC), and something changed since the last."""
    if not settings.backup_days and not settings.backup_weeks:
        return False
    made = daily_ones(settings)
    if _utc(now).date() in made:
        return False
    with db.read() as tx:
        state = backup.fingerprint(tx)
        first = next(labels.all_events(tx), None)
    if not made:
        return first is not None and now - first.received_at >= FIRST_AFTER_SECONDS
    return backup.fingerprint_of(made[max(made)]) != state


def daily(settings: Settings, *, now: float) -> str:
    """Make today's backup and remove those that rotation gives up; returns a sentence. Raises store.errors.BackupFailed."""
    target = folder(settings) / f"{DAILY}{_utc(now).date().isoformat()}.db"
    done = _write(settings, target)
    made = daily_ones(settings)
    given_up = set(made) - kept(made, days=settings.backup_days, weeks=settings.backup_weeks)
    for day in given_up:
        made[day].unlink(missing_ok=True)
    return f"{_told(settings, target, done, missing=[])}; {len(given_up)} older ones were removed"


def daily_ones(settings: Settings) -> dict[datetime.date, Path]:
    """The daily backups that are there, by day."""
    found = {}
    for path in folder(settings).glob(f"{DAILY}*.db"):
        try:
            found[datetime.date.fromisoformat(path.stem.removeprefix(DAILY))] = path
        except ValueError:  # somebody's own name
            continue
    return found


def kept(made: Iterable[datetime.date], *, days: int, weeks: int) -> set[datetime.date]:
    """Which backups rotation keeps: the newest `days`, and the last of each of the newest `weeks` weeks (ISO) with any."""
    newest_first = sorted(made, reverse=True)
    last_of: dict[tuple[int, int], datetime.date] = {}
    for day in newest_first:
        last_of.setdefault(day.isocalendar()[:2], day)
    return {*newest_first[:days], *list(last_of.values())[:weeks]}


def _bring(workspace: Path, name: str, target: Path) -> bool:
    """Copy a file or folder of the workspace into the backup; False when it is not there."""
    source, copy = workspace / name, target / name
    try:
        for file in [each for each in source.rglob("*") if each.is_file()] if source.is_dir() else [source]:
            made = copy / file.relative_to(source)
            made.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, made)
    except FileNotFoundError:  # never made, or just being replaced by the worker's next ones
        shutil.rmtree(copy, ignore_errors=True)
        return False
    return True


def _told(settings: Settings, target: Path, done: records.Contents, *, missing: list[str]) -> str:
    without = ", ".join([*missing, "the image files"])
    command = f"python launch.py restore {shlex.quote(str(target))} --workspace {shlex.quote(str(settings.workspace))}"
    return (
        f"backed up {done.answers:,} answers about {done.images:,} images to {target}, checked; not in it: {without}; "
        f"to restore: {command}"
    )


def _utc(now: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(now, tz=datetime.timezone.utc)
