"""Bring a database to the newest version, after a backup; the only importer of alembic."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import sqlalchemy as sa
from alembic import command, config

from store import backup, errors, postgresql, schema
from store.database import Database, explained, is_sqlite


def upgrade(db: Database, *, version: str | None) -> None:
    """Migrate from `version` (None: a new database) to the newest; a SQLite file is copied first, PostgreSQL takes all or
    nothing.

    Raises errors.BackupFailed, and changes nothing, where that copy cannot be made. Another process doing the same
    waits for the write lock and then finds nothing left to do.
    """
    if version is not None and db.path is not None:
        backup.before_migration(db.path, version=version)
    engine = _engine(db)
    try:
        with explained(db.url), engine.connect() as tx, tx.begin():
            if not is_sqlite(db.url):
                postgresql.begin(tx, durable=True, shared=False)
            settings = config.Config()
            settings.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
            settings.attributes["connection"] = tx
            command.upgrade(settings, schema.VERSIONS[-1])
            _check_references(tx)
    finally:
        engine.dispose()


def _engine(db: Database) -> sa.Engine:
    """An engine like the writer's, but with foreign keys off: SQLite rebuilds tables by dropping them."""
    engine = sa.create_engine(db.url, poolclass=sa.pool.NullPool)
    if db.path is None:
        return engine

    @sa.event.listens_for(engine, "connect")
    def _prepare(raw: sqlite3.Connection, _record: object) -> None:
        raw.isolation_level = None
        for pragma in ("busy_timeout=60000", "journal_mode=WAL", "foreign_keys=OFF", "synchronous=FULL"):
            raw.execute(f"PRAGMA {pragma}").fetchall()

    @sa.event.listens_for(engine, "begin")
    def _begin(tx: sa.Connection) -> None:
        tx.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _check_references(tx: sa.Connection) -> None:
    if tx.dialect.name == "sqlite":
        lost = tx.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
        if lost:
            raise errors.BrokenMigration(f"{len(lost)} rows point nowhere, first {tuple(lost[0])}: nothing was changed")
