"""Databases for the store's tests: one template is made by the migrations, every test gets a copy of it, on each engine."""

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as dialect

from store import annotators, classes, database, images, labels, queue, records
from tests import postgres

_compiled: set[str] = set()  # statements that were seen to compile for PostgreSQL


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database file of the newest version."""
    path = tmp_path_factory.mktemp("template") / "raum.db"
    db = database.open(path)
    db.checkpoint()
    db.close()
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def db(request: pytest.FixtureRequest) -> database.Database:
    """An open, empty database of its own, once of each engine: the contract that both keep."""
    opened: database.Database = request.getfixturevalue(f"{request.param}_db")
    return opened


@pytest.fixture(scope="session")
def opened_once(postgresql: postgres.Server) -> Iterator[database.Database]:
    """One database for the whole session: a copy for each test would take longer than the test."""
    opened = database.open(postgresql.new("template"))
    yield opened
    opened.close()


@pytest.fixture
def postgresql_db(opened_once: database.Database) -> database.Database:
    """The same on a server: emptied."""
    postgres.empty(opened_once)
    return opened_once


@pytest.fixture
def sqlite_db(template: Path, tmp_path: Path) -> Iterator[database.Database]:
    """The same in a file; every statement run on it must also compile for PostgreSQL, where none is installed."""
    opened = database.open(shutil.copy(template, tmp_path / "raum.db"))
    for engine in (opened._reader, opened._writer):
        sa.event.listen(engine, "before_cursor_execute", _compiles_for_postgresql)
    yield opened
    opened.close()


def _compiles_for_postgresql(_tx: Any, _cursor: Any, sql: str, _params: Any, context: Any, _many: Any) -> None:
    if context is not None and context.compiled is not None and sql not in _compiled:
        context.compiled.statement.compile(dialect=dialect.dialect())
        _compiled.add(sql)


@dataclass
class World:
    """A few images, classes and people, and short words for what they do."""

    db: database.Database
    pool: list[int]
    holdout: list[int]
    classes: list[int]
    people: list[int]
    now: float = 1000.0
    numbers: Iterator[int] = field(default_factory=count)

    def say(self, kind: str, image_id: int, person: int = 0, **more: Any) -> records.Event:
        """Append one event a second later and return it."""
        self.now += 1.0
        if kind == "label":
            more.setdefault("class_id", self.classes[0])
        more.setdefault("uuid", f"uuid-{next(self.numbers)}")
        new = records.NewEvent(image_id=image_id, annotator_id=self.people[person], kind=kind, **more)
        with self.db.write() as tx:
            return labels.append(tx, new, self.now)[0]

    def retract(self, event: records.Event) -> records.Event:
        """Take an event back."""
        person = self.people.index(event.annotator_id)
        return self.say("retract", event.image_id, person, target_seq=event.seq)

    def state(self, image_id: int) -> records.ImageState:
        """What counts now."""
        with self.db.read() as tx:
            return labels.state(tx, image_id)

    def claim(self, count: int, person: int = 0, client: str = "tab", **more: Any) -> list[records.Lease]:
        """Lease images, no holdout unless asked for."""
        values = {"holdout_rate": 0.0, "lease_seconds": 300.0, "now": self.now, "rng": random.Random(0)} | more
        with self.db.write() as tx:
            return queue.claim(tx, annotator_id=self.people[person], client=client, count=count, **values)

    def publish(self, ids: list[int], kind: str = "cold", round_id: int | None = None, **more: Any) -> int:
        """Publish a queue that asks these images in this order."""
        rows = [records.QueueRow(position=at, image_id=each, reason="uncertain") for at, each in enumerate(ids)]
        new = records.NewPublication(kind=kind, round_id=round_id, watermark=0, created_at=self.now)
        with self.db.write() as tx:
            return queue.publish(tx, new, more.pop("rows", rows), **more)


def make_in(db: database.Database) -> Callable[..., World]:
    """Fill the database with `pool` and `holdout` images, three classes and three people."""

    def make(pool: int = 20, holdout: int = 4) -> World:
        new = [
            records.NewImage(
                path=f"{at:06}.jpg", digest=f"{at:x}", phash=f"{at:x}", holdout=max(0, at - pool + 1) and 1
            )
            for at in range(pool + holdout)
        ]
        with db.write() as tx:
            ids = images.add_many(tx, new)
            said = [classes.add(tx, name, 1.0).id for name in ("Sparrow", "Finch", "Wren")]
            people = [annotators.ensure(tx, name, 1.0).id for name in ("ada", "ben", "cyd")]
        return World(db, ids[:pool], ids[pool:], said, people)

    return make


@pytest.fixture
def make_world(db: database.Database) -> Callable[..., World]:
    """Make a world of any size, on each engine."""
    return make_in(db)


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    """Twenty images of the pool and four of the holdout."""
    return make_world()


@pytest.fixture
def sqlite_world(sqlite_db: database.Database) -> World:
    """The same, on SQLite alone."""
    return make_in(sqlite_db)()
