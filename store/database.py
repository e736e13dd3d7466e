"""Opening the database, and the two kinds of transaction: read (a snapshot) and write (one at a time, or `shared`).

SQLite: every write begins IMMEDIATE, so it waits at BEGIN and never fails halfway; a plain BEGIN loses the race when it
upgrades, whatever the busy timeout. SQLite's own busy handler is unfair (tails of seconds), hence the lock in front.
PostgreSQL: a write waits for the others at its beginning, too, but the shared ones (claims, answers) go side by side;
postgresql.py says under which rules.
"""

from __future__ import annotations

import logging
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from store import errors, postgresql, schema, turns

log = logging.getLogger("raum.store")
T = TypeVar("T")

SLOW_S = 1.0  # a write that takes longer is told in the log
BUSY_S = 10  # how long SQLite itself waits for another process's lock
ATTEMPTS = 3  # of an act on a server that may be begun again
BEGIN_TRIES = 3  # so many times BUSY_S before a write gives up
_BUSY_CODE = 5  # SQLITE_BUSY
_DISK_SAYS = {  # what SQLite says of a disk -> what a person can do about it
    "disk is full": "the disk is full: free some space on it",
    "readonly database": "the file may only be read: change its permissions or mount its disk for writing",
    "unable to open database file": "the file cannot be opened for writing: look at its folder's permissions",
    "disk I/O error": "the disk does not take what is written: look at the disk",
}
_DAMAGE_SAYS = ("disk image is malformed", "malformed database schema", "no such table", "disk I/O error")


class Database:
    """The open database of one workspace. Belongs to the process that opened it; threads may share it."""

    def __init__(self, url: sa.URL, home: Path | None = None) -> None:
        """Make the engines for `url`; nothing is connected yet. `home`: the workspace, default the file's folder."""
        self.url = url
        self.path: Path | None = Path(url.database) if is_sqlite(url) and url.database else None
        self.home = home or (self.path.parent if self.path else None)
        self._pid = os.getpid()
        self._reader = _engine(url, writes=False)
        self._writer = _engine(url, writes=True)
        self._turns = turns.Turns()
        self._writing = threading.local()  # PostgreSQL: whether this thread writes

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a snapshot that sees no later commit and cannot write."""
        self._check_process()
        with explained(self.url), self._reader.connect() as tx, tx.begin():
            yield tx

    @contextmanager
    def write(self, durable: bool = False, shared: bool = False) -> Iterator[Connection]:
        """Give the write transaction; `durable` returns only when the commit is on the disk.

        `shared` lets others that say so write at the same time, where the server can: for the few acts that keep to the
        rules in postgresql.py. Raises errors.Busy when the lock stays taken, errors.Unreachable when the server is lost,
        errors.CannotWrite when the disk refuses, errors.Damaged when what is there does not hold together,
        errors.NestedWrite inside another write of this thread.
        """
        self._check_process()
        asked = time.monotonic()
        with self._turn(), explained(self.url), _disk_explained(self.url), self._writer.connect() as tx:
            _set_synchronous(tx, durable)
            with _begun(tx):
                if not is_sqlite(self.url):
                    postgresql.begin(tx, durable=durable, shared=shared)
                began = time.monotonic()
                yield tx
                ended = time.monotonic()
        took = time.monotonic() - asked
        if took > SLOW_S:
            waited, committed = began - asked, asked + took - ended
            log.info(f"a write took {took:.1f} s: {waited:.1f} s for its turn, {committed:.1f} s for the disk")

    def attempt(self, act: Callable[[Connection], T], *, durable: bool = False) -> T:
        """Do `act` in a shared write; again where the server was lost or two acts stood in each other's way.

        The first may have been stored all the same: only for acts that, done twice, do the same as once.
        """
        for left in reversed(range(ATTEMPTS)):
            try:
                with self.write(durable, shared=True) as tx:
                    return act(tx)
            except (errors.Unreachable, errors.Collided):
                if not left:
                    raise
                time.sleep(random.uniform(0.02, 0.2))  # for the other one to get what it waited for
        raise AssertionError("never reached")

    def checkpoint(self) -> None:
        """Fold the write-ahead log back into the file; for idle moments."""
        if self.path is not None:
            with self._turn(), self._writer.connect() as tx:
                _raw(tx).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Close every connection."""
        self._reader.dispose()
        self._writer.dispose()

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise errors.WrongProcess(
                f"the database was opened in process {self._pid} and used in {os.getpid()}: open it again there"
            )

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if self._turns.held_by_me() or getattr(self._writing, "now", False):
            raise errors.NestedWrite("this thread is already writing: pass its transaction on instead of opening one")
        if not is_sqlite(self.url):  # the server keeps the turns
            self._writing.now = True
            try:
                yield
            finally:
                self._writing.now = False
            return
        if not self._turns.acquire(BUSY_S * BEGIN_TRIES):
            raise errors.Busy(f"other threads have been writing to {self.url} for {BUSY_S * BEGIN_TRIES} s")
        try:
            yield
        finally:
            self._turns.release()


