"""`move`: to a server and back, the setting at the end, and everything as it was where it cannot be done."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from app import backups, errors, jobs, labelling, moving, predictions, processes, restoring, settings, verifying
from app.exchange import formats
from store import database, images, labels, workers
from store import errors as store_errors
from tests import postgres
from tests.app.conftest import Workspace

NOW = 1_800_000_000.0


@pytest.fixture
def empty(postgresql: postgres.Server) -> Iterator[str]:
    """The URL of an empty database."""
    url = postgresql.new()
    yield url.render_as_string(hide_password=False)
    postgresql.drop(url)


@pytest.fixture
def own(workspace: Workspace) -> settings.Settings:
    """The workspace, with an answer, at rest."""
    said = {"uuid": "12345678-1234-5678-1234-567812345678", "image_id": 1, "kind": "label", "class_id": 1}
    labelling.submit(workspace.db, {**said, "annotator": "ada"}, now=5.0)
    workspace.db.close()
    (workspace.settings.workspace / "settings.toml").write_text('seed = 3\ndatabase = ""\n')
    return workspace.settings


def _answers(chosen: settings.Settings) -> int:
    with closing(database.open(chosen.database)) as db, db.read() as tx:
        assert images.counts(tx)["total"] == 60
        return labels.watermark(tx)


def test_a_workspace_goes_to_a_server_and_comes_back(own: settings.Settings, empty: str) -> None:
    told = moving.move(own, empty, now=NOW)
    assert "each compared" in told
    assert not own.file.exists()
    [kept] = backups.folder(own).glob("moved-*.db")
    assert str(kept) in told
    served = settings.load(own.workspace)
    assert isinstance(served.database, sa.URL)
    assert (served.seed, _answers(served)) == (3, 1)
    assert {found.kind for found in verifying.verify(served)} <= {"changed image"}  # the drawn ones say one byte
    back = moving.move(served, "sqlite", now=NOW)
    assert "each compared" in back
    home = settings.load(own.workspace)
    assert home.database == own.file
    assert (home.seed, _answers(home)) == (3, 1)
    assert (own.workspace / "settings.toml").read_text() == "seed = 3\n"
    with pytest.raises(store_errors.NotEmpty, match="name an empty database"):
        moving.move(home, empty, now=NOW)


def test_an_export_from_a_server_finds_what_lies_in_the_workspace(
    own: settings.Settings, empty: str, tmp_path: Path
) -> None:
    ids = np.arange(1, 61)
    said = predictions.Predictions(
        ids, np.ones(60, np.int32), np.full(60, 0.75, np.float32), np.zeros(60, np.float32), {"class_ids": [1, 2, 3]}
    )
    predictions.write(own.workspace, 7, said)
    moving.move(own, empty, now=NOW)
    with jobs.opened(settings.load(own.workspace)) as db:
        formats.export(db, tmp_path / "tasks.json", name="labelstudio")
    tasks = json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))
    assert {each["predictions"][0]["score"] for each in tasks} == {0.75}


def test_a_backup_of_a_server_is_a_file_that_restores_anywhere(
    own: settings.Settings, empty: str, tmp_path: Path
) -> None:
    moving.move(own, empty, now=NOW)
    served = settings.load(own.workspace)
    told = backups.by_hand(served, tmp_path / "out" / "copy.db", now=NOW)
    assert "1 answers about 60 images" in told
    assert "daily" in backups.daily(served, now=NOW)
    with closing(database.open(served.database)) as db:
        assert not backups.due(db, served, now=NOW + 90_000), "nothing has changed since the daily one"
    with pytest.raises(errors.BadRequest, match="restore into a new workspace"):
        restoring.restore(served, tmp_path / "out" / "copy.db", now=NOW)
    new = settings.load(tmp_path / "new")
    restoring.restore(new, tmp_path / "out" / "copy.db", now=NOW)
    assert _answers(new) == 1


def test_nothing_moves_while_somebody_works(own: settings.Settings, empty: str) -> None:
    with processes.only_one(own.workspace, "worker"), pytest.raises(errors.WorkspaceBusy, match="a worker already"):
        moving.move(own, empty, now=NOW)
    with closing(database.open(own.database)) as db, db.write() as tx:
        workers.beat(tx, "worker", os.getpid(), "ready", now=time.time())
    with pytest.raises(errors.WorkspaceBusy, match="at work"):
        moving.move(own, empty, now=NOW)
    assert _answers(own) == 1
    assert settings.load(own.workspace).database == own.file


def test_a_move_that_fails_leaves_both_as_they_were(
    own: settings.Settings, empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise store_errors.CopyDiffers("no")

    monkeypatch.setattr(moving.copying, "copy", broken)
    before = (own.workspace / "settings.toml").read_text()
    with pytest.raises(store_errors.CopyDiffers):
        moving.move(own, empty, now=NOW)
    with closing(database.Database(database.to_url(empty))) as db:
        assert database.version(db) is None, "tables were left behind"
    assert (own.workspace / "settings.toml").read_text() == before
    assert _answers(own) == 1


def test_the_command_line_names_a_database_and_never_its_password(
    own: settings.Settings, postgresql: postgres.Server, empty: str
) -> None:
    name = database.to_url(empty).database
    postgresql.sql(f"ALTER DATABASE {name} OWNER TO mallory")
    url = f"postgresql://mallory:{postgres.PASSWORD}@127.0.0.1:{postgresql.port}/{name}"

    def launch(*words: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "launch.py", *words, "--workspace", str(own.workspace)]
        return subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)

    done = launch("move", "--to", url)
    assert done.returncode == 0, done.stderr
    assert "put it into ~/.pgpass" in done.stdout
    assert postgres.PASSWORD not in done.stdout + done.stderr + (own.workspace / "settings.toml").read_text()
    shut = launch("user", "list")
    assert shut.returncode == 2
    assert "no password supplied" in shut.stderr
    assert len(shut.stderr.splitlines()) == 1
    opened = launch("user", "list", "--database", url)
    assert opened.returncode == 0, opened.stderr
    assert postgres.PASSWORD not in opened.stdout + opened.stderr + shut.stderr
