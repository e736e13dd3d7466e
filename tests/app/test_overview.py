"""What those who lead the work see and command: pace, rounds and going back to one, confusions, the queue, the log."""

import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from app import children, overview, predictions, worker
from store import annotators, commands, labels, queue, rounds
from store.records import NewEvent
from tests.app import test_learning as learn
from tests.app.conftest import Workspace

HOUR = 3600.0


def answer(
    workspace: Workspace, name: str, image_id: int, *, at: float, ms: float | None = None, source: str = "page"
) -> None:
    with workspace.db.write() as tx:
        person = annotators.ensure(tx, name, at)
        event = NewEvent(
            uuid=f"{name}/{image_id}", image_id=image_id, annotator_id=person.id, kind="label",
            class_id=workspace.truth[image_id], shown_ms=ms, source=source,
        )  # fmt: skip
        labels.append(tx, event, at)


def test_answers_are_counted_by_person_and_hour_and_an_import_is_no_pace(workspace: Workspace) -> None:
    now = 100 * HOUR + 60.0
    for at, image_id in enumerate(workspace.ids[:5]):
        answer(workspace, "ann", image_id, at=now - 90.0 if at < 3 else now - 2 * HOUR, ms=1000.0 * (at + 1))
    answer(workspace, "ben", workspace.ids[6], at=now - 20 * HOUR)
    answer(workspace, "import", workspace.ids[7], at=now, source="import")
    told = overview.people(workspace.db, now=now)
    assert told["from"] == 89 * HOUR
    hours = [0] * 8 + [0, 2, 3, 0]
    assert told["people"] == [{"name": "ann", "hours": hours, "last_hour": 3, "seconds": 3.0}]


def test_a_confusion_names_the_images_and_looks_at_the_holdout_alone(workspace: Workspace) -> None:
    for image_id in [*workspace.held[:6], *workspace.ids[:6]]:
        answer(workspace, "ann", image_id, at=1.0)
    ids = sorted(workspace.ids + workspace.held)
    wrong = workspace.held[0]
    other = next(each for each in workspace.class_ids if each != workspace.truth[wrong])
    top = [other if i == wrong else workspace.truth[i] for i in ids]
    meta = {"class_ids": workspace.class_ids, "labels": 12, "watermark": 12, "checkpoint": None}
    ones = np.ones(len(ids), np.float32)
    predictions.write(
        workspace.settings.workspace,
        3,
        predictions.Predictions(np.array(ids), np.array(top, np.int32), ones, 0 * ones, meta),
    )
    told = overview.confusion(workspace.db, workspace.settings.workspace)
    assert (told["publication"], told["answers"]) == (3, 6)
    off = [each for each in told["cells"] if each["truth"] != each["said"]]
    assert off == [{"truth": workspace.truth[wrong], "said": other, "count": 1, "image_ids": [wrong]}]
    assert sum(each["count"] for each in told["cells"]) == 6


def test_before_any_prediction_there_is_no_confusion_no_log_and_no_round(workspace: Workspace) -> None:
    place = workspace.settings.workspace
    assert overview.confusion(workspace.db, place)["publication"] is None
    assert overview.log_tail(place / "logs") == []
    assert overview.history(workspace.db, workspace.settings) == {"shown": None, "rounds": []}
    assert overview.queue_health(workspace.db, now=1.0)["publication"] is None


def test_the_log_is_told_from_its_end(workspace: Workspace) -> None:
    folder = workspace.settings.log_dir
    folder.mkdir(parents=True)
    (folder / "worker.log").write_text("".join(f"line {n}\n" for n in range(5000)), encoding="utf-8")
    lines = overview.log_tail(folder)
    assert (len(lines), lines[-1]) == (100, "line 4999")


@pytest.fixture
def two_rounds(workspace: Workspace) -> Iterator[worker.Worker]:
    """A worker over a workspace that has seen two rounds."""
    learn.label(workspace, workspace.ids[:12] + workspace.held[:6])
    learn.run_round(workspace)
    learn.label(workspace, workspace.ids[12:18])
    learn.run_round(workspace)
    made = worker.Worker(workspace.settings)
    yield made
    made.end()


def ask(workspace: Workspace, kind: str, payload: dict[str, object] | None = None) -> int:
    with workspace.db.write() as tx:
        return commands.ask(tx, kind, payload or {}, time.time())


def shown(workspace: Workspace) -> tuple[int | None, str | None]:
    with workspace.db.read() as tx:
        current = queue.current(tx)
    assert current is not None
    return current.round_id, current.checkpoint