def open(path_or_url: str | Path | sa.URL, home: Path | None = None) -> Database:
    """Open the database, making or migrating it first where needed; `home` is its workspace, default the file's folder.

    Raises errors.NotADatabase for a foreign file, NewerDatabase for one of a later version, Damaged for a broken one,
    and BackupFailed where an older one cannot be copied before it is migrated.
    """
    url = to_url(path_or_url)
    if is_sqlite(url) and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    db = Database(url, home)
    try:
        found = version(db)
        if found != schema.VERSIONS[-1]:
            from store.migrations import run  # alembic takes a quarter of a second to import

            run.upgrade(db, version=found)
    except BaseException:
        db.close()
        raise
    return db


def to_url(path_or_url: str | Path | sa.URL) -> sa.URL:
    """Turn a file path or a database URL into a URL."""
    text = str(path_or_url)
    if isinstance(path_or_url, sa.URL):
        return path_or_url
    if "://" in text:
        return postgresql.named(text)
    return sa.URL.create("sqlite", database=str(Path(text).absolute()))


def is_sqlite(url: sa.URL) -> bool:
    """Say whether the URL names a SQLite file."""
    return url.get_backend_name() == "sqlite"


def version(db: Database) -> str | None:
    """Read the revision of the database; None when it is new. Raises as open() does, and errors.Damaged."""
    found: str | None
    with _disk_explained(db.url), db.read() as tx:
        names = sa.inspect(tx).get_table_names()
        if "alembic_version" in names:
            found = tx.scalar(sa.text("SELECT version_num FROM alembic_version"))
        elif names:
            raise errors.NotADatabase(f"{db.url} holds other tables ({names[0]}, ...): choose another file")
        else:
            found = None
    if found is not None and found not in schema.VERSIONS:
        raise errors.NewerDatabase(
            f"{db.url} has version {found}, this program knows up to {schema.VERSIONS[-1]}: update the program"
        )
    return found


def explained(url: sa.URL) -> AbstractContextManager[None]:
    """Turn what the engine says into our own errors."""
    return _damage_explained(url) if is_sqlite(url) else postgresql.explained(url)


@contextmanager
def _damage_explained(url: sa.URL) -> Iterator[None]:
    """Turn pages that do not hold together into errors.Damaged, a foreign file into errors.NotADatabase."""
    try:
        yield
    except sa.exc.DatabaseError as error:
        if "not a database" in str(error.orig):
            raise errors.NotADatabase(f"{url} is not a SQLite file: move it away or choose another") from error
        if not any(said in str(error.orig) for said in _DAMAGE_SAYS):
            raise
        raise errors.Damaged(
            f"{url.database} is damaged: end page and worker, then python launch.py restore with one of its backups"
        ) from error


@contextmanager
def _disk_explained(url: sa.URL) -> Iterator[None]:
    """Turn what a disk refuses into errors.CannotWrite."""
    try:
        yield
    except sa.exc.OperationalError as error:
        told = next((told for said, told in _DISK_SAYS.items() if said in str(error.orig)), None)
        if told is None:
            raise
        raise errors.CannotWrite(f"{told} ({url.database})") from error


def _engine(url: sa.URL, *, writes: bool) -> Engine:
    if not is_sqlite(url):
        return postgresql.engine(url, writes=writes)
    size = {"pool_size": 1, "max_overflow": 0} if writes else {"pool_size": 8, "max_overflow": 56}
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_S, "check_same_thread": False}, **size)
    sa.event.listen(engine, "connect", _prepare_writer if writes else _prepare_reader)
    sa.event.listen(engine, "begin", _begin_immediate if writes else _begin_deferred)
    return engine


def _prepare_writer(raw: sqlite3.Connection, _record: Any) -> None:
    raw.isolation_level = None  # we say BEGIN ourselves
    for pragma in (
        "journal_mode=WAL",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "synchronous=NORMAL",
        "fullfsync=ON",
        "cache_size=-16000",
    ):
        raw.execute(f"PRAGMA {pragma}").fetchall()
    raw.execute(f"PRAGMA journal_size_limit={64 << 20}").fetchall()


def _prepare_reader(raw: sqlite3.Connection, _record: Any) -> None:
    raw.isolation_level = None
    for pragma in ("query_only=ON", "temp_store=MEMORY"):
        raw.execute(f"PRAGMA {pragma}").fetchall()


def _begin_immediate(tx: Connection) -> None:
    tx.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_deferred(tx: Connection) -> None:
    tx.exec_driver_sql("BEGIN")


@contextmanager
def _begun(tx: Connection) -> Iterator[None]:
    """Begin, trying again while the file is locked; commit at the end or roll back."""
    for left in reversed(range(BEGIN_TRIES)):
        try:
            transaction = tx.begin()
            break
        except sa.exc.OperationalError as error:
            if not _is_busy(error):
                raise
            if not left:
                raise errors.Busy(
                    f"another process has been writing to {tx.engine.url} for {BUSY_S * BEGIN_TRIES} s"
                ) from error
    with transaction:
        yield


def _is_busy(error: sa.exc.OperationalError) -> bool:
    code = getattr(error.orig, "sqlite_errorcode", None)  # Python 3.11 and later
    return code & 0xFF == _BUSY_CODE if code is not None else "database is locked" in str(error.orig)


def _set_synchronous(tx: Connection, durable: bool) -> None:
    """Choose what a commit waits for; SQLite takes it only outside a transaction."""
    if tx.dialect.name == "sqlite" and tx.info.get("durable") != durable:
        _raw(tx).execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}").fetchall()
        tx.info["durable"] = durable


def _raw(tx: Connection) -> sqlite3.Connection:
    raw = tx.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw
