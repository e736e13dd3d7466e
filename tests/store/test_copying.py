"""A database copied to the other engine and back: every value, the numbers that follow, and nothing where it fails."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from store import (
    acts,
    classes,
    commands,
    copying,
    database,
    errors,
    images,
    labels,
    records,
    rounds,
    schema,
    sessions,
    settings,
    tries,
    users,
    workers,
)
from tests import postgres
from tests.store.conftest import World, make_in


def fill(world: World) -> None:
    """Rows in every table, some of which name rows that come after them."""
    db = world.db
    said = world.say("label", world.pool[0], note="größer als 10 % – \"'\\ 🐦", suggestion_probability=0.1 + 0.2)
    world.retract(said)
    world.say("skip", world.pool[1], asked_id=world.people[1])
    world.say("reject", world.holdout[0], 1, reason="bad_image")
    with db.write() as tx:
        rounds.begin(tx, 2**40, {"a": [1, None]}, 3, 5.0)
        rounds.publish(tx, 1, {"accuracy": 0.9}, "checkpoints/1", 6.0)
        late = classes.add(tx, "Late", 2.0).id
        classes.move(tx, world.classes[0], parent_id=late, before=None, now=3.0)
        classes.merge(tx, world.classes[1], late, now=4.0)
        classes.annotate(tx, late, "images", [world.pool[3]], now=5.0)
        users.add(tx, world.people[0], "ada", 1.0)
        sessions.add(tx, world.people[0], "s" * 64, now=1.0, expires_at=2.0)
        tx.execute(sa.insert(schema.invites).values(token_hash="i" * 64, annotator_id=1, made_at=1.0, expires_at=2.0))
        token = {"token_hash": "t" * 64, "annotator_id": 1, "name": "x", "scopes": "read", "made_at": 1.0}
        tx.execute(sa.insert(schema.api_tokens).values(token))
        acts.append(tx, "add", "ada", actor="", now=1.0, role="admin")
        tries.count(tx, "ada", 1.0)
        commands.ask(tx, "train", {}, 1.0)
        workers.beat(tx, "worker", 1, "ready", now=1.0)
        settings.set_setting(tx, "B", 1)
        settings.set_setting(tx, "a", {"ß": 1})
    world.publish(world.pool[:4], kind="round", round_id=1)
    world.claim(3)


def everything(db: database.Database) -> dict[str, list[tuple[Any, ...]]]:
    with db.read() as tx:
        return {
            table.name: sorted((tuple(row) for row in tx.execute(sa.select(table))), key=repr)
            for table in schema.metadata.sorted_tables
        }


def test_every_value_survives_the_way_to_a_server_and_back(
    sqlite_world: World, postgresql_db: database.Database, tmp_path: Path
) -> None:
    fill(sqlite_world)
    before = everything(sqlite_world.db)
    assert all(before.values()), [name for name, rows in before.items() if not rows]
    told: list[float] = []
    found = copying.copy(sqlite_world.db, postgresql_db, lambda fraction, _what: told.append(fraction))
    assert {name: copied.rows for name, copied in found.items()} == {name: len(rows) for name, rows in before.items()}
    assert everything(postgresql_db) == before
    assert told == sorted(told)
    assert 0 <= told[0] <= told[-1] <= 1
    done = copying.to_file(postgresql_db, tmp_path / "back.db")
    assert (done.images, done.watermark) == (24, 4)
    with closing(database.open(tmp_path / "back.db")) as back:
        assert everything(back) == before


def test_what_is_added_after_a_copy_gets_the_next_numbers(
    sqlite_world: World, postgresql_db: database.Database
) -> None:
    fill(sqlite_world)
    copying.copy(sqlite_world.db, postgresql_db)
    with postgresql_db.write() as tx:
        assert images.add_many(tx, [records.NewImage(path="new.jpg")]) == [25]
        assert classes.add(tx, "New", 9.0).id == 5
        assert commands.ask(tx, "stop", {}, 1.0) == 2
        new = records.NewEvent(uuid="new", image_id=25, annotator_id=1, kind="skip")
        assert labels.append(tx, new, 10.0)[0].seq == 5
        assert labels.rebuild(tx) == 0


def test_a_database_with_rows_takes_no_copy(sqlite_world: World, postgresql_db: database.Database) -> None:
    other = make_in(postgresql_db)(pool=1, holdout=0)
    before = everything(other.db)
    for source, target in ((sqlite_world.db, postgresql_db), (postgresql_db, sqlite_world.db)):
        with pytest.raises(errors.NotEmpty, match="rows in"):
            copying.copy(source, target)
    assert everything(other.db) == before


def _loses_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    real = copying._insert
    monkeypatch.setattr(copying, "_insert", lambda tx, table, page: real(tx, table, page[:-1] or page))


def _changes_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    real = copying._insert

    def insert(tx: sa.Connection, table: sa.Table, page: list[dict[str, Any]]) -> None:
        real(tx, table, [row | {"digest": "x"} for row in page] if table is schema.images else page)

    monkeypatch.setattr(copying, "_insert", insert)


@pytest.mark.parametrize("spoil", [_loses_a_row, _changes_a_value])
def test_a_copy_that_came_out_otherwise_is_not_kept(
    sqlite_world: World, postgresql_db: database.Database, spoil: Callable[[pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    empty = everything(postgresql_db)
    spoil(monkeypatch)
    with pytest.raises(errors.CopyDiffers, match="nothing was changed"):
        copying.copy(sqlite_world.db, postgresql_db)
    assert everything(postgresql_db) == empty


def test_what_the_server_cannot_hold_is_named_with_its_table(
    sqlite_world: World, postgresql_db: database.Database
) -> None:
    empty = everything(postgresql_db)
    assert sqlite_world.db.path is not None
    with closing(sqlite3.connect(sqlite_world.db.path)) as raw:
        raw.execute("UPDATE annotators SET role = ? WHERE id = 1", ("x" * 40,))
        raw.commit()
    with pytest.raises(errors.BadValue, match="a value in annotators cannot be stored"):
        copying.copy(sqlite_world.db, postgresql_db)
    assert everything(postgresql_db) == empty


def test_what_was_made_for_a_copy_goes_again(postgresql: postgres.Server) -> None:
    url = postgresql.new()
    with closing(database.open(url)) as db:
        copying.unmake(db)
        assert database.version(db) is None
    with closing(database.open(url)) as db, db.read() as tx:
        assert images.counts(tx)["total"] == 0
    postgresql.drop(url)
