"""What only one process of a database may do at a time; on a server, where several machines share it, the server decides.

A duty is an advisory lock of a connection of its own: it ends with the process that has it, however that ends.
"""

from __future__ import annotations

import os
import socket
from types import TracebackType

import sqlalchemy as sa

from store import database, postgresql

WORKER = 1  # the duty to learn: refresh, train, obey commands


class Duty:
    """One duty of one process: to be asked for, and looked after while it is done."""

    def __init__(self, db: database.Database, number: int) -> None:
        """Ask for nothing yet; `db` is one of a server."""
        self.number, self.url = number, db.url
        self.connection: sa.Connection | None = None
        self._engine = postgresql.alone(db.url)

    def take(self) -> bool:
        """Take the duty, or go on having it; False while another process has it. Raises errors.Unreachable."""
        if self.held():
            return True
        self.let_go()
        with postgresql.explained(self.url):
            connection = self._engine.connect()
            if connection.scalar(sa.select(sa.func.pg_try_advisory_lock(postgresql.LOCK, self.number))):
                self.connection = connection
                return True
            connection.close()
        return False

    def held(self) -> bool:
        """Whether this process still has it: the server may have been started again, and another process been quicker."""
        try:
            return self.connection is not None and self.connection.scalar(sa.select(1)) == 1
        except sa.exc.DBAPIError:
            return False

    def let_go(self) -> None:
        """Let another process have it."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def __enter__(self) -> Duty:
        """Let go at the end of the block."""
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.let_go()


def others(tx: sa.Connection) -> list[str]:
    """Name the programs of ours, on any machine, that are connected to the server's database besides this one."""
    told = sa.text("SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = current_database()")
    names = {name for name in tx.scalars(told) if name and name.startswith(postgresql.NAMED)}
    return sorted(names - {postgresql.own_name()})


def here() -> str:
    """This process among those of several machines."""
    return f"{os.getpid()} on {socket.gethostname()[:20]}"
