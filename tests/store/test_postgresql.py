"""What is PostgreSQL's own: writes side by side without a double lease, triggers, lost servers, and what it refuses."""

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from app import crowd, crowd_journal
from store import (
    annotators,
    database,
    draw,
    errors,
    images,
    labels,
    overlap,
    postgresql,
    queue,
    records,
    schema,
    settings,
)
from tests import postgres
from tests.store.conftest import World, make_in

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def make(postgresql_db: database.Database) -> Callable[..., World]:
    """Worlds on the server."""
    return make_in(postgresql_db)


@pytest.fixture
def fresh(postgresql: postgres.Server) -> Iterator[sa.URL]:
    """A database that nobody has opened."""
    url = postgresql.new()
    yield url
    postgresql.drop(url)


def _claim(world: World, tx: sa.Connection, person: int, count: int = 3) -> list[int]:
    leases = queue.claim(
        tx, annotator_id=world.people[person], client="tab", count=count, now=world.now, lease_seconds=300.0,
        rng=random.Random(0), holdout_rate=0.0,
    )  # fmt: skip
    return [lease.image_id for lease in leases]


def test_thirty_two_processes_lease_no_image_twice(make: Callable[..., World], tmp_path: Path) -> None:
    world = make(pool=300, holdout=20)
    world.publish(world.pool[:150])
    place = world.db.url.render_as_string(hide_password=False)
    told = crowd.run(crowd_journal.Plan(place, str(tmp_path), 32))
    assert told["failed"] == []
    found = list(crowd_journal.journals(tmp_path).values())
    assert sum(journal.busy for journal in found) == 0
    leased = [image for journal in found for image, _ in journal.leases]
    assert sorted(leased) == world.pool + world.holdout
    assert sum(bool(journal.leases) for journal in found) >= 8, "few processes did everything: nothing was tested"
    with world.db.write() as tx:
        assert [event.seq for event in labels.all_events(tx)] == list(range(1, 321))
        assert labels.rebuild(tx) == 0


def test_a_claim_passes_over_what_another_one_is_taking_and_waits_for_nothing(make: Callable[..., World]) -> None:
    world = make()
    world.publish(world.pool)
    with futures.ThreadPoolExecutor(1) as beside, world.db.write(shared=True) as tx:
        assert _claim(world, tx, 0) == world.pool[:3]

        def second() -> list[int]:
            with world.db.write(shared=True) as other:
                return _claim(world, other, 1)

        assert beside.submit(second).result(timeout=5) == world.pool[3:6]


def test_what_was_leased_since_the_search_began_is_let_go(make: Callable[..., World]) -> None:
    world = make()
    world.publish(world.pool)
    with world.db.read() as tx:
        shown = queue.current(tx)
    with world.db.write(shared=True) as tx:
        search = draw.Draw(
            tx, shown, annotator_id=world.people[0], now=world.now, several=overlap.Overlap(), exclude=()
        )
        values = search.known | {"taken": [], "count": 3}
        rows = tx.execute(draw._QUEUED, values).all()
        assert [row.image_id for row in rows] == world.pool[:3]
        assert search._still_free(draw._QUEUED, values, rows) == rows
        with world.db._writer.connect() as raw, raw.begin():  # as a claim that ended just when the search began
            values_ = {"image": world.pool[1], "who": world.people[2], "until": world.now + 1}
            insert = (
                "INSERT INTO leases (image_id, slot, annotator_id, client, token, reason, blind, leased_at, expires_at)"
            )
            raw.execute(sa.text(f"{insert} VALUES (:image, 0, :who, 'x', 'x', 'x', false, 1, :until)"), values_)
        assert [row[0] for row in search._still_free(draw._QUEUED, values, rows)] == [world.pool[0], world.pool[2]]
        assert _claim(world, tx, 0) == [world.pool[0], world.pool[2], world.pool[3]]


def test_a_write_alone_waits_for_shared_ones_and_they_for_it(postgresql_db: database.Database) -> None:
    db, order = postgresql_db, list[str]()

    def write(name: str, shared: bool) -> None:
        with db.write(shared=shared):
            order.append(name)

    for first in (True, False):
        with db.write(shared=first):
            thread = threading.Thread(target=write, args=("second", not first))
            thread.start()
            time.sleep(0.1)
            order.append("first")
        thread.join(5)
    assert order == ["first", "second"] * 2


def test_two_tabs_add_one_person_and_take_an_answer_back_once(make: Callable[..., World]) -> None:
    world = make()
    said = world.say("label", world.pool[0])
    ready = threading.Barrier(8)

    def tab(number: int) -> int:
        ready.wait()
        with world.db.write(shared=True) as tx:
            person = annotators.ensure(tx, "new", 1.0)
            labels.lock_watermark(tx)
            if labels.last_undoable(tx, world.people[0]) is not None:
                new = records.NewEvent(
                    uuid=f"u{number}", image_id=said.image_id, annotator_id=said.annotator_id, kind="retract",
                    target_seq=said.seq,
                )  # fmt: skip
                labels.append(tx, new, 2.0)
            return person.id

    with futures.ThreadPoolExecutor(8) as tabs:
        assert len(set(tabs.map(tab, range(8)))) == 1
    with world.db.read() as tx:
        assert [event.kind for event in labels.all_events(tx)] == ["label", "retract"]


