"""Restoring: what was there is kept, a bad backup changes nothing, and nothing of another past is mistaken for today's."""

import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from app import backups, errors, processes, restoring, settings
from store import backup, database, images, labels, queue, schema
from store import errors as store_errors
from store.records import NewImage
from tests.app.conftest import Workspace
from tests.app.test_backups import NOW, publish, say

ROOT = Path(__file__).resolve().parents[2]


def backed_up(workspace: Workspace, tmp_path: Path) -> Path:
    """A backup with two answers; the workspace has three."""
    say(workspace, 0)
    say(workspace, 1)
    target = tmp_path / "elsewhere" / "two.db"
    backups.by_hand(workspace.settings, target, now=NOW)
    say(workspace, 2)
    workspace.db.close()
    return target


def settled(workspace: Workspace) -> list[int]:
    with closing(database.open(workspace.settings.database)) as db, db.read() as tx:
        return [each.image_id for each in labels.settled(tx)]


def test_it_comes_back_and_what_was_there_is_kept_and_comes_back_too(workspace: Workspace, tmp_path: Path) -> None:
    source = backed_up(workspace, tmp_path)
    place = workspace.settings.workspace
    for name in ("predictions/9", "overlays/9", "cache/32", "thumbnails/0"):
        (place / name).mkdir(parents=True)
    told = restoring.restore(workspace.settings, source, now=NOW)
    kept = place / "backups" / "replaced-2026-11-25-120000.db"
    assert told == (
        f"restored 2 answers about 60 images (up to event 2) from {source}; what was there is kept as {kept}, with 1 later "
        f"answers and skips"
    )
    assert settled(workspace) == workspace.ids[:2]
    assert [(place / name).exists() for name in ("predictions", "overlays", "cache", "thumbnails")] == [
        False, False, True, True,
    ]  # fmt: skip
    restoring.restore(workspace.settings, kept, now=NOW + 1)
    assert settled(workspace) == workspace.ids[:3]
    assert backup.look(kept).answers == 3
    assert not list(place.glob("raum.db.*"))


def test_pixels_and_embeddings_of_other_images_under_the_same_ids_are_forgotten(
    workspace: Workspace, tmp_path: Path
) -> None:
    say(workspace, 0)
    backups.by_hand(workspace.settings, tmp_path / "out" / "one.db", now=NOW)
    with workspace.db.write() as tx:
        images.add_many(tx, [NewImage(path="/later.jpg")])
    workspace.db.close()
    for name in ("cache", "embeddings", "thumbnails"):
        (workspace.settings.workspace / name).mkdir()
    told = restoring.restore(workspace.settings, tmp_path / "out" / "one.db", now=NOW)
    assert "made anew" in told
    assert not any((workspace.settings.workspace / name).exists() for name in ("cache", "embeddings", "thumbnails"))


@pytest.mark.parametrize("role", ["page", "worker"])
def test_it_is_refused_by_name_while_a_page_or_worker_runs(workspace: Workspace, tmp_path: Path, role: str) -> None:
    source = backed_up(workspace, tmp_path)
    held = (
        "import sys, time; from pathlib import Path; from app import processes\n"
        f"with processes.only_one(Path(sys.argv[1]), {role!r}): print('held', flush=True); time.sleep(120)"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", held, str(workspace.settings.workspace)], cwd=ROOT, stdout=subprocess.PIPE
    )
    try:
        assert running.stdout is not None
        assert running.stdout.readline() == b"held\n"
        with pytest.raises(errors.WorkspaceBusy, match=rf"a {role} already serves .*\(pid {running.pid}\)"):
            restoring.restore(workspace.settings, source, now=NOW)
    finally:
        running.kill()
        running.communicate()
    assert settled(workspace) == workspace.ids[:3]


def test_it_is_refused_while_another_program_has_the_database_open(workspace: Workspace, tmp_path: Path) -> None:
    source = backed_up(workspace, tmp_path)
    with closing(database.open(workspace.settings.database)) as ingesting, ingesting.read() as tx:
        assert labels.watermark(tx) == 3
        with pytest.raises(errors.WorkspaceBusy, match="another program"):
            restoring.restore(workspace.settings, source, now=NOW)
    assert settled(workspace) == workspace.ids[:3]
    assert not (workspace.settings.workspace / "backups").exists()


