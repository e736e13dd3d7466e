"""Closer looks: at once where they are quick, beside and only in a pause where they would hold up answers."""

from concurrent import futures

from app import closer
from tests.app.conftest import Workspace
from tests.app.test_learning import held, label, refresh


def test_beside_answers_nothing_is_looked_at_and_in_a_pause_it_is(workspace: Workspace) -> None:
    label(workspace, workspace.ids[:12])
    opened = held(workspace)
    shown = refresh(workspace, opened).watermark
    with futures.ThreadPoolExecutor(1) as beside:
        made = closer.Closer(workspace.db, workspace.settings, beside)
        told = {"shown": shown, "caught_up": True, "last_answer": 100.0, "aside": True}
        assert not made.step(opened, now=100.0 + closer.PAUSE_ASIDE - 0.1, **told)
        assert made.running is None
        assert not made.step(opened, now=100.0 + closer.PAUSE_ASIDE, **told)
        assert made.running is not None
        assert made.running.result(timeout=30)  # the review's lists
        assert made.reviewer.watermark == shown


def test_where_it_is_quick_it_is_done_at_once(workspace: Workspace) -> None:
    label(workspace, workspace.ids[:12])
    opened = held(workspace)
    shown = refresh(workspace, opened).watermark
    with futures.ThreadPoolExecutor(1) as beside:
        made = closer.Closer(workspace.db, workspace.settings, beside)
        assert made.step(opened, shown=shown, caught_up=True, now=1000.0, last_answer=0.0, aside=False)
        assert made.running is None
