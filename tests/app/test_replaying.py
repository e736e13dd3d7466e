"""The past: what was shown at every moment comes out again, from the database's events and from their exported log alone."""

import csv
import datetime
import json
import random
from pathlib import Path

import pytest

from app import errors, replaying, settings
from app.exchange import answers, event_log
from store import annotators, classes, fold, labels, records
from store.records import Event, NewEvent
from tests.app.conftest import Workspace

START = 1_700_000_000.0
Shown = dict[int, tuple[str, str | None, str | None]]  # image -> state, class, reason


def live(workspace: Workspace, *, seed: int, steps: int = 60) -> dict[int, Shown]:
    """Let three people say, skip, flag, review and take back at random; returns what was shown after each event."""
    rng, shown = random.Random(seed), {0: now_shown(workspace)}
    said: list[Event] = []
    for at in range(steps):
        kind = rng.choice(["label", "label", "label", "reject", "skip", "flag", "review", "retract"])
        targets = [event for event in said if event.kind != "retract"]
        target = rng.choice(targets) if kind == "retract" and targets else None
        if kind == "retract" and target is None:
            continue
        with workspace.db.write() as tx:
            person = annotators.ensure(tx, rng.choice("abc"), START).id
            has_class = kind == "label" or (kind == "review" and rng.random() < 0.5)
            new = NewEvent(
                uuid=f"u{at}", image_id=target.image_id if target else rng.choice(workspace.ids[:6]),
                annotator_id=person, kind=kind, class_id=rng.choice(workspace.class_ids) if has_class else None,
                reason="bad_image" if kind == "reject" else None, target_seq=target.seq if target else None,
            )  # fmt: skip
            event = labels.append(tx, new, START + at)[0]
        said.append(event)
        shown[event.seq] = now_shown(workspace)
    return shown


def now_shown(workspace: Workspace) -> Shown:
    return as_shown(answers.settled(workspace.db))


def as_shown(found: object) -> Shown:
    return {each.image.id: (each.state, each.class_name, each.reason) for each in found}  # type: ignore[attr-defined]


@pytest.mark.parametrize("seed", range(3))
def test_at_each_event_the_past_is_what_was_shown_then_and_now_is_the_state(workspace: Workspace, seed: int) -> None:
    shown = live(workspace, seed=seed)
    with workspace.db.read() as tx:
        times = {event.seq: event.received_at for event in labels.all_events(tx)}
        for seq, at in times.items():
            assert labels.watermark_at(tx, at) == seq
            assert labels.watermark_at(tx, at + 0.5) == seq
        assert labels.watermark_at(tx, START - 1) == 0
        newest = labels.watermark(tx)
    for seq, then in shown.items():
        assert as_shown(answers.settled(workspace.db, seq)) == then
    assert as_shown(answers.settled(workspace.db, newest)) == now_shown(workspace)
    assert len({str(then) for then in shown.values()}) > 10


def test_the_exported_log_alone_tells_every_moment(workspace: Workspace, tmp_path: Path) -> None:
    shown = live(workspace, seed=9)
    newest = max(shown)
    assert event_log.export(workspace.db, tmp_path / "events.jsonl") == newest
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text(encoding="utf-8").splitlines()]
    fields = records.Event.__dataclass_fields__
    events = [records.Event(**{name: value for name, value in line.items() if name in fields}) for line in lines]
    names = {line["class_id"]: line["class"] for line in lines}
    assert {line["annotator"] for line in lines} <= {"a", "b", "c"}
    assert all(Path(line["path"]).is_file() for line in lines)
    with workspace.db.read() as tx:
        blank = labels.state(tx, workspace.ids[-1])
    for seq, then in shown.items():
        told = {}
        for image_id in workspace.ids[:6]:
            mine = [event for event in events if event.image_id == image_id and event.seq <= seq]
            state = fold.fold(blank, mine, open_lane="pool")
            if state.kind == "label":
                told[image_id] = ("labelled", names[state.class_id], state.reason)
            elif state.kind:
                told[image_id] = ("rejected", None, state.reason)
        assert told == then


