"""Several workers on one server: one learns, the others stand by, and one of them takes over whatever ends the first."""

import dataclasses
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app import errors, settings, standby
from store import database, duties, workers
from tests import postgres

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def shared(postgresql: postgres.Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[settings.Settings]:
    """A workspace whose database is on a server, on which people look every 20 ms."""
    monkeypatch.setattr(standby, "LOOK_SECONDS", 0.02)
    url = postgresql.new("template")
    yield dataclasses.replace(settings.load(tmp_path), database=url)
    postgresql.drop(url)


def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


class Waiting:
    """A second worker, in a thread."""

    def __init__(self, shared: settings.Settings) -> None:
        self.learns, self.end = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._run, args=(shared,), daemon=True)
        self.thread.start()

    def _run(self, shared: settings.Settings) -> None:
        with standby.learning(shared):
            self.learns.set()
            self.end.wait(20)

    def stop(self) -> None:
        self.end.set()
        self.thread.join(20)
        assert not self.thread.is_alive()


def _standing_by(shared: settings.Settings) -> list[str]:
    with closing(database.open(shared.database)) as db, db.read() as tx:
        return [each.phase for each in workers.workers(tx) if each.name.startswith("standby")]


def test_one_learns_and_the_next_stands_by_until_it_ends(shared: settings.Settings) -> None:
    with standby.learning(shared) as duty:
        second = Waiting(shared)
        until(lambda: _standing_by(shared) == ["standing by"])
        assert not second.learns.is_set()
        assert not duty.lost(time.monotonic())
        with pytest.raises(errors.WorkspaceBusy, match="another worker learns"), standby.learning(shared, wait=False):
            pytest.fail("never reached")
    assert second.learns.wait(20)
    assert _standing_by(shared) == []
    second.stop()


def test_whoever_was_cut_off_learns_no_more_once_another_does(
    shared: settings.Settings, postgresql: postgres.Server
) -> None:
    holders = "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
    holders += f"WHERE l.locktype = 'advisory' AND l.objid = {duties.WORKER} AND l.granted AND d.datname = '{{}}'"
    cut = holders.format(shared.database.database)  # type: ignore[union-attr]
    with standby.learning(shared) as duty:
        assert len(postgresql.sql(cut)) == 1
        assert not duty.lost(100.0), "nobody else was there: the duty is taken again"
        second = Waiting(shared)
        until(lambda: _standing_by(shared) == ["standing by"])
        assert len(postgresql.sql(cut)) == 1
        assert second.learns.wait(20)
        assert duty.lost(200.0)
    second.stop()


def test_a_killed_worker_is_followed_at_once(shared: settings.Settings) -> None:
    place = shared.database.render_as_string(hide_password=False)  # type: ignore[union-attr]
    code = (
        "import time; from store import database, duties; duty = duties.Duty(database.open({!r}), duties.WORKER);"
        "print(duty.take(), flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code.format(place)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "True\n"
        second = Waiting(shared)
        until(lambda: _standing_by(shared) == ["standing by"])
        with closing(database.open(shared.database)) as db, db.read() as tx:
            assert [name.split("@")[0] for name in duties.others(tx)] == [f"raum {first.pid}"]
        first.kill()
    assert second.learns.wait(20)
    second.stop()


def test_in_a_file_the_second_is_refused(tmp_path: Path) -> None:
    chosen = settings.load(tmp_path)
    with standby.learning(chosen) as duty:
        assert not duty.lost(0.0)
        with pytest.raises(errors.WorkspaceBusy, match="already serves"), standby.learning(chosen):
            pytest.fail("never reached")