@pytest.mark.parametrize("table", ["label_events", "acts", "class_acts"])
def test_what_is_append_only_is_neither_changed_nor_removed(postgresql_db: database.Database, table: str) -> None:
    for statement in (
        f"UPDATE {table} SET {'at' if table != 'label_events' else 'note'} = NULL",
        f"DELETE FROM {table}",
    ):
        with pytest.raises(sa.exc.IntegrityError, match="never changed"), postgresql_db.write() as tx:
            tx.exec_driver_sql(statement)
    with pytest.raises(sa.exc.IntegrityError, match="never changed"), postgresql_db.write() as tx:
        tx.exec_driver_sql(f"TRUNCATE {table} CASCADE")


def test_only_durable_commits_wait_for_the_disk(postgresql_db: database.Database) -> None:
    for durable, said in ((True, "on"), (False, "off"), (True, "on")):
        with postgresql_db.write(durable) as tx:
            assert tx.exec_driver_sql("SHOW synchronous_commit").scalar() == said


def test_the_migrations_make_exactly_the_tables_of_the_schema(postgresql: postgres.Server, fresh: sa.URL) -> None:
    from alembic import autogenerate, migration

    made = sa.create_engine(postgresql.url("template"), poolclass=sa.pool.NullPool)
    with made.connect() as tx:
        context = migration.MigrationContext.configure(tx, opts={"compare_type": True})
        assert autogenerate.compare_metadata(context, schema.metadata) == []
    wanted = sa.create_engine(fresh, poolclass=sa.pool.NullPool)
    schema.metadata.create_all(wanted)
    assert _shape(made) == _shape(wanted)


def _shape(engine: sa.Engine) -> list[tuple[str, ...]]:
    """Every constraint and index as the server says it."""
    with engine.connect() as tx:
        constraints = tx.exec_driver_sql(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid > 0"
        ).all()
        indexes = tx.exec_driver_sql(
            "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
        )
        return sorted(tuple(row) for row in [*constraints, *indexes] if row[0] != "alembic_version")


def test_two_processes_may_make_the_same_database_at_once(fresh: sa.URL) -> None:
    place = fresh.render_as_string(hide_password=False)
    code = f"from store import database; database.open({place!r})"
    runs = [subprocess.Popen([sys.executable, "-W", "error", "-c", code], cwd=ROOT) for _ in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]


def test_foreign_and_newer_databases_are_refused_by_name(postgresql: postgres.Server, fresh: sa.URL) -> None:
    postgresql.sql("CREATE TABLE theirs (a integer)", fresh.database or "")
    with pytest.raises(errors.NotADatabase, match="theirs"):
        database.open(fresh)
    newer = postgresql.new("template")
    postgresql.sql("UPDATE alembic_version SET version_num = '9999'", newer.database or "")
    with pytest.raises(errors.NewerDatabase, match=r"version 9999.*update the program"):
        database.open(newer)
    postgresql.drop(newer)


def test_what_the_door_refuses_is_said_without_the_password(postgresql: postgres.Server) -> None:
    url = database.to_url(f"postgresql://mallory:wrong-{postgres.PASSWORD}@127.0.0.1:{postgresql.port}/postgres")
    for given, why in ((url, "authentication failed"), (postgresql.url("nowhere"), "does not exist")):
        with pytest.raises(errors.CannotOpen, match=why) as told:
            database.open(given)
        assert postgres.PASSWORD not in str(told.value) + repr(told.value)
    with pytest.raises(errors.Unreachable, match="cannot be reached") as told_:
        database.open(url.set(port=1))
    assert postgres.PASSWORD not in str(told_.value)