def test_one_goes_back_to_an_earlier_round_and_forth_and_the_next_round_takes_over(
    workspace: Workspace, two_rounds: worker.Worker
) -> None:
    said = overview.history(workspace.db, workspace.settings)
    assert (said["shown"], [each["round"] for each in said["rounds"]]) == (2, [2, 1])
    assert all(each["kept"] and each["accuracy"] is not None for each in said["rounds"])
    ask(workspace, "roll_back", {"round": 1})
    assert two_rounds.children.obey()
    assert shown(workspace) == (1, "checkpoints/round-1.safetensors")
    assert not two_rounds._adopt()
    learn.label(workspace, workspace.ids[18:24])
    two_rounds._publish(two_rounds.pool)
    assert shown(workspace)[0] == 1
    ask(workspace, "roll_back", {"round": 2})
    assert two_rounds.children.obey()
    assert shown(workspace)[0] == 2
    ask(workspace, "roll_back", {"round": 1})
    assert two_rounds.children.obey()
    learn.run_round(workspace)
    assert two_rounds._adopt()
    assert shown(workspace)[0] == 3


@pytest.mark.parametrize("wanted", [7, "1", None])
def test_a_round_that_is_not_there_is_refused_and_the_queue_stays(
    workspace: Workspace, two_rounds: worker.Worker, wanted: object
) -> None:
    before = shown(workspace)
    asked = ask(workspace, "roll_back", {"round": wanted})
    assert two_rounds.children.obey()
    with workspace.db.read() as tx:
        assert "no published round" in str(commands.get(tx, asked).error)
    assert shown(workspace) == before


def test_a_damaged_checkpoint_is_not_gone_back_to(workspace: Workspace, two_rounds: worker.Worker) -> None:
    (workspace.settings.workspace / "checkpoints" / "round-1.safetensors").write_bytes(b"half")
    asked = ask(workspace, "roll_back", {"round": 1})
    assert two_rounds.children.obey()
    with workspace.db.read() as tx:
        assert "round 1 cannot be taken up" in str(commands.get(tx, asked).error)
    assert shown(workspace)[0] == 2


def test_a_stopped_round_is_told_as_stopped_and_does_not_start_again_at_once(workspace: Workspace) -> None:
    running = children.Children(workspace.db, workspace.settings)
    asked = ask(workspace, "stop")
    assert running.obey()
    with workspace.db.read() as tx:
        assert commands.get(tx, asked).error == "no round is running"

    class Sleeper:
        command_id = ask(workspace, "train")
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])

        def complaint(self, code: int) -> str:
            return f"ended with {code}"

    with workspace.db.write() as tx:
        commands.take(tx, 1.0)
        rounds.begin(tx, 0, {"labels": 12}, 0, 1.0, pid=Sleeper.process.pid)
    running.running["round"] = Sleeper()
    ask(workspace, "stop")
    assert running.obey()
    Sleeper.process.wait(10)
    running.look_after_children()
    with workspace.db.read() as tx:
        assert commands.get(tx, Sleeper.command_id).error == children.STOPPED
        assert str(rounds.all_(tx)[-1].error).startswith(children.STOPPED)
        assert running.round_failed_at == labels.watermark(tx)


def test_a_backup_that_is_asked_for_is_a_file_of_its_own(workspace: Workspace) -> None:
    running = children.Children(workspace.db, workspace.settings)
    asked = ask(workspace, "backup")
    assert running.obey()
    running.running["backup"].process.wait(60)
    running.look_after_children()
    with workspace.db.read() as tx:
        done = commands.get(tx, asked)
    assert (done.finished_at is not None, done.error) == (True, None)
    assert [path.suffix for path in (workspace.settings.workspace / "backups").glob("raum-*")] == [".db"]


def test_the_queue_says_how_full_and_how_far_behind_it_is(workspace: Workspace) -> None:
    learn.refresh(workspace, learn.held(workspace))
    with workspace.db.read() as tx:
        current = queue.current(tx)
        first = queue.head(tx, current.id)[0].image_id
    before = overview.queue_health(workspace.db, now=current.created_at + 5.0)
    answer(workspace, "ann", first, at=2.0)
    after = overview.queue_health(workspace.db, now=current.created_at + 5.0)
    assert (before["behind"], after["behind"]) == (0, 1)
    assert (after["left"], after["age_s"], after["leased"]) == (before["left"] - 1, 5.0, 0)


def test_a_running_round_is_in_the_history_with_what_is_known_of_it(workspace: Workspace) -> None:
    with workspace.db.write() as tx:
        rounds.begin(tx, 0, {}, 0, 1.0)
    told = overview.history(workspace.db, workspace.settings)["rounds"][0]
    assert (told["status"], told["kept"], told["labels"]) == ("running", False, None)
