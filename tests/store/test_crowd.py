"""Many processes on one file: no image leased twice, nothing locked, nothing acknowledged is lost by kill -9."""

import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from store import database, labels, overlap
from tests.store.conftest import World

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def _crowd(db: database.Database, size: int, seed: int = 0) -> Iterator[list[subprocess.Popen[str]]]:
    """Start annotators in processes of their own; whoever still runs at the end is killed."""
    command = [sys.executable, "-W", "error", "-m", "tests.store.crowd", str(db.path)]
    processes = [
        subprocess.Popen(
            [*command, f"p{number}", str(seed)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(size)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            with process:
                process.wait()


def _rest(process: subprocess.Popen[str]) -> tuple[list[list[str]], str]:
    """Read what a process still says until its end: its lines in words, and its complaints."""
    assert process.stdout is not None
    assert process.stderr is not None
    return [line.split() for line in process.stdout.read().splitlines()], process.stderr.read()


def test_eight_processes_share_the_queue_without_a_double_or_an_error(make_world: Callable[..., World]) -> None:
    world = make_world(pool=360, holdout=40)
    world.publish(world.pool[:200])
    with _crowd(world.db, 8) as crowd:
        said = [_rest(process) for process in crowd]
        assert [complaints for _, complaints in said] == [""] * 8
        assert [process.wait() for process in crowd] == [0] * 8
    leased = [int(image) for lines, _ in said for word, image, _ in lines if word == "lease"]
    assert sorted(leased) == sorted(world.pool + world.holdout)
    for lines, _ in said:
        ranked = [int(position) for word, _, position in lines if word == "lease" and position != "-1"]
        assert ranked == sorted(ranked)
    assert sum(bool(lines) for lines, _ in said) >= 2, "one process did everything: nothing was tested"
    with world.db.write() as tx:
        assert [event.seq for event in labels.all_events(tx)] == list(range(1, 401))
        assert {labels.state(tx, image).answers for image in leased} == {1}
        assert labels.rebuild(tx) == 0


def test_processes_give_every_shared_image_two_answers_by_two_people(make_world: Callable[..., World]) -> None:
    world = make_world(pool=100, holdout=20)
    with world.db.write() as tx:
        labels.ask_several(tx, 2, 0.4)
        several = overlap.read(tx)
        ids = world.pool + world.holdout
        wanted = {image: several.wanted(labels.state(tx, image).draw) for image in ids}
    world.publish(world.pool[:60])
    with _crowd(world.db, 5) as crowd:
        said = [_rest(process) for process in crowd]
        assert [complaints for _, complaints in said] == [""] * 5
    for lines, _ in said:
        leased = [int(image) for word, image, _ in lines if word == "lease"]
        assert len(leased) == len(set(leased)), "an image came twice to one person"
    for person in range(3):  # the crowd ends when it finds nothing, a moment before the last images are answered
        while leases := world.claim(50, person):
            for lease in leases:
                world.say("label", lease.image_id, person)
    with world.db.write() as tx:
        found = {image: labels.state(tx, image) for image in ids}
        assert {image: len(state.people) for image, state in found.items()} == wanted
        assert {image: state.answers for image, state in found.items()} == wanted
        assert {state.lane for state in found.values()} == {"closed"}
        assert labels.rebuild(tx) == 0


def test_nothing_acknowledged_is_lost_when_writers_are_killed(make_world: Callable[..., World]) -> None:
    world = make_world(pool=2500, holdout=0)
    world.publish(world.pool[:512])
    rng = random.Random(5)
    saved: list[str] = []
    for wave in range(2):
        with _crowd(world.db, 5, wave) as crowd:
            for process in crowd:
                saved += _kill_after(process, lines=rng.randint(4, 40))
                _check_acknowledged(world, saved)
        _check_whole(world)
    assert len(saved) >= 50


def _kill_after(process: subprocess.Popen[str], *, lines: int) -> list[str]:
    """Kill a writer, whatever it does just then, once it has said so many lines; returns what it acknowledged."""
    assert process.stdout is not None
    heard = [process.stdout.readline().split() for _ in range(lines)]
    process.kill()
    rest, complaints = _rest(process)
    assert complaints == ""
    return [line[2] for line in heard + rest if line[0] == "saved"]


def _check_acknowledged(world: World, saved: list[str]) -> None:
    with world.db.read() as tx:
        stored = {event.uuid: event.image_id for event in labels.all_events(tx)}
        assert labels.watermark(tx) == len(stored)
    assert set(saved) <= set(stored)
    assert len(set(stored.values())) == len(stored), "an image was answered twice"


def _check_whole(world: World) -> None:
    with world.db.write() as tx:
        assert labels.settled(tx) == labels.settled(tx, up_to=labels.watermark(tx))
        assert labels.rebuild(tx) == 0
    assert world.db.path is not None
    with closing(sqlite3.connect(world.db.path, timeout=30)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
