"""`move`: the database of a workspace into an empty one elsewhere, PostgreSQL or a file again; then the settings name it."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import time
from pathlib import Path

import sqlalchemy as sa

from app import backups, errors, processes
from app.settings import Settings, located
from store import backup, copying, database, duties, workers
from store import errors as store_errors

FILE = "sqlite"  # --to sqlite: back into the workspace's own file
ALIVE_SECONDS = 10.0  # a worker beats every second


def move(settings: Settings, to: str, *, now: float, tell: copying.Tell = lambda *_: None) -> str:
    """Copy the database to `to` (a URL, or "sqlite"), compare every row, then write the setting; returns a sentence.

    A file that was moved from is kept among the backups, a server's database stays as it was. Raises BadRequest and
    WorkspaceBusy (a page or worker runs), store.errors.NotEmpty for a target with rows; then nothing is changed.
    """
    if not settings.exists:
        raise errors.BadRequest(f"there is no workspace at {settings.workspace}: name it with --workspace")
    target = located(settings.workspace, "" if to == FILE else to)
    if target == settings.database:
        raise errors.BadRequest(f"the database is there already ({target})")
    with processes.only_one(settings.workspace, "page"), processes.only_one(settings.workspace, "worker"):
        with contextlib.closing(database.open(settings.database)) as source:
            _check_at_rest(source)
            found = _into_file(source, target, tell) if isinstance(target, Path) else _into_server(source, target, tell)
        _write_setting(settings.workspace, None if isinstance(target, Path) else target)
        kept = _put_aside(settings, now=now) if isinstance(settings.database, Path) else None
    rows = sum(each.rows for each in found.values())
    told = f"moved {rows:,} rows of {len(found)} tables from {settings.database} to {target}, each compared"
    if kept:
        told += f"; the file that was there is kept as {kept}"
    if not isinstance(target, Path) and target.password:
        told += "; the password was not written down: put it into ~/.pgpass or PGPASSWORD"
    return told


def _check_at_rest(source: database.Database) -> None:
    """On a server, page or worker may be at work on another machine."""
    with source.read() as tx:
        others = duties.others(tx) if tx.dialect.name != "sqlite" else []
        if others:
            raise errors.WorkspaceBusy(f"another program is connected to the database ({others[0]}): end it, then move")
        live = [each for each in workers.workers(tx) if each.pid and time.time() - each.beat_at < ALIVE_SECONDS]
    if live:
        raise errors.WorkspaceBusy(f"{live[0].name!r} is at work (process {live[0].pid}): end it, then move")


def _into_server(source: database.Database, url: sa.URL, tell: copying.Tell) -> dict[str, copying.Copied]:
    with contextlib.closing(database.Database(url)) as untouched:
        new = database.version(untouched) is None
    with contextlib.closing(database.open(url)) as target:
        try:
            return copying.copy(source, target, tell)
        except BaseException:
            if new:
                copying.unmake(target)
            raise


def _into_file(source: database.Database, path: Path, tell: copying.Tell) -> dict[str, copying.Copied]:
    if path.exists():
        raise store_errors.NotEmpty(f"{path} is there already: put it away first")
    fresh = path.with_name(f"{path.name}.restored-{os.getpid()}")  # a name that verify knows
    try:
        with contextlib.closing(database.open(fresh)) as target:
            found = copying.copy(source, target, tell)
        backup.alone(fresh)
        backup.flush(fresh)
        fresh.rename(path)
        backup.flush(path.parent)
    finally:
        for name in (fresh.name, f"{fresh.name}-wal", f"{fresh.name}-shm"):
            fresh.with_name(name).unlink(missing_ok=True)
    return found


def _put_aside(settings: Settings, *, now: float) -> Path:
    stamp = datetime.datetime.fromtimestamp(now, tz=datetime.timezone.utc).strftime("%Y-%m-%d-%H%M%S")
    kept = backups.folder(settings) / f"moved-{stamp}.db"
    kept.parent.mkdir(exist_ok=True)
    backup.alone(settings.file)
    settings.file.rename(kept)
    return kept


def _write_setting(workspace: Path, url: sa.URL | None) -> None:
    """Name the database in settings.toml, without its password, or no longer; everything else there stays as it is."""
    path = workspace / backups.SETTINGS
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    text = re.sub(r"(?m)^\s*database\s*=.*\n?", "", text)
    if url is not None:
        plain = sa.URL.create(
            url.drivername, url.username, None, url.host, url.port, url.database, url.query
        ).render_as_string()
        text = f'database = "{plain}"\n' + text
    beside = path.with_name(f"{path.name}.{os.getpid()}.half")
    beside.write_text(text, encoding="utf-8")
    backup.flush(beside)
    beside.replace(path)
