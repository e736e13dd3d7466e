"""Copies of the database: whole while others write, checked, never half there; what the disk refuses is said in words."""

import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from store import backup, database, errors, images, labels, records, schema, settings
from tests.store.conftest import World


@pytest.fixture
def db(sqlite_db: database.Database) -> database.Database:
    """A file: a server's copies are made with its own programs."""
    return sqlite_db


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte; skips by name where none may be mounted."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("this system has no mount")
    if done.returncode:
        pytest.skip(f"no small file system may be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path, leave: int) -> Path:
    """Take the room of a file system but for `leave` bytes; removing the file gives it back."""
    ballast = folder / "ballast"
    ballast.write_bytes(b"\0" * max(0, shutil.disk_usage(folder).free - leave))
    return ballast


def test_a_copy_made_while_threads_write_is_whole_and_holds_every_answer_given_before(
    world: World, tmp_path: Path
) -> None:
    assert world.db.path is not None
    ended = threading.Event()

    def write() -> None:
        at = 0
        while not ended.is_set():
            with world.db.write() as tx:
                settings.set_setting(tx, "n", at)
            at += 1

    writers = [threading.Thread(target=write) for _ in range(2)]
    for thread in writers:
        thread.start()
    try:
        for number in range(4):
            said = [world.say("label", image_id) for image_id in world.pool[: number + 1]][-1]
            done = backup.write(world.db.path, tmp_path / "out" / f"{number}.db")
            assert (done.watermark, done.images) == (said.seq, 24)
    finally:
        ended.set()
        for thread in writers:
            thread.join()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [f"{number}.db" for number in range(4)]
    with closing(database.open(tmp_path / "out" / "3.db")) as copy, copy.write() as tx:
        assert backup.integrity(tx) == []
        assert labels.rebuild(tx) == 0
        assert [event.image_id for event in labels.all_events(tx)][-1] == world.pool[3]


def test_a_copy_tells_what_is_in_it(world: World, tmp_path: Path) -> None:
    first = world.say("label", world.pool[0])
    world.say("reject", world.pool[1], reason="bad_image")
    world.say("skip", world.pool[2])
    world.retract(first)
    assert world.db.path is not None
    done = backup.write(world.db.path, tmp_path / "copy.db")
    assert done == backup.look(tmp_path / "copy.db") == records.Contents(schema.VERSIONS[-1], 4, 2, 24)


def test_an_old_file_is_never_written_over(db: database.Database, tmp_path: Path) -> None:
    assert db.path is not None
    (tmp_path / "mine.db").write_text("mine")
    for target in (tmp_path / "mine.db", db.path):
        with pytest.raises(errors.BackupFailed, match="there already"):
            backup.write(db.path, target)
    assert (tmp_path / "mine.db").read_text() == "mine"


def test_what_is_no_database_newer_or_damaged_is_told_by_name(db: database.Database, tmp_path: Path) -> None:
    with db.write() as tx:
        images.add_many(tx, [records.NewImage(path=f"{at:06}.jpg") for at in range(2000)])
    assert db.path is not None
    backup.write(db.path, tmp_path / "whole.db")
    with pytest.raises(errors.NotADatabase, match="no file"):
        backup.look(tmp_path / "nowhere.db")
    (tmp_path / "empty.db").touch()
    with pytest.raises(errors.NotADatabase, match="empty"):
        backup.look(tmp_path / "empty.db")
    shutil.copy(tmp_path / "whole.db", tmp_path / "newer.db")
    with closing(sqlite3.connect(tmp_path / "newer.db")) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
        raw.commit()
    with pytest.raises(errors.NewerDatabase, match="9999"):
        backup.look(tmp_path / "newer.db")
    broken = bytearray((tmp_path / "whole.db").read_bytes())
    middle = len(broken) // 4096 // 2 * 4096
    broken[middle : middle + 8192] = b"\xff" * 8192
    (tmp_path / "broken.db").write_bytes(broken)
    with pytest.raises(errors.Damaged, match=r"broken\.db is damaged"):
        backup.look(tmp_path / "broken.db")
    with pytest.raises(errors.BackupFailed):
        backup.write(tmp_path / "broken.db", tmp_path / "copy.db")
    assert not list(tmp_path.glob("*copy*"))


def test_the_fingerprint_changes_with_what_is_said_and_not_with_leases(world: World, tmp_path: Path) -> None:
    def look() -> str:
        with world.db.read() as tx:
            return backup.fingerprint(tx)

    before = look()
    world.claim(3)
    assert look() == before
    world.say("label", world.pool[0])
    said = look()
    assert said != before
    world.publish(world.pool[:2])
    assert look() != said
    assert world.db.path is not None
    backup.write(world.db.path, tmp_path / "copy.db")
    assert backup.fingerprint_of(tmp_path / "copy.db") == look()
    (tmp_path / "other.db").write_text("none" * 500)
    assert backup.fingerprint_of(tmp_path / "other.db") is None


def test_a_full_disk_leaves_no_half_backup_and_says_so(world: World, small_disk: Path) -> None:
    assert world.db.path is not None
    fill(small_disk, leave=64 << 10)
    with pytest.raises(errors.BackupFailed, match="full"):
        backup.write(world.db.path, small_disk / "copy.db")
    assert [path.name for path in small_disk.iterdir()] == ["ballast"]


def test_a_full_disk_refuses_answers_by_name_keeps_those_it_took_and_goes_on_when_there_is_room(
    template: Path, small_disk: Path
) -> None:
    db = database.open(shutil.copy(template, small_disk / "raum.db"))
    with closing(db):
        ballast = fill(small_disk, leave=96 << 10)
        stored: list[int] = []
        with pytest.raises(errors.CannotWrite, match="disk is full: free some space"):
            _add_for_ever(db, stored)
        ballast.unlink()
        _add(db, len(stored))
        with db.read() as tx:
            assert list(images.known_paths(tx)) == [f"{at}.jpg" for at in range(len(stored) + 1)]
            assert backup.integrity(tx) == []


def _add_for_ever(db: database.Database, stored: list[int]) -> None:
    while True:
        _add(db, len(stored))
        stored.append(len(stored))


def _add(db: database.Database, number: int) -> None:
    with db.write(durable=True) as tx:
        images.add_many(tx, [records.NewImage(path=f"{number}.jpg")])


def test_a_read_only_workspace_is_named(template: Path, small_disk: Path) -> None:
    path = Path(shutil.copy(template, small_disk / "raum.db"))
    with closing(database.open(path)) as db:
        _add(db, 0)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with (
        pytest.raises(errors.CannotWrite, match=r"opened for writing|only be read"),
        closing(database.open(path)) as db,
    ):
        _add(db, 1)
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    with closing(database.open(path)) as db, db.read() as tx:
        assert list(images.known_paths(tx)) == ["0.jpg"]


def test_an_older_version_is_not_migrated_where_it_cannot_be_copied_first(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small_disk / "raum.db"
    with monkeypatch.context() as older:
        older.setattr(schema, "VERSIONS", ("0001",))
        database.open(path).close()
    ballast = fill(small_disk, leave=96 << 10)
    with pytest.raises(errors.BackupFailed, match="full"):
        database.open(path)
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
    ballast.unlink()
    database.open(path).close()
    assert backup.look(path).version == schema.VERSIONS[-1]
    assert backup.look(small_disk / "backups" / "before-0001.1.db").version == "0001"


def test_pages_that_do_not_hold_together_are_named_with_what_to_do(
    make_world: Callable[..., World], tmp_path: Path
) -> None:
    world = make_world(pool=2000)
    assert world.db.path is not None
    world.db.checkpoint()
    world.db.close()
    broken = bytearray(world.db.path.read_bytes())
    for page in range(8, len(broken) // 4096 - 1):
        broken[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    world.db.path.write_bytes(broken)
    with closing(database.Database(database.to_url(world.db.path))) as db, pytest.raises(
        errors.Damaged, match=r"launch\.py restore"
    ), db.read() as tx:  # fmt: skip
        images.all_ok(tx)
