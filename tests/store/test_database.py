"""Opening, migrating and refusing files; reads see a snapshot, writes wait for each other."""

import os
import re
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from store import database, errors, images, labels, records, schema, settings

ROOT = Path(__file__).resolve().parents[2]


def _pragma(tx: sa.Connection, name: str) -> object:
    return tx.exec_driver_sql(f"PRAGMA {name}").scalar()


def test_a_file_of_the_right_version_opens_without_alembic(template: Path) -> None:
    code = f"import sys; from store import database; database.open({str(template)!r}); print('alembic' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_the_newest_known_version_is_the_head_of_the_migrations(template: Path) -> None:
    from alembic import config, script

    settings_ = config.Config()
    settings_.set_main_option("script_location", str(ROOT / "store" / "migrations"))
    folder = script.ScriptDirectory.from_config(settings_)
    assert folder.get_current_head() == schema.VERSIONS[-1]
    assert [each.revision for each in folder.walk_revisions()][::-1] == list(schema.VERSIONS)


def test_the_migrations_make_exactly_the_tables_of_the_schema(template: Path) -> None:
    from alembic import autogenerate, migration

    engine = sa.create_engine(f"sqlite:///{template}", poolclass=sa.pool.NullPool)
    with engine.connect() as tx:
        context = migration.MigrationContext.configure(tx, opts={"compare_type": True})
        assert autogenerate.compare_metadata(context, schema.metadata) == []
    made = _shape(engine)
    fresh = sa.create_engine("sqlite://")
    schema.metadata.create_all(fresh)
    wanted = _shape(fresh)
    engine.dispose()
    fresh.dispose()
    assert made == wanted


def _shape(engine: sa.Engine) -> dict[str, object]:
    """Checks, foreign keys, every name and the conditions of indexes, which alembic's comparison leaves out.

    The names are read from the SQL: of a foreign key that came with its column, SQLAlchemy does not see the name.
    """
    look = sa.inspect(engine)
    with engine.connect() as tx:
        rows = tx.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'table'").all()
    texts = {name: sql for name, sql in rows}
    names = [name for name in look.get_table_names() if name != "alembic_version"]
    return {
        name: (
            sorted((check["name"], check["sqltext"]) for check in look.get_check_constraints(name)),
            sorted((key["constrained_columns"], key["referred_table"]) for key in look.get_foreign_keys(name)),
            sorted(re.findall(r"CONSTRAINT (\w+)", texts[name])),
            sorted((each["name"], *map(str, each["dialect_options"].values())) for each in look.get_indexes(name)),
            look.get_pk_constraint(name),
        )
        for name in names
    }


def test_every_constraint_and_index_has_a_name() -> None:
    for table in schema.metadata.tables.values():
        assert all(each.name for each in table.constraints), table.name
        assert all(each.name for each in table.indexes), table.name


def test_writes_are_wal_and_durable_only_when_asked(sqlite_db: database.Database) -> None:
    db = sqlite_db
    with db.write() as tx:
        assert (_pragma(tx, "journal_mode"), _pragma(tx, "synchronous"), _pragma(tx, "foreign_keys")) == ("wal", 1, 1)
    with db.write(durable=True) as tx:
        assert _pragma(tx, "synchronous") == 2
    with db.write() as tx:
        assert _pragma(tx, "synchronous") == 1
        assert _pragma(tx, "temp_store") == 2


def test_a_read_is_a_snapshot_and_cannot_write(db: database.Database) -> None:
    with db.read() as old:
        assert images.counts(old)["total"] == 0
        with db.write() as tx:
            images.add_many(tx, [records.NewImage(path="a")])
        assert images.counts(old)["total"] == 0
    with pytest.raises((sa.exc.OperationalError, errors.CannotWrite), match=r"read-?only"), db.read() as old:
        settings.set_setting(old, "a", 1)
    with db.read() as new:
        assert images.counts(new)["total"] == 1


def test_a_failed_write_leaves_nothing(db: database.Database) -> None:
    with pytest.raises(RuntimeError, match="halfway"):
        _add_and_fail(db)
    with db.write() as tx:
        assert images.counts(tx)["total"] == 0


def _add_and_fail(db: database.Database) -> None:
    with db.write() as tx:
        images.add_many(tx, [records.NewImage(path="a")])
        raise RuntimeError("halfway")


def test_a_write_inside_a_write_is_refused_not_hung(db: database.Database) -> None:
    with db.write(), pytest.raises(errors.NestedWrite), db.write():
        pytest.fail("never reached")
    with db.write() as tx:
        assert images.counts(tx)["total"] == 0


def test_threads_take_turns(db: database.Database) -> None:
    with db.write() as tx:
        settings.set_setting(tx, "n", 0)

    def count() -> None:
        for _ in range(25):
            with db.write() as tx:
                settings.set_setting(tx, "n", settings.get_setting(tx, "n") + 1)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with db.read() as tx:
        assert settings.get_setting(tx, "n") == 200


