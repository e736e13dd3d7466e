"""Backups of a workspace: by hand, daily with rotation, and one that fails stops nobody."""

import datetime
import time
from pathlib import Path

import pytest

from app import backups, children, errors, progress, settings
from store import annotators, backup, database, labels, queue
from store import errors as store_errors
from store import settings as stored
from store.records import NewEvent, NewPublication
from tests.app.conftest import Workspace

DAY = 86_400.0
NOW = datetime.datetime(2026, 11, 25, 12, tzinfo=datetime.timezone.utc).timestamp()


def say(workspace: Workspace, at: int, now: float = NOW) -> None:
    image_id = workspace.ids[at]
    with workspace.db.write(durable=True) as tx:
        person = annotators.ensure(tx, "ann", now).id
        event = NewEvent(
            uuid=f"u{at}", image_id=image_id, annotator_id=person, kind="label", class_id=workspace.truth[image_id]
        )
        labels.append(tx, event, now)


def publish(workspace: Workspace, *, checkpoint: str = "checkpoints/round-1.safetensors") -> None:
    place = workspace.settings.workspace
    for name in (checkpoint, "embeddings/round-1/meta.json"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(f"this is {name}")
    new = NewPublication(
        kind="round", watermark=0, created_at=NOW, checkpoint=checkpoint, embeddings="embeddings/round-1"
    )
    with workspace.db.write() as tx:
        queue.publish(tx, new, [])


def test_by_hand_it_says_what_is_in_it_what_is_not_and_how_to_restore(workspace: Workspace) -> None:
    for at in range(3):
        say(workspace, at)
    told = backups.by_hand(workspace.settings, None, now=NOW)
    made = workspace.settings.workspace / "backups" / "raum-2026-11-25-120000.db"
    assert told == (
        f"backed up 3 answers about 60 images to {made}, checked; not in it: the settings, the trained network, the image "
        f"files; to restore: python launch.py restore {made} --workspace {workspace.settings.workspace}"
    )
    assert backup.look(made).answers == 3
    with pytest.raises(store_errors.BackupFailed, match="there already"):
        backups.by_hand(workspace.settings, made, now=NOW)
    with pytest.raises(errors.BadRequest, match="no workspace"):
        backups.by_hand(settings.load(workspace.settings.workspace / "nowhere"), None, now=NOW)


def test_a_folder_takes_all_that_is_needed_and_names_what_is_not_there(workspace: Workspace, tmp_path: Path) -> None:
    (workspace.settings.workspace / "settings.toml").write_text("seed = 3\n")
    publish(workspace)
    target = tmp_path / "out"
    told = backups.by_hand(workspace.settings, target, now=NOW)
    (made,) = target.iterdir()
    assert "not in it: the image files;" in told
    assert sorted(str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()) == [
        "checkpoints/round-1.safetensors", "embeddings/round-1/meta.json", "raum.db", "settings.toml",
    ]  # fmt: skip
    (workspace.settings.workspace / "checkpoints" / "round-1.safetensors").unlink()
    told = backups.by_hand(workspace.settings, target, now=NOW + 1)
    assert "not in it: checkpoints/round-1.safetensors, the image files;" in told
    assert len(list(target.iterdir())) == 2


def test_the_first_comes_an_hour_after_the_first_answer_then_one_a_day_when_something_changed(
    workspace: Workspace,
) -> None:
    db, chosen = workspace.db, workspace.settings
    assert not backups.due(db, chosen, now=NOW)
    say(workspace, 0)
    assert not backups.due(db, chosen, now=NOW + 3599)
    assert backups.due(db, chosen, now=NOW + 3601)
    assert "1 answers" in backups.daily(chosen, now=NOW + 3601)
    say(workspace, 1)
    assert not backups.due(db, chosen, now=NOW + 7200)
    assert backups.due(db, chosen, now=NOW + DAY)
    backups.daily(chosen, now=NOW + DAY)
    assert not backups.due(db, chosen, now=NOW + 3 * DAY)
    say(workspace, 2)
    assert backups.due(db, chosen, now=NOW + 3 * DAY)
    assert not backups.due(db, chosen, now=NOW), "the clock was set back: that day has its backup"
    none = settings.load(chosen.workspace, backup_days=0, backup_weeks=0)
    assert not backups.due(db, none, now=NOW + 3 * DAY)
    with pytest.raises(errors.SettingsError, match="backup_days"):
        settings.load(chosen.workspace, backup_days=-1)


def test_rotation_keeps_the_last_days_and_the_last_of_each_week(workspace: Workspace) -> None:
    first = datetime.date(2026, 1, 1)
    made = [first + datetime.timedelta(days=at) for at in range(60)]  # to Sunday, the first of March
    kept = sorted(backups.kept(made, days=7, weeks=4))
    assert [f"{day:%m-%d}" for day in kept] == [
        "02-08", "02-15", "02-22", "02-23", "02-24", "02-25", "02-26", "02-27", "02-28", "03-01",
    ]  # fmt: skip
    assert backups.kept(made, days=0, weeks=1) == {made[-1]}
    assert backups.kept(made, days=2, weeks=0) == {made[-1], made[-2]}
    assert backups.kept([], days=7, weeks=4) == set()


def test_rotation_removes_daily_ones_only(workspace: Workspace) -> None:
    chosen = settings.load(workspace.settings.workspace, backup_days=2, backup_weeks=0)
    backups.by_hand(chosen, None, now=NOW)
    (chosen.workspace / "backups" / "daily-mine.db").write_text("somebody's own")
    for day in range(4):
        told = backups.daily(chosen, now=NOW + day * DAY)
    assert "1 older ones were removed" in told
    assert sorted(path.name for path in (chosen.workspace / "backups").iterdir()) == [
        "daily-2026-11-27.db", "daily-2026-11-28.db", "daily-mine.db", "raum-2026-11-25-120000.db",
    ]  # fmt: skip


def test_the_worker_backs_up_in_a_child_and_a_failure_is_told_and_stops_nobody(workspace: Workspace) -> None:
    say(workspace, 0, now=time.time() - 7200)
    blocked = workspace.settings.workspace / "backups"
    blocked.write_text("a file where the folder should be")
    running = children.Children(workspace.db, workspace.settings)
    _backed_up(running)
    said = progress.status(workspace.db, now=time.time())["last_failure"]
    assert said.startswith("no backup today: error: no backup of ")
    say(workspace, 1)
    blocked.unlink()
    running.next_look_at_backups = 0.0
    _backed_up(running)
    assert progress.status(workspace.db, now=time.time())["last_failure"] is None
    (made,) = blocked.iterdir()
    assert backup.look(made).answers == 2
    running.next_look_at_backups = 0.0
    assert not running.start_backup_when_due()
    with workspace.db.read() as tx:
        assert stored.get_setting(tx, backups.FAILED, "never") is None


def _backed_up(running: children.Children) -> None:
    assert running.start_backup_when_due()
    assert not running.start_backup_when_due()
    deadline = time.monotonic() + 120
    while "backup" in running.running and time.monotonic() < deadline:
        running.look_after_children()
        time.sleep(0.02)
    assert "backup" not in running.running


def test_a_copy_stays_readable_by_the_program(workspace: Workspace, tmp_path: Path) -> None:
    say(workspace, 0)
    backups.by_hand(workspace.settings, tmp_path / "copy.db", now=NOW)
    db = database.open(tmp_path / "copy.db")
    with db.write() as tx:
        assert labels.rebuild(tx) == 0
        assert len(labels.settled(tx)) == 1
    db.close()