def test_the_password_may_come_from_the_usual_places(
    postgresql: postgres.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = postgresql.new()
    postgresql.sql(f"ALTER DATABASE {own.database} OWNER TO mallory")
    passwords = tmp_path / "pgpass"
    passwords.write_text(f"127.0.0.1:{postgresql.port}:*:mallory:{postgres.PASSWORD}\n")
    passwords.chmod(0o600)
    for name, value in {
        "PGHOST": "127.0.0.1",
        "PGPORT": postgresql.port,
        "PGUSER": "mallory",
        "PGPASSFILE": passwords,
    }.items():
        monkeypatch.setenv(name, str(value))
    with closing(database.open(f"postgresql+psycopg:///{own.database}")) as db, db.read() as tx:
        assert tx.exec_driver_sql("SELECT current_user").scalar() == "mallory"
    postgresql.drop(own)


def test_what_does_not_fit_is_refused_and_not_an_accident(postgresql_db: database.Database) -> None:
    with pytest.raises(errors.BadValue, match="outside what can be stored"), postgresql_db.read() as tx:
        images.get(tx, 2**40)
    with pytest.raises(errors.BadValue), postgresql_db.write() as tx:
        annotators.ensure(tx, "a\0b", 1.0)


def test_a_lock_that_stays_taken_is_told(postgresql_db: database.Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "_PREPARED", ("SET lock_timeout = '50ms'",))
    with closing(database.Database(postgresql_db.url)) as impatient, postgresql_db.write():
        with pytest.raises(errors.Busy, match="for too long"), impatient.write():
            pytest.fail("never reached")
        with pytest.raises(errors.NestedWrite), postgresql_db.write(shared=True):
            pytest.fail("never reached")


def test_of_two_that_wait_for_each_other_one_begins_again(make: Callable[..., World]) -> None:
    world = make()
    both, tries = threading.Barrier(2, timeout=10), list[int]()

    def act(first: int, second: int) -> None:
        def lock(tx: sa.Connection) -> None:
            tries.append(first)
            lock_one = "SELECT 1 FROM image_state WHERE image_id = :id FOR UPDATE"
            tx.execute(sa.text(lock_one), {"id": world.pool[first]})
            if len(tries) <= 2:
                both.wait()
            tx.execute(sa.text(lock_one), {"id": world.pool[second]})

        world.db.attempt(lock)

    with futures.ThreadPoolExecutor(2) as threads:
        list(threads.map(act, (0, 1), (1, 0)))
    assert len(tries) >= 3, "one was begun again"


def test_a_server_that_goes_and_comes_back(postgresql: postgres.Server, postgresql_db: database.Database) -> None:
    db = postgresql_db
    with db.write() as tx:
        settings.set_setting(tx, "a", 1)
    tries = []

    def act(tx: sa.Connection) -> int:
        tries.append(1)
        if len(tries) == 1:
            postgresql.stop("fast")
            postgresql.start()
        settings.set_setting(tx, "a", 2)
        return len(tries)

    assert db.attempt(act) == 2, "a connection lost halfway is tried once more"
    postgresql.stop("fast")
    try:
        with pytest.raises(errors.Unreachable, match="cannot be reached"), db.read() as tx:
            settings.get_setting(tx, "a")
        with pytest.raises(errors.Unreachable), db.write() as tx:
            pytest.fail("never reached")
    finally:
        postgresql.start()
    with db.read() as tx:
        assert settings.get_setting(tx, "a") == 2


def test_without_psycopg_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert postgresql.PACKAGE in (ROOT / "requirements-postgresql.txt").read_text(encoding="utf-8").splitlines()
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(errors.NoDriver, match=r"pip install 'psycopg\[binary\]=="):
        database.open("postgresql://localhost/raum")


def test_urls_that_name_no_database_are_refused_without_repeating_them() -> None:
    for text in ("mysql://u:secret@h/d", "postgresql://u:secret@h:port/d"):
        with pytest.raises(errors.NotADatabase) as told:
            database.to_url(text)
        assert "secret" not in str(told.value)
    asked = database.to_url("postgres://u@h/d?password=secret&sslmode=require")
    assert (asked.password, "secret" in f"{asked} {asked!r}") == ("secret", False)
    assert asked.query == {"sslmode": "require"}


def test_no_search_reads_the_whole_pool(make: Callable[..., World]) -> None:
    world = make(pool=1, holdout=0)
    with world.db.write() as tx:
        numbers = "SELECT generate_series(2, 30000) AS i"
        columns = "id, path, bytes, mtime_ns, holdout, status, added_at"
        tx.execute(
            sa.text(f"INSERT INTO images ({columns}) SELECT i, 'x' || i, 1, 1, 0, 'ok', 1 FROM ({numbers}) AS n")
        )
        columns = "image_id, lane, draw, answers, skips, flags, said_by"
        told = "i, 'pool', (i::bigint * 1103515245) % 2147483648, 0, 0, 0, ''"
        tx.execute(sa.text(f"INSERT INTO image_state ({columns}) SELECT {told} FROM ({numbers}) AS n"))
        tx.execute(sa.text("UPDATE image_state SET lane = 'more', said_by = ',2,' WHERE image_id % 10 = 0"))
    world.publish(list(range(100, 600)))
    with world.db.write() as tx:
        for table in ("images", "image_state", "queue", "leases", "label_events"):
            tx.exec_driver_sql(f"ANALYZE {table}")
    values = {"publication": 1, "now": 1.0, "taken": [1], "count": 5, "lane": "pool", "annotator": 1}
    values |= {"watermark": 1, "mine": ",1,", "said_by": ",2,", "free": 1}
    for name in ("_QUEUED", "_RANDOM", "_SKIPPED", "_SAID_BY", "_MORE", "_PASSED_ON"):
        query = getattr(draw, name)
        query = query.params(**{key: value for key, value in values.items() if key in query.compile().params})
        with world.db.write() as tx:
            sql = str(query.compile(tx, compile_kwargs={"literal_binds": True})).replace("%%", "%")
            plan = [row[0] for row in tx.exec_driver_sql("EXPLAIN " + sql.replace("%", "%%"))]
        assert not [step for step in plan if "Seq Scan on image" in step], (name, plan)
