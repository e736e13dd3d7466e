"""What a reader sees: states in words, and no number that too few answers made."""

from typing import Any

import pytest

from app import policy, progress
from store import commands, queue, rounds, workers
from store.records import NewPublication
from tests.app.conftest import Workspace
from tests.app.test_learning import label


def publish(workspace: Workspace, kind: str, round_id: int | None = None, **metrics: Any) -> None:
    new = NewPublication(kind=kind, watermark=0, created_at=1.0, round_id=round_id, metrics=metrics)
    with workspace.db.write() as tx:
        queue.publish(tx, new, [], based_on_round=round_id or 0)


def test_the_curve_thins_refreshes_keeps_rounds_and_hides_what_is_not_measured(workspace: Workspace) -> None:
    publish(workspace, "cold", labels=0, n=0)
    for count in range(1, 13):
        publish(workspace, "refresh", labels=count, n=6, accuracy=1.0, low=0.6, high=1.0, ece=0.1)
    with workspace.db.write() as tx:
        round_id = rounds.begin(tx, 0, {"labels": 12}, 0, 1.0)
    publish(workspace, "round", round_id, labels=12, n=25, accuracy=0.8, low=0.6, high=0.9, ece=0.1)
    points = progress.history(workspace.db)
    assert [(point["kind"], point["labels"]) for point in points] == [
        ("cold", 0), ("refresh", 1), ("refresh", 6), ("refresh", 11), ("round", 12)
    ]  # fmt: skip
    assert [point["accuracy"] for point in points] == [None, None, None, None, 0.8]


def test_status_tells_worker_ingest_and_failures(workspace: Workspace) -> None:
    with workspace.db.write() as tx:
        asked = commands.ask(tx, "ingest", {"folder": "/x"}, 1.0)
        workers.beat(tx, "worker", pid=1, phase="ready", message="fine", device="cpu; scan loop", now=100.0)
        failed = rounds.begin(tx, 0, {"labels": 1}, 0, 1.0)
        rounds.fail(tx, failed, "no memory", 2.0)
    told = progress.status(workspace.db, now=101.0)
    assert told["worker_alive"]
    assert (told["device"], told["kernel"]) == ("cpu", "loop")
    assert told["ingest"]["phase"] == "waiting"
    assert told["last_failure"] == f"round {failed} failed: no memory"
    with workspace.db.write() as tx:
        commands.finish(tx, asked, error="there is no folder /x", now=3.0)
    told = progress.status(workspace.db, now=200.0)
    assert not told["worker_alive"]
    assert told["ingest"]["error"] == "there is no folder /x"
    assert told["images"] == 60
    assert told["labels"]["holdout_open"] == 12


def test_a_round_is_due_by_labels_or_by_time_never_by_one_label(workspace: Workspace) -> None:
    chosen = workspace.settings

    def due(now: float = 10.0, failed_at: int = -1) -> bool:
        with workspace.db.read() as tx:
            return policy.round_is_due(tx, chosen, failed_at=failed_at, now=now)

    label(workspace, workspace.ids[:19])
    assert not due()
    label(workspace, workspace.ids[19:20])
    assert due()
    assert not due(failed_at=18)
    with workspace.db.write() as tx:
        round_id = rounds.begin(tx, 0, {"labels": 20}, 20, 5.0)
        rounds.publish(tx, round_id, {}, None, 6.0)
    label(workspace, workspace.ids[20:21])
    assert not due(now=1e9)
    label(workspace, workspace.ids[21:25])
    assert not due(now=7.0)
    assert due(now=6.0 + 60 * chosen.round_after_minutes)


@pytest.mark.parametrize(("known", "soon"), [(2, True), (3, False), (None, False)])
def test_a_class_that_the_last_round_did_not_know_makes_the_next_one_come_sooner(
    workspace: Workspace, known: int | None, soon: bool
) -> None:
    label(workspace, workspace.ids[:20])
    with workspace.db.write() as tx:
        told = {"labels": 0} if known is None else {"labels": 0, "classes": known}
        rounds.publish(tx, rounds.begin(tx, 0, told, 20, 5.0), {}, None, 6.0)
        assert policy.round_is_due(tx, workspace.settings, failed_at=-1, now=10.0) == soon


@pytest.mark.parametrize(("now", "soon"), [({"high": 0.6}, True), ({"high": 0.9}, False), ({}, False)])
def test_a_holdout_that_has_drifted_makes_the_next_round_come_sooner(
    workspace: Workspace, now: dict[str, float], soon: bool
) -> None:
    label(workspace, workspace.ids[:20])
    with workspace.db.write() as tx:
        rounds.publish(tx, rounds.begin(tx, 0, {"labels": 0}, 20, 5.0), {"accuracy": 0.8}, None, 6.0)
        queue.publish(tx, NewPublication(kind="refresh", watermark=20, metrics=now, created_at=7.0), [])
        assert policy.round_is_due(tx, workspace.settings, failed_at=-1, now=10.0) == soon