def test_a_bad_backup_changes_nothing(workspace: Workspace, tmp_path: Path) -> None:
    source = backed_up(workspace, tmp_path)
    newer, broken, other = (source.with_name(name) for name in ("newer.db", "broken.db", "other.db"))
    shutil.copy(source, newer)
    with closing(sqlite3.connect(newer)) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
        raw.commit()
    content = bytearray(source.read_bytes())
    content[8192:-4096] = b"\xff" * len(content[8192:-4096])
    broken.write_bytes(content)
    other.write_text("a text, no database" * 100)
    for bad, kind, said in (
        (newer, store_errors.NewerDatabase, "9999"),
        (broken, store_errors.Damaged, "damaged"),
        (other, store_errors.NotADatabase, "not a SQLite file"),
        (tmp_path / "nowhere.db", store_errors.NotADatabase, "no backup"),
    ):
        with pytest.raises(kind, match=said):
            restoring.restore(workspace.settings, bad, now=NOW)
    assert settled(workspace) == workspace.ids[:3]
    assert not (workspace.settings.workspace / "backups").exists()
    assert not list(workspace.settings.workspace.glob("raum.db.*"))


def test_a_damaged_database_is_kept_as_it_is_and_replaced(workspace: Workspace, tmp_path: Path) -> None:
    source = backed_up(workspace, tmp_path)
    workspace.settings.database.write_bytes(b"nonsense" * 1000)
    told = restoring.restore(workspace.settings, source, now=NOW)
    (kept,) = (workspace.settings.workspace / "backups").iterdir()
    assert str(kept) in told
    assert kept.read_bytes() == b"nonsense" * 1000
    assert settled(workspace) == workspace.ids[:2]


def test_an_older_backup_is_migrated_and_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "old.db"
    with monkeypatch.context() as older:
        older.setattr(schema, "VERSIONS", ("0001",))
        database.open(source).close()
    chosen = settings.load(tmp_path / "fresh")
    restoring.restore(chosen, source, now=NOW)
    assert backup.look(chosen.database).version == schema.VERSIONS[-1]
    assert backup.look(source).version == "0001"


def test_a_folder_brings_the_network_and_a_file_without_it_starts_over(workspace: Workspace, tmp_path: Path) -> None:
    (workspace.settings.workspace / "settings.toml").write_text("seed = 3\n")
    publish(workspace)
    backups.by_hand(workspace.settings, tmp_path / "out", now=NOW)
    backups.by_hand(workspace.settings, tmp_path / "alone" / "raum.db", now=NOW)
    (folder,) = (tmp_path / "out").iterdir()
    with_all = settings.load(tmp_path / "second")
    told = restoring.restore(with_all, folder, now=NOW)
    for name in ("checkpoints/round-1.safetensors", "embeddings/round-1", "settings.toml"):
        assert f"{name} came with it" in told
        assert (with_all.workspace / name).exists()
    with closing(database.open(with_all.database)) as db, db.read() as tx:
        assert queue.current(tx).checkpoint == "checkpoints/round-1.safetensors"
    alone = settings.load(tmp_path / "third")
    told = restoring.restore(alone, tmp_path / "alone" / "raum.db", now=NOW)
    assert "checkpoints/round-1.safetensors is not there, so the next round trains a new one" in told
    with closing(database.open(alone.database)) as db, db.read() as tx:
        assert queue.current(tx).checkpoint is None
        assert queue.current(tx).round_id is None


def test_the_verbs_of_the_command_line_are_a_round_trip(workspace: Workspace, tmp_path: Path) -> None:
    say(workspace, 0)
    place = workspace.settings.workspace
    launch = [sys.executable, str(ROOT / "launch.py")]
    made = subprocess.run([*launch, "backup", "--workspace", str(place)], capture_output=True, text=True, check=True)
    say(workspace, 1)
    workspace.db.close()
    command = re.search(r"to restore: python launch\.py (.*)$", made.stdout.strip())
    assert command is not None
    with processes.only_one(place, "page"):
        refused = subprocess.run([*launch, *command[1].split()], capture_output=True, text=True)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: a page already serves")
    subprocess.run([*launch, *command[1].split()], capture_output=True, text=True, check=True)
    assert settled(workspace) == workspace.ids[:1]
