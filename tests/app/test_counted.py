"""Counts that tabs share: exact while counting is quick, held while it is slow."""

import pytest

from app import counted, progress
from store import classes
from tests.app.conftest import Workspace
from tests.app.test_learning import label


class Clock:
    """A time that passes only while somebody counts."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_quick_counts_are_exact_and_slow_ones_hold_for_twenty_times_as_long(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, takes, real = Clock(), {"s": 0.001}, counted.count

    def count(tx: counted.Connection) -> counted.Counts:
        clock.now += takes["s"]
        return real(tx)

    monkeypatch.setattr(counted, "count", count)
    held = counted.Counted(clock)

    def labelled() -> int:
        with workspace.db.read() as tx:
            return held.now(tx).labels["labelled"]

    label(workspace, workspace.ids[:1])
    assert labelled() == 1
    label(workspace, workspace.ids[1:2])
    assert labelled() == 2, "quick: counted anew"
    takes["s"] = 0.2
    label(workspace, workspace.ids[2:3])
    assert labelled() == 3
    label(workspace, workspace.ids[3:4])
    clock.now += 3.9
    assert labelled() == 3, "slow: held"
    clock.now += 0.2
    assert labelled() == 4
    label(workspace, workspace.ids[4:5])
    clock.now += 10.0
    with held.turn:
        assert labelled() == 4, "while somebody counts, others get what there was"
    assert labelled() == 5


def test_the_class_list_is_sent_once_and_again_when_it_changes(workspace: Workspace) -> None:
    label(workspace, workspace.ids[:2])
    first = progress.status(workspace.db, now=1.0)
    assert [each["class_id"] for each in first["classes"]] == workspace.class_ids
    counts = {each["class_id"]: each["count"] for each in first["classes"] if each["count"]}
    assert dict(first["class_counts"]) == counts
    again = progress.status(workspace.db, now=1.0, edition=first["edition"])
    assert again["classes"] is None
    assert again == first | {"classes": None}
    with workspace.db.write() as tx:
        classes.add(tx, "dotted", 1.0)
    told = progress.status(workspace.db, now=1.0, edition=first["edition"])
    assert [each["name"] for each in told["classes"]][-1] == "dotted"
    with workspace.db.read() as tx:
        assert classes.names(tx) == {each.id: each.name for each in classes.all_(tx)}
