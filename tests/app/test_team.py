"""A round and the embedding of a pool by two processes of torchrun, as by one; and what is said when one of them fails."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from app import errors, launching, settings, team
from model import half, together
from store import database, rounds
from tests.app import team_rounds
from tests.app.conftest import Workspace
from tests.app.test_learning import label

ROOT = Path(__file__).resolve().parents[2]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def test_two_processes_do_what_one_does_and_a_failure_is_told(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(half, "has_units", lambda device: False)  # as there: bfloat16 would hide what differs
    label(workspace, workspace.ids[:24] + workspace.held)
    home = workspace.settings.workspace
    places = [home / name for name in ("alone", "shared", "failing")]
    for place in places:
        place.mkdir()
        workspace.db.close()
        shutil.copy(home / "raum.db", place)
    (home / "pictures" / "44.png").write_bytes(b"none")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    alone = team_rounds.at(str(places[0]))
    team_rounds.round_(alone)
    embedded = team_rounds.embedded(alone)
    torch.set_num_threads(before)
    done = subprocess.run(
        [*TORCHRUN, "-m", "tests.app.team_rounds", str(places[1]), str(places[2])],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert "the disk is gone" in done.stderr, done.stderr[-3000:]
    shared = np.load(places[1] / "embedded.npy")
    assert len(embedded) == 59
    np.testing.assert_array_equal(shared[:, 0], embedded[:, 0])
    np.testing.assert_allclose(shared[:, 1:], embedded[:, 1:], atol=1e-4)
    rows = [np.load(place / "embeddings" / "round-1" / "embeddings.npy").astype(float) for place in places[:2]]
    np.testing.assert_allclose(rows[1], rows[0], atol=0.02)
    told = []
    for place in places:
        db = database.open(place / "raum.db")
        with db.read() as tx:
            told.append(rounds.get(tx, 1))
        db.close()
    assert [each.status for each in told] == ["published", "published", "failed"]
    assert told[1].metrics["loss_labelled"] == pytest.approx(told[0].metrics["loss_labelled"], rel=1e-3)
    assert told[2].error == "process 2 of 2: the disk is gone"


class Words(dict):
    """As much of torch's store as a complaint needs."""

    def set(self, key: str, value: str) -> None:
        self[key] = value.encode()

    def add(self, key: str, more: int) -> int:
        self[key] = self.get(key, 0) + more
        return self[key]

    def check(self, keys: list[str]) -> bool:
        return all(key in self for key in keys)


def test_only_the_end_of_another_process_is_told_as_one() -> None:
    store = Words()
    first, second = (team.Team(together.Together(rank, 2, store)) for rank in range(2))
    lost = RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer")
    assert first.why(ValueError("no")) == first.why(torch.OutOfMemoryError("full")) == ""
    assert "killed, or out of memory" in first.why(lost)
    first.asked_at = 1.0  # by torchrun, because another one ended, or because everybody was
    second.joined.say_asked()
    with pytest.raises(errors.PeerLost, match=team.ASKED):
        first.look()
    second.joined.complain(ValueError("a bad picture"))
    assert first.why(lost) == "process 2 of 2: a bad picture"
    assert team.Team().why(lost) == ""


def test_the_processes_get_the_verb_without_how_to_launch_it() -> None:
    given = ["round", "--launcher", "torchrun", "--workspace", "w", "--processes=2", "--child"]
    assert launching.without(given) == ["round", "--workspace", "w", "--child"]
    assert launching.environment_for({"A": "b"}, os.cpu_count() or 1) == {"A": "b", "OMP_NUM_THREADS": "1"}
    assert not launching.is_due(launching.NONE)


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("precision", "fp8", "one of auto, fp32, bf16, fp16"),
        ("launcher", "mpi", "one of none, torchrun"),
        ("batch_size", "many", "a number of images or"),
        ("batch_size", 0, "a number of images or"),
        ("accumulate", 0, "1 or more"),
        ("processes", -1, "0 or more"),
    ],
)
def test_settings_that_do_not_fit_are_refused(tmp_path: Path, name: str, value: object, why: str) -> None:
    with pytest.raises(errors.SettingsError, match=why):
        settings.load(tmp_path, **{name: value})


def test_a_batch_size_is_a_number_or_auto(tmp_path: Path) -> None:
    assert settings.load(tmp_path).batch_size == settings.load(tmp_path, batch_size="auto").batch_size == "auto"
    assert settings.load(tmp_path, batch_size=8).batch_size == settings.load(tmp_path, batch_size="8").batch_size == "8"
