"""A real PostgreSQL server for the tests: Debian's programs, a temporary folder, a socket; gone when the tests end."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from store import database, schema

REQUIRED = "RAUM_REQUIRE_POSTGRESQL"  # set by .ci/run where the programs could be installed: no skip then
PASSWORD = "s3cret-of-mallory"
FAST = ("fsync=off", "full_page_writes=off", "autovacuum=off")  # nothing here outlives the machine
HBA = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"


def programs() -> Path | None:
    """The folder with initdb and pg_ctl, of the newest version there is."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("pg_ctl")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


class Server:
    """A running server; `settings` are lines of its configuration."""

    def __init__(self, folder: Path, settings: tuple[str, ...] = FAST) -> None:
        bin_ = programs()
        assert bin_ is not None
        self.bin, self.folder, self.numbers = bin_, folder, count(1)
        # initdb refuses root: as root the server is the postgres user's, whom its package made
        self.owner: dict[str, Any] = (
            {"user": "postgres", "group": "postgres", "extra_groups": []} if not os.getuid() else {}
        )
        if self.owner:
            owner = pwd.getpwnam("postgres")
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        # an order of letters that is not that of their codes, as most servers have
        words = ("--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US", "--encoding=UTF8")
        self._call("initdb", "-D", str(folder / "data"), "-U", "raum", "-A", "trust", "-N", *words)
        (folder / "data" / "pg_hba.conf").write_text(HBA)
        self.options = [f"port={self.port}", f"unix_socket_directories={folder}", "listen_addresses=127.0.0.1"]
        self.options += ["max_connections=200", *settings]
        self.start()
        self.sql("CREATE ROLE mallory LOGIN PASSWORD '" + PASSWORD + "'")

    def start(self) -> None:
        """Start; also again after stop()."""
        told = " ".join(f"-c {each}" for each in self.options)
        self._call("pg_ctl", "start", "-w", "-D", str(self.folder / "data"), "-l", str(self.folder / "log"), "-o", told)

    def stop(self, mode: str = "immediate") -> None:
        """End the server at once, as a crash does, or in the `fast` way."""
        self._call("pg_ctl", "stop", "-w", "-D", str(self.folder / "data"), "-m", mode)

    def url(self, name: str = "postgres") -> sa.URL:
        """A database of this server, by its socket."""
        query = {"host": str(self.folder), "port": str(self.port)}
        return sa.URL.create("postgresql+psycopg", username="raum", database=name, query=query)

    def new(self, template: str | None = None) -> sa.URL:
        """A new database: empty, or a copy of another."""
        name = f"t{next(self.numbers)}"
        self.sql(f"CREATE DATABASE {name}" + (f" TEMPLATE {template} STRATEGY FILE_COPY" if template else ""))
        return self.url(name)

    def drop(self, url: sa.URL) -> None:
        """Remove a database."""
        self.sql(f"DROP DATABASE IF EXISTS {url.database} WITH (FORCE)")

    def sql(self, text: str, name: str = "postgres") -> list[Any]:
        """Run one statement outside any transaction."""
        import psycopg

        place = {"host": str(self.folder), "port": self.port, "user": "raum", "dbname": name}
        with psycopg.connect(**place, autocommit=True) as raw:
            done = raw.execute(text)
            return done.fetchall() if done.description else []

    def _call(self, program: str, *arguments: str) -> None:
        command = [str(self.bin / program), *arguments]
        with tempfile.TemporaryFile() as said:  # a pipe would be kept open by the server
            done = subprocess.run(command, cwd=self.folder, stdout=said, stderr=said, **self.owner)
            said.seek(0)
            assert done.returncode == 0, said.read().decode()


def empty(db: database.Database) -> None:
    """Make a database what the migrations leave; the triggers and references that forbid it are off meanwhile."""
    tables = [each for each in schema.metadata.tables if each != "counters"]
    with db.write() as tx:
        tx.exec_driver_sql("SET LOCAL session_replication_role = replica")
        tx.exec_driver_sql("; ".join(f"DELETE FROM {each}" for each in tables))
        tx.exec_driver_sql("UPDATE counters SET value = 0")
        tx.exec_driver_sql("SELECT setval(seqrelid, 1, false) FROM pg_sequence")


CLEAN = """
import pathlib, shutil, subprocess, sys
sys.stdin.read()  # until whoever started the server has ended, however that was
folder, owner, *stop = sys.argv[1:]
subprocess.run(stop, cwd="/", capture_output=True, **({"user": owner, "group": owner, "extra_groups": []} if owner else {}))
shutil.rmtree(folder, ignore_errors=True)
"""


def serve(settings: tuple[str, ...] = FAST) -> Iterator[Server]:
    """What the session's fixture yields: a server with an empty database of the newest version named `template`."""
    bin_ = programs()
    if bin_ is None:
        assert not os.environ.get(REQUIRED), "PostgreSQL's programs are to be there, but no pg_ctl was found"
        pytest.skip("PostgreSQL is not installed here")
    folder = Path(tempfile.mkdtemp(prefix="raum-pg-"))
    stop = [str(bin_ / "pg_ctl"), "stop", "-D", str(folder / "data"), "-m", "immediate"]
    command = [sys.executable, "-c", CLEAN, str(folder), "" if os.getuid() else "postgres", *stop]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):
        server = Server(folder, settings)
        server.sql("CREATE DATABASE template")
        database.open(server.url("template")).close()
        yield server
