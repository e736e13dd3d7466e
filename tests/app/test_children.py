"""What the page commands is done in a child process, and the command says how that ended."""

import time

from app import children
from store import commands
from store import settings as stored
from tests.app.conftest import Workspace


def test_a_child_that_fails_answers_its_command_and_a_second_one_is_refused_meanwhile(workspace: Workspace) -> None:
    running = children.Children(workspace.db, workspace.settings)
    missing = str(workspace.settings.workspace / "nowhere")
    with workspace.db.write() as tx:
        first, second = (commands.ask(tx, "ingest", {"folder": missing}, 1.0) for _ in range(2))
    assert running.obey()
    assert running.obey()
    assert not running.obey()
    assert running.reading
    deadline = time.monotonic() + 60
    while running.reading and time.monotonic() < deadline:
        running.look_after_children()
        time.sleep(0.02)
    with workspace.db.read() as tx:
        said = [commands.get(tx, each).error for each in (first, second)]
    assert missing in said[0]
    assert "being read already" in said[1]


def test_pause_and_resume_are_kept_and_answered(workspace: Workspace) -> None:
    running = children.Children(workspace.db, workspace.settings)
    for kind, paused in (("pause", True), ("resume", False)):
        with workspace.db.write() as tx:
            asked = commands.ask(tx, kind, {}, 1.0)
        assert running.obey()
        with workspace.db.read() as tx:
            assert stored.get_setting(tx, "paused", None) is paused
            assert commands.get(tx, asked).error is None
