"""Processes that die at bad moments and files that they leave half written; what happens then is in docs/reliability.md."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from app import children, errors, learning, leftovers, policy, pool, pool_files, processes, progress
from app import settings as chosen_by
from store import database, images, labels, queue, rounds
from tests.app.conftest import Workspace
from tests.app.test_worker import say, wait

ROOT = Path(__file__).resolve().parents[2]
MOMENTS = ("reading", "training", "embedding", "publishing", "clock 5", "clock 6")
pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals need POSIX")


def start(verb: str, workspace: Path, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, str(ROOT / "launch.py"), verb, "--workspace", str(workspace), *options]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def test_a_second_page_is_refused_with_the_pid_and_a_killed_one_stands_in_nobodys_way(tmp_path: Path) -> None:
    database.open(tmp_path / "raum.db").close()
    first = start("page", tmp_path, "--port", "0")
    try:
        wait(lambda: (tmp_path / "page.pid").is_file(), 60)
        second = start("page", tmp_path, "--port", "0")
        told = second.communicate(timeout=60)[1]
        assert second.returncode == 2
        assert told.splitlines() == [
            f"error: a page already serves {tmp_path} (pid {first.pid}): stop it, or choose another --workspace"
        ]
    finally:
        first.kill()
        first.communicate()
    assert (tmp_path / "page.pid").read_text(encoding="utf-8") == str(first.pid), "kill -9 leaves the pid behind"
    for role in ("page", "worker"):
        (tmp_path / f"{role}.pid").write_text(str(first.pid), encoding="utf-8")
        with processes.only_one(tmp_path, role):
            assert (tmp_path / f"{role}.pid").read_text(encoding="utf-8") == str(os.getpid())
            with pytest.raises(errors.WorkspaceBusy, match=f"{role} already serves .*pid {os.getpid()}"):
                processes.only_one(tmp_path, role).__enter__()


def test_a_second_serve_on_another_port_is_refused_with_the_pid_and_the_first_goes_on(tmp_path: Path) -> None:
    database.open(tmp_path / "raum.db").close()
    first = start("page", tmp_path, "--port", "0")
    try:
        wait(lambda: (tmp_path / "page.pid").is_file(), 60)
        second = start("serve", tmp_path, "--port", "0")
        told = second.communicate(timeout=60)[1]
        assert second.returncode == 2
        assert f"error: a page already serves {tmp_path} (pid {first.pid})" in told
        assert first.poll() is None
    finally:
        first.kill()
        first.communicate()


def train_once(workspace: Workspace) -> int:
    """Label enough, refresh once, and run a round; returns its publication."""
    for image_id in workspace.ids[:9]:
        say(workspace.db, image_id, workspace.truth[image_id])
    return learning.round_(workspace.db, workspace.settings, clock=time.time, progress=lambda *_: None)


def reopened(workspace: Workspace) -> pool.Pool:
    with workspace.db.read() as tx:
        current, known = queue.current(tx), images.all_ok(tx)
        earlier = [each.checkpoint for each in reversed(rounds.all_(tx)) if each.checkpoint]
    return pool.open_(workspace.settings, current, known, earlier)


@pytest.mark.timeout(200)
def test_sigterm_in_any_phase_of_a_round_leaves_the_old_publication_in_use(
    workspace: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shown = train_once(workspace)
    before = reopened(workspace)
    workspace.db.checkpoint()
    copies = {moment: tmp_path_factory.mktemp("dying") / "workspace" for moment in MOMENTS}
    for copy in copies.values():
        shutil.copytree(workspace.settings.workspace, copy)
    arguments = [f"{moment}={copy}" for moment, copy in copies.items()]
    done = subprocess.run(
        [sys.executable, "-m", "tests.app.dying_round", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [f"{moment}\t{-signal.SIGTERM}" for moment in MOMENTS], done.stderr
    for moment, copy in copies.items():
        db = database.open(copy / "raum.db")
        with db.write() as tx:
            assert [each.status for each in rounds.all_(tx)] == ["published", "running"], moment
            rounds.fail_stale(tx, 1.0, alive=lambda pid: False, how=processes.ending(-signal.SIGTERM))
            assert queue.current(tx).id == shown, moment
            assert queue.current(tx).round_id == 1
            assert "ended by signal 15" in rounds.all_(tx)[-1].error
            assert labels.rebuild(tx) == 0
        again = Workspace(chosen_by.load(copy, image_size=32, steps=3), db, [], [], [], {})
        found = reopened(again)
        assert found.note == ""
        np.testing.assert_array_equal(found.embeddings_ND, before.embeddings_ND)
        leftovers.remove(copy)
        assert not leftovers.found(copy)
        refreshed = learning.refresh(db, again.settings, found, now=time.time(), rng=np.random.default_rng(0))
        assert refreshed.publication == shown + 1
        db.close()


@pytest.mark.parametrize(
    "name", ["checkpoints/.round-9.safetensors.0f.tmp", "embeddings/round-9.tmp/ids.npy", "overlays/new-7/1.png"]
)
def test_what_was_left_half_written_is_removed_by_the_next_worker(tmp_path: Path, name: str) -> None:
    kept = tmp_path / "checkpoints" / "round-8.safetensors"
    for path in (kept, tmp_path / name):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    assert leftovers.remove(tmp_path) == 1
    assert not (tmp_path / name).exists()
    assert kept.exists()


def test_a_round_killed_for_memory_is_told_and_the_worker_goes_on(workspace: Workspace) -> None:
    settings = dataclasses.replace(workspace.settings, round_min_labels=8)
    for image_id in workspace.ids[:9]:
        last = say(workspace.db, image_id, workspace.truth[image_id])
    worker = children.Children(workspace.db, settings)
    try:
        assert worker.start_round_when_due()
        process = worker.running["round"].process
        with workspace.db.write() as tx:  # the child would say so itself, once torch is loaded
            begun = rounds.begin(tx, 0, {"labels": 9}, last, time.time(), pid=process.pid)
            rounds.progress(tx, begun, "training", 0.5)
        process.kill()
        process.wait()
        worker.look_after_children()
        assert progress.status(workspace.db, now=time.time())["last_failure"] == (
            "round 1 failed: it was ended by signal 9, as the system does when memory runs out, during 'training'"
        )
        assert worker.running == {}
        assert not worker.start_round_when_due(), "the same labels would run out of memory again"
        for image_id in workspace.ids[9 : 9 + policy.FEW_LABELS]:
            say(workspace.db, image_id, workspace.truth[image_id])
        assert worker.start_round_when_due()
    finally:
        worker.end()
        for child in worker.running.values():
            child.process.wait(20)


def test_a_half_written_checkpoint_is_not_taken_up_and_learning_goes_on_from_the_one_before(
    workspace: Workspace,
) -> None:
    train_once(workspace)
    shown = learning.round_(workspace.db, workspace.settings, clock=time.time, progress=lambda *_: None)
    folder = workspace.settings.workspace / "checkpoints"
    cut(folder / "round-2.safetensors")
    found = reopened(workspace)
    assert (found.asked, found.checkpoint) == ("checkpoints/round-2.safetensors", "checkpoints/round-1.safetensors")
    assert "round-2.safetensors" in found.note
    assert "learning goes on from checkpoints/round-1.safetensors" in found.note
    cut(folder / "round-1.safetensors")
    found = reopened(workspace)
    assert found.checkpoint is None
    assert found.note.endswith("learning goes on from the untrained network")
    with workspace.db.read() as tx:
        known = images.all_ok(tx)
    pool.extend(found, [image for image in known if image.id > found.last_id], seconds=60)
    refreshed = learning.refresh(workspace.db, workspace.settings, found, now=time.time(), rng=np.random.default_rng(0))
    assert refreshed.publication == shown + 1, "the damaged round's publication is replaced"
    assert refreshed.message.endswith(found.note)


@pytest.mark.parametrize("name", ["image_ids.npy", "embeddings.npy", "meta.json"])
@pytest.mark.parametrize("spoil", ["cut", "empty"])
def test_a_half_written_embedding_file_is_not_taken_up(workspace: Workspace, name: str, spoil: str) -> None:
    held = reopened(workspace)
    with workspace.db.read() as tx:
        known = images.all_ok(tx)
    pool.extend(held, known[:8], seconds=0.0)
    pool_files.save(held)
    assert len(reopened(workspace).image_ids) == 8
    file = workspace.settings.workspace / held.folder / name
    cut(file) if spoil == "cut" else file.write_bytes(b"")
    found = reopened(workspace)
    assert (len(found.image_ids), found.last_id) == (0, 0), "every image is looked at again"


def cut(file: Path) -> None:
    """Leave the first two thirds."""
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])


@pytest.mark.parametrize("verb", ["page", "worker"])
def test_page_and_worker_end_also_when_their_supervisor_died_before_they_looked(verb: str, tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    told = {**os.environ, processes.PARENT: str(gone.pid)}
    started = [sys.executable, str(processes.LAUNCH), verb, "--workspace", str(tmp_path)]
    done = subprocess.run([*started, *(["--port", "0"] if verb == "page" else [])], env=told, timeout=60)
    assert done.returncode in (0, -signal.SIGTERM)


def test_in_the_middle_of_a_long_step_a_process_ends_with_who_started_it() -> None:
    step = "import time; from app import processes; processes.end_with(processes.parent()); "
    step += "print('on', flush=True); time.sleep(60)"
    starter = (
        "import os, subprocess, sys; from app import processes; "
        f"child = subprocess.Popen([sys.executable, '-c', {step!r}], env=processes.told_of_us(os.environ)); "
        "print(child.pid, flush=True); child.wait()"
    )
    with subprocess.Popen([sys.executable, "-c", starter], cwd=ROOT, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        pid = int(first.stdout.readline())
        assert first.stdout.readline() == "on\n"
        first.kill()
        wait(lambda: not _runs(pid), 20)


def test_a_signal_that_comes_inside_a_destructor_is_not_forgotten() -> None:
    script = """
import os, signal
from app import processes
ending = processes.Ending()
class Dying:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        [None for _ in range(1000)]
Dying()
print(ending.asked)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "Exception ignored" in done.stderr, "Python dropped the interrupt"
    assert done.stdout == "True\n"


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
