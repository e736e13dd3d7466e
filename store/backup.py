"""Copies of a SQLite database: made whole while others write, and checked before they are called done."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import database, errors, records, schema

FOLDER = "backups"  # beside the database
_E, _C = schema.label_events, schema.classes


def write(source: Path, target: Path) -> records.Contents:
    """Copy the database file `source` to `target`, which must be new, as it is at one moment; returns what is in it.

    Others may write meanwhile. The copy is one file without a log; it is checked, flushed to the disk and only then
    renamed. Raises errors.BackupFailed naming the reason; nothing is left of a copy that failed.
    """
    half = target.with_name(f".{target.name}.{os.getpid()}.half")
    try:
        if target.exists():
            raise errors.BackupFailed(f"{target} is there already: name a new file")
        target.parent.mkdir(parents=True, exist_ok=True)
        half.unlink(missing_ok=True)
        with closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=rw", uri=True, timeout=60)) as raw:
            raw.execute("VACUUM INTO ?", (str(half),))
        found = look(half)
        flush(half)
        half.rename(target)
        flush(target.parent)
    except (OSError, sqlite3.Error, errors.CannotOpen) as problem:
        raise errors.BackupFailed(f"no backup of {source} was written to {target}: {problem}") from problem
    finally:
        with suppress(OSError):
            half.unlink(missing_ok=True)
    return found


def before_migration(path: Path, *, version: str) -> Path:
    """Copy a database of an older version into its folder of backups, under the first free number."""
    number = 1
    while (target := path.parent / FOLDER / f"before-{version}.{number}.db").exists():
        number += 1
    write(path, target)
    return target


def look(path: Path) -> records.Contents:
    """Check a database file from end to end and count what is in it; it is neither migrated nor changed.

    Raises errors.NotADatabase, NewerDatabase, or Damaged naming what SQLite finds wrong.
    """
    if not path.is_file():
        raise errors.NotADatabase(f"there is no file {path}")
    db = database.Database(database.to_url(path))
    try:
        version = database.version(db)
        if version is None:
            raise errors.NotADatabase(f"{path} is an empty database: choose another file")
        with db.read() as tx:
            wrong = integrity(tx)
            if wrong:
                raise errors.Damaged(f"{path} is damaged: {wrong[0]}")
            return _contents(tx, version)
    finally:
        db.close()


def integrity(tx: Connection) -> list[str]:
    """What SQLite finds wrong with the pages, indexes and references of the whole file; empty when all is well."""
    told = [str(line) for line in tx.exec_driver_sql("PRAGMA integrity_check(10)").scalars() if line != "ok"]
    lost = tx.exec_driver_sql("PRAGMA foreign_key_check").fetchmany(10)
    return told + [f"row {row[1]} of {row[0]} points to a row of {row[2]} that is not there" for row in lost]


def fingerprint(tx: Connection) -> str:
    """Text that differs once anything was said, added, renamed or published; signs of life and leases leave it alone."""
    classes = [tuple(row) for row in tx.execute(sa.select(_C.c.id, _C.c.name, _C.c.status, _C.c.merged_into))]
    counted = [tx.scalar(sa.select(sa.func.count()).select_from(table)) for table in (schema.images, schema.annotators)]
    newest = [tx.scalar(sa.select(sa.func.max(column))) for column in (_E.c.seq, schema.publications.c.id)]
    return str([newest, counted, classes])


def fingerprint_of(path: Path) -> str | None:
    """The fingerprint of a backup; None where it cannot be read."""
    db = database.Database(database.to_url(path))
    try:
        with db.read() as tx:
            return fingerprint(tx)
    except (sa.exc.DatabaseError, errors.StoreError):
        return None
    finally:
        db.close()


def alone(path: Path) -> None:
    """Fold the log into the file and take the file out of the logging mode, which only the last user of it can.

    Raises errors.Busy while another program has it open."""
    with closing(sqlite3.connect(path, timeout=1.0)) as raw:
        try:
            mode = raw.execute("PRAGMA journal_mode=DELETE").fetchone()[0]
        except sqlite3.OperationalError as problem:
            if "locked" not in str(problem):
                raise
            mode = "locked"
    if mode != "delete":
        raise errors.Busy(f"another program has {path} open")


def flush(path: Path) -> None:
    """Return once the file, or the names in the folder, are on the disk."""
    if path.is_dir() and os.name != "posix":  # other systems flush names with the files
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _contents(tx: Connection, version: str) -> records.Contents:
    answers = sa.select(sa.func.count()).select_from(_E).where(_E.c.kind.in_(("label", "reject")))
    return records.Contents(
        version=version,
        watermark=tx.scalar(sa.select(sa.func.max(_E.c.seq))) or 0,
        answers=tx.scalar(answers) or 0,
        images=tx.scalar(sa.select(sa.func.count()).select_from(schema.images)) or 0,
    )
