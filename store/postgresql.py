"""PostgreSQL's side of database.py: its engines, the lock that a write begins with, and its errors in our words.

A write begins with an advisory lock that lasts until its commit. Alone (the usual) it is exclusive: one such write at a
time, as with SQLite, so that whatever looks first and writes then is right without another thought. `shared` writes go
beside each other, never beside one that is alone. They are what people do all the time, and only they need care:

- They read what is committed, statement by statement (READ COMMITTED): whatever a lock protects is read after the lock.
- An answer or an undo takes the watermark's row first and keeps it until the commit: seq grows in commit order, a uuid
  is looked up when nobody else can store it, and the fold is of every event there is.
- A claim takes its annotator's row, then the rows of image_state of what it means to lease, passing over those that
  others have (FOR UPDATE SKIP LOCKED), and then looks again whether they are free (draw.py says why). Whoever leases an
  image holds its row, so no slot is leased twice. A claim waits for no image, and never for the watermark.

A write that is not durable sets synchronous_commit to off: a crash of the server may lose its last moments, never break
it. Anything that dies rolls back and lets its locks go; keepalives find a machine that vanished within a minute.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from store import errors

PACKAGE = "psycopg[binary]==3.3.9"  # as in requirements-postgresql.txt
NAMED = "raum "  # begins the name that our connections have at the server
LOCK = 0x5241554D  # "RAUM"; advisory locks are a database's own
READERS, WRITERS = 24, 8  # most connections of a process
WAIT_S = 30  # for a lock, or for a free connection
CONNECT_S = 10
_PREPARED = (
    f"SET lock_timeout = '{WAIT_S}s'",
    "SET tcp_keepalives_idle = 30",
    "SET tcp_keepalives_interval = 10",
    "SET tcp_keepalives_count = 3",
)
_TAKEN = ("55P03",)  # lock not available
_COLLIDED = ("40P01", "40001")  # deadlock, serialization failure
_FULL = ("53100", "53200", "25006")  # disk full, out of memory, the server only reads (a standby)
_REFUSALS = ("does not exist", "authentication failed", "no password supplied", "no pg_hba.conf entry")  # at the door
_CLOSED = ("3D000", "42501", "3F000")  # no such database, no right to it, no schema


def named(text: str) -> sa.URL:
    """Read a database URL; PostgreSQL is always spoken to through psycopg. Raises errors.NotADatabase."""
    try:
        url = sa.make_url(text)
    except (sa.exc.ArgumentError, ValueError):  # their words repeat the text, which may hold a password
        raise errors.NotADatabase("that is no database URL: give postgresql+psycopg://USER@HOST/DATABASE") from None
    kind = url.drivername.partition("+")[0]
    if kind in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
        hidden = url.query.get("password")  # of a URL's parts, only its own password is never shown
        return url.set(password=str(hidden)).difference_update_query(["password"]) if hidden else url
    if kind == "sqlite":
        return url
    raise errors.NotADatabase(f"{kind} is not a kind of database that serves here: SQLite and PostgreSQL do")


def engine(url: sa.URL, *, writes: bool) -> Engine:
    """Make an engine whose connections only read a snapshot, or write; nothing is connected yet.

    Raises errors.NoDriver where psycopg is not installed.
    """
    most, kept = (WRITERS, 4) if writes else (READERS, 8)
    given = {} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_S}
    try:
        made = sa.create_engine(
            url,
            connect_args={"application_name": own_name(), **given},
            pool_size=kept,
            max_overflow=most - kept,
            pool_timeout=WAIT_S,
            pool_pre_ping=True,  # a server that was started again is met here, where asking anew costs nothing
        )
    except ModuleNotFoundError as problem:
        raise errors.NoDriver(f"PostgreSQL needs one more package: pip install '{PACKAGE}'") from problem
    sa.event.listen(made, "connect", _prepare if writes else _prepare_reader)
    return made


def alone(url: sa.URL) -> Engine:
    """Make an engine each of whose connections is closed after its use, and begins no transaction by itself."""
    named_ = {"application_name": own_name(), "connect_timeout": CONNECT_S}
    made = sa.create_engine(url, connect_args=named_, poolclass=sa.pool.NullPool, isolation_level="AUTOCOMMIT")
    sa.event.listen(made, "connect", _prepare)
    return made


def own_name() -> str:
    """What the server calls this process's connections."""
    return f"{NAMED}{os.getpid()}@{socket.gethostname()}"[:63]


def begin(tx: Connection, *, durable: bool, shared: bool) -> None:
    """Take the lock that every write begins with, and say what its commit waits for."""
    lock = sa.func.pg_advisory_xact_lock_shared(LOCK) if shared else sa.func.pg_advisory_xact_lock(LOCK)
    asked = [lock] if durable else [sa.func.set_config("synchronous_commit", "off", True), lock]
    tx.execute(sa.select(*asked))


@contextmanager
def explained(url: sa.URL) -> Iterator[None]:
    """Turn what the server or the way to it refuses into the store's errors."""
    try:
        yield
    except sa.exc.TimeoutError as error:
        raise errors.Busy(f"all connections to {url} have been in use for {WAIT_S} s") from error
    except sa.exc.DataError as error:
        raise errors.BadValue(f"a number or text is outside what can be stored: {_first_line(error)}") from error
    except sa.exc.DBAPIError as error:
        told = _told(url, error)
        if told is None:
            raise
        raise told from error


def _told(url: sa.URL, error: sa.exc.DBAPIError) -> errors.StoreError | None:
    state = getattr(error.orig, "sqlstate", None)
    said = _first_line(error)
    if state in _COLLIDED:
        return errors.Collided(f"another write stood in the way ({said}): try again")
    if state in _TAKEN:
        return errors.Busy(f"others have been writing to {url} for too long ({said})")
    if state in _FULL:
        return errors.CannotWrite(f"the server at {_place(url)} takes nothing more: {said}")
    if state in _CLOSED:
        return errors.CannotOpen(f"{url} cannot be opened: {said}")
    if state is None and any(refusal in said for refusal in _REFUSALS):
        return errors.CannotOpen(f"{url} cannot be opened: {said}")
    lost = state is None or state[:2] in ("08", "28") or state in ("57P01", "57P02", "57P03", "53300")
    if error.connection_invalidated or (isinstance(error, sa.exc.OperationalError) and lost):
        return errors.Unreachable(f"the database server at {_place(url)} cannot be reached: {said}")
    return None


def _place(url: sa.URL) -> str:
    return f"{url.host or 'the usual socket'}{f':{url.port}' if url.port else ''}"


def _first_line(error: sa.exc.DBAPIError) -> str:
    lines = str(error.orig).strip().splitlines()
    return lines[0] if lines else type(error.orig).__name__


def _prepare(raw: Any, _record: Any) -> None:
    raw.autocommit = True
    for statement in _PREPARED:
        raw.execute(statement)
    raw.autocommit = False


def _prepare_reader(raw: Any, record: Any) -> None:
    import psycopg

    _prepare(raw, record)
    raw.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ  # said with each BEGIN: one snapshot
    raw.read_only = True
