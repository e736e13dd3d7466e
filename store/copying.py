"""A whole database copied row by row into an empty one, of either engine, and compared before it counts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import backup, database, errors, records, schema

_C = schema.classes
_LATER = ("merged_into", "parent_id")  # of classes: may name a row that comes after
_PAGE = 2000  # rows in memory at a time
_SUM = 1 << 256

Tell = Callable[[float, str], None]  # fraction of all rows, what is copied


class Copied(NamedTuple):
    """What one table holds: rows, and a sum over them that any other value, missing or second row would change."""

    rows: int
    checksum: int


def copy(source: database.Database, target: database.Database, tell: Tell = lambda *_: None) -> dict[str, Copied]:
    """Copy every row of `source` as it is at one moment, read all of it back, and commit only where both are the same.

    Nobody else writes to the target meanwhile. Returns what each table holds. Raises errors.NotEmpty for a target with
    rows, errors.BadValue for what the target cannot hold (with the table), errors.CopyDiffers; then nothing is changed.
    """
    with source.read() as old, target.write(durable=True) as new:
        _check_empty(new, target.url)
        tables = schema.metadata.sorted_tables
        total = sum(_count(old, table) for table in tables)
        found, done = {}, 0
        for table in tables:
            read = 0
            for page in _pages(old, table):
                _insert(new, table, page)
                read += len(page)
                tell((done + read) / (2 * total + 1), f"{table.name}, {read:,} rows")
            done += read
        _point(new, old)
        for at, table in enumerate(tables):
            tell(0.5 + at / (2 * len(tables)), f"comparing {table.name}")
            found[table.name], there = _sum(old, table), _sum(new, table)
            if found[table.name] != there:
                raise errors.CopyDiffers(
                    f"{table.name} came out as {there.rows:,} rows instead of {found[table.name].rows:,}, or with other "
                    "values: nothing was changed"
                )
        _number_on(new)
    return found


def to_file(source: database.Database, target: Path) -> records.Contents:
    """Copy a database into a new SQLite file, checked and flushed before it has its name; as backup.write() does."""
    half = target.with_name(f".{target.name}.{os.getpid()}.half")
    try:
        if target.exists():
            raise errors.BackupFailed(f"{target} is there already: name a new file")
        with closing(database.open(half)) as db:
            copy(source, db)
        backup.alone(half)
        found = backup.look(half)
        backup.flush(half)
        half.rename(target)
        backup.flush(target.parent)
    except (OSError, errors.CannotOpen, errors.CannotWrite, errors.CopyDiffers) as problem:
        raise errors.BackupFailed(f"no backup of {source.url} was written to {target}: {problem}") from problem
    finally:
        for name in (half.name, f"{half.name}-wal", f"{half.name}-shm"):
            with suppress(OSError):
                half.with_name(name).unlink(missing_ok=True)
    return found


def unmake(db: database.Database) -> None:
    """Remove our tables from a database that was empty before they were made."""
    with db.write() as tx:
        schema.metadata.drop_all(tx)
        tx.execute(sa.text("DROP TABLE alembic_version"))
        if tx.dialect.name != "sqlite":
            for table in ("label_events", "acts", "class_acts"):
                tx.execute(sa.text(f"DROP FUNCTION {table}_never"))


def _check_empty(tx: Connection, url: sa.URL) -> None:
    for table in schema.metadata.sorted_tables:
        rows = _count(tx, table)
        if table is not schema.counters and rows:
            raise errors.NotEmpty(f"{url} is not empty ({rows:,} rows in {table.name}): name an empty database")
    tx.execute(sa.delete(schema.counters))


def _insert(tx: Connection, table: sa.Table, page: list[dict[str, Any]]) -> None:
    rows = [row | dict.fromkeys(_LATER) for row in page] if table is _C else page
    rows = [row | {"merged_into": row["id"]} if row.get("status") == "merged" else row for row in rows]
    try:
        tx.execute(sa.insert(table), rows)
    except sa.exc.DataError as error:
        raise errors.BadValue(
            f"a value in {table.name} cannot be stored there ({error.orig}): nothing was changed"
        ) from error


def _point(tx: Connection, old: Connection) -> None:
    """Let the classes name each other, now that all are there."""
    columns = [_C.c[name] for name in _LATER]
    for class_id, *values in old.execute(sa.select(_C.c.id, *columns)):
        tx.execute(sa.update(_C).where(_C.c.id == class_id).values(dict(zip(_LATER, values, strict=True))))


def _number_on(tx: Connection) -> None:
    """Let new rows get the ids after those copied; SQLite does so by itself."""
    if tx.dialect.name == "sqlite":
        return
    for table in schema.metadata.sorted_tables:
        column = table.autoincrement_column
        if column is not None:
            place = sa.func.pg_get_serial_sequence(table.name, column.name)
            last = sa.select(sa.func.max(column)).scalar_subquery()
            tx.execute(sa.select(sa.func.setval(place, sa.func.coalesce(last, 1), last.is_not(None))))


def _pages(tx: Connection, table: sa.Table) -> Iterator[list[dict[str, Any]]]:
    query = sa.select(table).order_by(*table.primary_key.columns)
    found = tx.execute(query.execution_options(yield_per=_PAGE)).mappings()
    for page in found.partitions():
        yield [dict(row) for row in page]


def _sum(tx: Connection, table: sa.Table) -> Copied:
    """Without regard to the order, which the engines see differently for text."""
    rows = total = 0
    for page in _pages(tx, table):
        for row in page:
            total += int.from_bytes(hashlib.sha256(repr(tuple(row.values())).encode()).digest(), "big")
        rows += len(page)
    return Copied(rows, total % _SUM)


def _count(tx: Connection, table: sa.Table) -> int:
    return int(tx.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())
