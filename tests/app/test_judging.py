"""A round is shown unless the holdout's calibration half says, beyond chance, that it is worse than what is shown."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from app import judging, learning, overview, predictions, progress
from app.snapshot import Snapshot
from store import queue, rounds
from tests.app.conftest import Workspace
from tests.app.test_learning import held, label, refresh, run_round

CLASSES = [7, 9]


def told(right_N: np.ndarray) -> predictions.Predictions:
    """Of images 1, 2, ..., whose truth is class 7."""
    classes_N = np.where(right_N, 7, 9).astype(np.int32)
    nothing = np.zeros(len(right_N), np.float32)
    return predictions.Predictions(
        np.arange(1, len(right_N) + 1), classes_N, nothing + 0.9, nothing, {"class_ids": CLASSES}
    )


def seen(count: int, half: int = 1) -> Snapshot:
    ids = range(1, count + 1)
    return Snapshot(0, CLASSES, {}, dict.fromkeys(ids, half), dict.fromkeys(ids, 0), set(), [], None)


@pytest.mark.parametrize(
    ("lost", "won", "is_worse"),
    [(6, 0, True), (5, 0, False), (12, 3, True), (12, 4, False), (0, 9, False), (4, 4, False)],
    ids=["six of six", "five of five are chance", "12 to 3", "12 to 4 is chance", "better", "even"],
)
def test_only_what_chance_does_not_explain_keeps_a_round_back(
    tmp_path: Path, lost: int, won: int, is_worse: bool
) -> None:
    was, now = np.ones(40, bool), np.ones(40, bool)
    now[:lost] = False
    was[lost : lost + won] = False
    predictions.write(tmp_path, 3, told(was))
    why = judging.worse(tmp_path, told(now), seen(40))
    assert (why is not None) == is_worse
    if why:
        assert f"{40 - lost} of 40 right, {40 - won} with what is shown" in why


def test_few_answers_the_test_half_and_nothing_to_compare_with_keep_nothing_back(tmp_path: Path) -> None:
    bad, good = told(np.zeros(40, bool)), told(np.ones(40, bool))
    assert judging.worse(tmp_path, bad, seen(40)) is None  # nothing is shown yet
    predictions.write(tmp_path, 3, good)
    assert judging.worse(tmp_path, bad, seen(19)) is None
    assert judging.worse(tmp_path, bad, seen(40, half=2)) is None
    assert judging.worse(tmp_path, None, seen(40)) is None
    assert judging.worse(tmp_path, bad, seen(40))


def test_a_round_that_is_worse_is_kept_and_not_shown(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    label(workspace, workspace.ids[:15])
    before = refresh(workspace, held(workspace)).publication
    monkeypatch.setattr(learning.judging, "worse", lambda *_: "worse on the holdout: 3 of 40 right")
    assert run_round(workspace) == before
    with workspace.db.read() as tx:
        assert queue.current(tx).id == before
        ended = rounds.last(tx)
    assert (workspace.settings.workspace / ended.checkpoint).is_file()
    [row] = overview.history(workspace.db, workspace.settings)["rounds"]
    assert row["kept"]
    assert row["kept_because"] == "worse on the holdout: 3 of 40 right"
    said = progress.status(workspace.db, now=1.0)["last_failure"]
    assert said == f"round {ended.id} is worse on the holdout: 3 of 40 right"
    monkeypatch.undo()
    assert run_round(workspace) > before
    assert progress.status(workspace.db, now=1.0)["last_failure"] is None


def test_classes_are_compared_by_their_ids_not_their_order(tmp_path: Path) -> None:
    predictions.write(tmp_path, 3, told(np.ones(40, bool)))
    other = dataclasses.replace(seen(40), class_ids=[9, 7])  # the same classes in another order: all answers say 9
    assert judging.worse(tmp_path, told(np.ones(40, bool)), other) is None