def test_a_moment_is_a_time_or_an_event_and_the_file_is_the_exports(workspace: Workspace, tmp_path: Path) -> None:
    shown = live(workspace, seed=1, steps=20)
    middle = sorted(shown)[len(shown) // 2]
    with workspace.db.read() as tx:
        at = labels.get(tx, middle).received_at
    text = datetime.datetime.fromtimestamp(at, tz=datetime.timezone.utc).isoformat().replace("+00:00", "Z")
    for given in (text, str(middle)):
        told = replaying.replay(workspace.settings, given, tmp_path / "then.csv", format="csv")
        assert told.startswith(f"as of event {middle} of {max(shown)}: wrote ")
        with (tmp_path / "then.csv").open(encoding="utf-8", newline="") as file:
            rows = {int(row["image_id"]): (row["state"], row["class"] or None) for row in csv.DictReader(file)}
        assert rows == {image_id: told[:2] for image_id, told in shown[middle].items()}
    replaying.replay(workspace.settings, str(middle), tmp_path / "then.jsonl", format="events")
    assert len((tmp_path / "then.jsonl").read_text(encoding="utf-8").splitlines()) == middle
    replaying.replay(workspace.settings, str(middle), tmp_path / "then", format="imagefolder")
    assert len([path for path in (tmp_path / "then").rglob("*.png")]) == len(shown[middle])
    assert "as of event 0 " in replaying.replay(workspace.settings, "1999-12-31", tmp_path / "e.csv", format="csv")


def test_where_the_clock_was_set_back_the_number_of_an_event_tells_which_of_two_moments(workspace: Workspace) -> None:
    with workspace.db.write() as tx:
        person = annotators.ensure(tx, "ann", START).id
        for at, clock in enumerate((100.0, 200.0, 50.0)):
            new = NewEvent(uuid=f"u{at}", image_id=workspace.ids[at], annotator_id=person, kind="reject")
            labels.append(tx, new, START + clock)
        assert [labels.watermark_at(tx, START + clock) for clock in (40, 60, 150, 250)] == [0, 3, 3, 3]
    assert [len(as_shown(answers.settled(workspace.db, seq))) for seq in (1, 2, 3)] == [1, 2, 3]


def test_what_is_no_moment_is_refused_by_name(workspace: Workspace, tmp_path: Path) -> None:
    for text in ("yesterday", "25/11/2026", "-3", ""):
        with pytest.raises(errors.BadRequest, match="no moment"):
            replaying.replay(workspace.settings, text, tmp_path / "x.csv", format="csv")
    with pytest.raises(errors.BadRequest, match="no workspace"):
        replaying.replay(settings.load(tmp_path / "nowhere"), "1", tmp_path / "x.csv", format="csv")


def test_classes_are_named_and_merged_as_they_were_at_that_moment(workspace: Workspace, tmp_path: Path) -> None:
    round_, square, striped = workspace.class_ids
    with workspace.db.write() as tx:
        person = annotators.ensure(tx, "ann", START).id
        for at, class_id in enumerate((round_, striped)):
            new = NewEvent(
                uuid=f"u{at}", image_id=workspace.ids[at], annotator_id=person, kind="label", class_id=class_id
            )
            labels.append(tx, new, START + at)
        classes.rename(tx, round_, "disc", now=START + 10)
        classes.merge(tx, striped, square, now=START + 20)

    def names(at: str) -> list[str]:
        replaying.replay(workspace.settings, at, tmp_path / "then.csv", format="csv")
        with (tmp_path / "then.csv").open(encoding="utf-8", newline="") as file:
            return [f"{row['class']} {row['agreement']}" for row in csv.DictReader(file)]

    def time(seconds: float) -> str:
        return datetime.datetime.fromtimestamp(START + seconds, tz=datetime.timezone.utc).isoformat()

    assert names("2") == names(time(5)) == ["round 1.0", "striped 1.0"]
    assert names(time(15)) == ["disc 1.0", "striped 1.0"]
    assert names(time(25)) == ["disc 1.0", "square 1.0"]
    assert [each.class_name for each in answers.settled(workspace.db)] == ["disc", "square"]
    replaying.replay(workspace.settings, time(15), tmp_path / "then.jsonl", format="events")
    lines = [json.loads(line) for line in (tmp_path / "then.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["class"] for line in lines] == ["disc", "striped"]