def test_a_write_waits_for_another_process_then_says_who_keeps_it(
    sqlite_db: database.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = sqlite_db
    monkeypatch.setattr(database, "BEGIN_TRIES", 2)
    with db.write() as tx:
        tx.exec_driver_sql("PRAGMA busy_timeout=20")
    assert db.path is not None
    with closing(sqlite3.connect(db.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(errors.Busy, match="another process"), db.write():
            pytest.fail("never reached")
        other.execute("ROLLBACK")
    with db.write() as tx:
        assert images.counts(tx)["total"] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_database_is_not_used_across_a_fork(db: database.Database) -> None:
    db._pid -= 1  # as a forked child would see it
    with pytest.raises(errors.WrongProcess, match="open it again"), db.read():
        pytest.fail("never reached")
    with pytest.raises(errors.WrongProcess), db.write():
        pytest.fail("never reached")
    db._pid = os.getpid()


def test_foreign_files_are_refused_by_name_and_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database at all, but long enough to be read as a header" * 20)
    with pytest.raises(errors.NotADatabase, match="is not a SQLite file"):
        database.open(text)
    assert text.read_text().startswith("not a database at all")
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as raw:
        raw.execute("CREATE TABLE theirs (a)")
    with pytest.raises(errors.NotADatabase, match="theirs"):
        database.open(other)


def test_a_newer_version_is_refused_by_name(sqlite_db: database.Database) -> None:
    db = sqlite_db
    with db.write() as tx:
        tx.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    assert db.path is not None
    with pytest.raises(errors.NewerDatabase, match=r"version 9999.*update the program"):
        database.open(db.path)


def test_an_older_version_is_migrated_after_a_backup(
    sqlite_db: database.Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = sqlite_db
    with db.write() as tx:
        images.add_many(tx, [records.NewImage(path="kept.jpg")])
    db.close()
    assert db.path is not None
    _pretend_older(db.path, monkeypatch)
    migrated = database.open(db.path)
    with migrated.read() as tx:
        assert list(images.known_paths(tx)) == ["kept.jpg"]
        assert tx.scalar(sa.text("SELECT version_num FROM alembic_version")) == schema.VERSIONS[-1]
    migrated.close()
    copies = sorted((tmp_path / "backups").iterdir())
    assert [copy.name for copy in copies] == ["before-0000.1.db"]
    with closing(sqlite3.connect(copies[0])) as raw:
        assert raw.execute("SELECT path FROM images").fetchall() == [("kept.jpg",)]
        assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [("0000",)]


def test_version_0001_keeps_every_word_and_learns_who_said_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, events = tmp_path / "raum.db", "seq, uuid, image_id, annotator_id, kind, class_id, target_seq"
    with monkeypatch.context() as older:
        older.setattr(schema, "VERSIONS", ("0001",))
        database.open(path).close()
    with closing(sqlite3.connect(path)) as raw:
        assert "said_by" not in str(raw.execute("SELECT sql FROM sqlite_master WHERE name = 'image_state'").fetchall())
        for image in (1, 2, 3):
            raw.execute(
                "INSERT INTO images (id, path, bytes, mtime_ns, holdout, status, added_at) VALUES (?, ?, 1, 1, 0, 'ok', 1)",
                (image, f"{image}.jpg"),
            )
        raw.execute("INSERT INTO classes (id, name, position, status, added_at) VALUES (1, 'Wren', 0, 'active', 1)")
        raw.executemany("INSERT INTO annotators VALUES (?, ?, 'annotator', 1)", [(2, "ada"), (10, "ben")])
        said = [(1, 1, 10, "label", 1, None), (2, 1, 2, "reject", None, None), (3, 2, 2, "label", 1, None)]
        said += [(4, 2, 2, "retract", None, 3), (5, 3, 2, "skip", None, None)]
        for seq, image, person, kind, class_id, target in said:
            values = (seq, f"u{seq}", image, person, kind, class_id, target)
            raw.execute(
                f"INSERT INTO label_events ({events}, source, received_at) VALUES (?, ?, ?, ?, ?, ?, ?, 'page', 5)",
                values,
            )
        raw.execute("UPDATE counters SET value = 5 WHERE name = 'watermark'")
        rows = [(1, "closed", 7, "reject", None, 2, 2, 2, 0), (2, "pool", 8, None, None, None, None, 0, 0)]
        rows += [(3, "pool", 9, None, None, None, None, 0, 1)]
        columns = "image_id, lane, draw, kind, class_id, event_seq, annotator_id, answers, skips, flags"
        raw.executemany(f"INSERT INTO image_state ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)", rows)
        raw.execute("UPDATE image_state SET source = 'page', settled_at = 5 WHERE image_id = 1")
        raw.commit()
        kept = raw.execute("SELECT * FROM label_events").fetchall()
    with closing(database.open(path)) as db, db.write() as tx:
        assert [tuple(row) for row in tx.exec_driver_sql("SELECT * FROM label_events")] == [
            (*row, None) for row in kept
        ]
        assert [labels.state(tx, image).said_by for image in (1, 2, 3)] == [",2,10,", "", ""]
        assert [labels.state(tx, image).draw for image in (1, 2, 3)] == [7, 8, 9]
        assert labels.rebuild(tx) == 0
        with pytest.raises(sa.exc.IntegrityError, match="never changed"):
            tx.exec_driver_sql("DELETE FROM label_events")
    assert [copy.name for copy in (tmp_path / "backups").iterdir()] == ["before-0001.1.db"]


def test_version_0004_keeps_every_word_and_learns_whom_a_skip_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "raum.db"
    with monkeypatch.context() as older:
        older.setattr(schema, "VERSIONS", ("0001", "0002", "0003", "0004"))
        database.open(path).close()
    with closing(sqlite3.connect(path)) as raw:
        assert "asked_id" not in str(
            raw.execute("SELECT sql FROM sqlite_master WHERE name = 'label_events'").fetchall()
        )
        raw.execute(
            "INSERT INTO images (id, path, bytes, mtime_ns, holdout, status, added_at) VALUES (1, 'a', 1, 1, 0, 'ok', 1)"
        )
        raw.execute(
            "INSERT INTO image_state VALUES (1, 'pool', 5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 1, 0, '')"
        )
        raw.executemany("INSERT INTO annotators VALUES (?, ?, 'annotator', 1)", [(1, "ada"), (2, "ben")])
        raw.execute(
            "INSERT INTO label_events (seq, uuid, image_id, annotator_id, kind, source, received_at) "
            "VALUES (1, 'u1', 1, 1, 'skip', 'page', 5)"
        )
        raw.execute("UPDATE counters SET value = 1 WHERE name = 'watermark'")
        raw.commit()
    insert = (
        "INSERT INTO label_events (seq, uuid, image_id, annotator_id, kind, source, received_at, asked_id) "
        "VALUES (2, 'u2', 1, 1, '{}', 'page', 6, {})"
    )
    with closing(database.open(path)) as db:
        with db.write() as tx:
            assert labels.get(tx, 1).asked_id is None
            assert labels.rebuild(tx) == 0
        for kind, asked, why in (("flag", 2, "asked_by_skip"), ("skip", 9, "FOREIGN KEY")):
            with pytest.raises(sa.exc.IntegrityError, match=why), db.write() as tx:
                tx.exec_driver_sql(insert.format(kind, asked))
        with db.write() as tx:
            tx.exec_driver_sql(insert.format("skip", 2))
            assert labels.get(tx, 2).asked_id == 2
        with pytest.raises(sa.exc.IntegrityError, match="never changed"), db.write() as tx:
            tx.exec_driver_sql("UPDATE label_events SET asked_id = 1")
    assert [copy.name for copy in (tmp_path / "backups").iterdir()] == ["before-0004.1.db"]


def _pretend_older(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the file look like version 0000 of a program whose only later step is a harmless 0001."""
    from alembic import script

    with closing(sqlite3.connect(path)) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '0000'")
        raw.commit()
    folder = path.parent / "migrations"
    (folder / "versions").mkdir(parents=True)
    (folder / "env.py").write_text((ROOT / "store" / "migrations" / "env.py").read_text())
    for name, before in (("0000", None), (schema.VERSIONS[-1], "0000")):
        text = f"revision = {name!r}\ndown_revision = {before!r}\ndef upgrade() -> None:\n    pass\n"
        (folder / "versions" / f"{name}.py").write_text(text)
    monkeypatch.setattr(schema, "VERSIONS", ("0000", schema.VERSIONS[-1]))
    real = script.ScriptDirectory.from_config

    def from_config(settings_: object) -> script.ScriptDirectory:
        settings_.set_main_option("script_location", str(folder))  # type: ignore[attr-defined]
        return real(settings_)  # type: ignore[arg-type]

    monkeypatch.setattr(script.ScriptDirectory, "from_config", from_config)


def test_two_processes_may_make_the_same_database_at_once(tmp_path: Path) -> None:
    code = f"from store import database; database.open({str(tmp_path / 'new' / 'raum.db')!r})"
    runs = [subprocess.Popen([sys.executable, "-W", "error", "-c", code], cwd=ROOT) for _ in range(3)]
    assert [run.wait() for run in runs] == [0, 0, 0]


def test_urls_and_paths(tmp_path: Path) -> None:
    assert database.to_url("postgresql://u@h/d").get_backend_name() == "postgresql"
    assert database.to_url(tmp_path / "a b%.db").database == str(tmp_path / "a b%.db")
    assert database.to_url(f"sqlite:///{tmp_path}/x.db").database == f"{tmp_path}/x.db"


def test_a_write_that_takes_long_is_told_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "raum.store")
    with closing(database.open(tmp_path / "raum.db")) as db:
        with db.write() as tx:
            settings.set_setting(tx, "paused", True)
        assert not caplog.records
        monkeypatch.setattr(database, "SLOW_S", 0.0)
        with db.write() as tx:
            settings.set_setting(tx, "paused", False)
    assert "s for its turn" in caplog.text
    assert "s for the disk" in caplog.text
