"""Many processes on one file: no image leased twice, nothing locked, nothing acknowledged is lost by kill -9."""

import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from store import database, labels
from tests.store.conftest import World

ROOT = Path(__file__).resolve().parents[2]


def _start(db: database.Database, name: str, seed: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-m", "tests.store.crowd", str(db.path), name, str(seed)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_eight_processes_share_the_queue_without_a_double_or_an_error(make_world: Callable[..., World]) -> None:
    world = make_world(pool=360, holdout=40)
    world.publish(world.pool[:200])
    crowd = [_start(world.db, f"p{number}", number) for number in range(8)]
    said = [process.communicate(timeout=120) for process in crowd]
    assert [err for _, err in said] == [""] * 8
    assert [process.returncode for process in crowd] == [0] * 8
    lines = [[line.split() for line in out.splitlines()] for out, _ in said]
    leased = [int(image) for each in lines for word, image, _ in each if word == "lease"]
    assert sorted(leased) == sorted(world.pool + world.holdout)
    for each in lines:
        ranked = [int(position) for word, _, position in each if word == "lease" and position != "-1"]
        assert ranked == sorted(ranked)
    with world.db.write() as tx:
        assert labels.watermark(tx) == 400
        assert [event.seq for event in labels.all_events(tx)] == list(range(1, 401))
        assert {labels.state(tx, image).answers for image in leased} == {1}
        assert labels.rebuild(tx) == 0
    assert sum(bool(each) for each in lines) >= 2, "one process did everything: nothing was tested"


def test_nothing_acknowledged_is_lost_when_writers_are_killed(make_world: Callable[..., World]) -> None:
    world = make_world(pool=3000, holdout=0)
    world.publish(world.pool[:512])
    rng = random.Random(5)
    leased: list[int] = []
    saved: list[str] = []
    for wave in range(3):
        crowd = [_start(world.db, f"p{number}", wave) for number in range(4)]
        for process in crowd:
            assert process.stdout is not None
            heard = [process.stdout.readline() for _ in range(rng.randint(1, 40))]
            process.kill()
            rest, complaints = process.communicate(timeout=60)
            assert complaints == ""
            lines = [line.split() for line in heard + rest.splitlines()]
            leased += [int(line[1]) for line in lines if line[0] == "lease"]
            saved += [line[2] for line in lines if line[0] == "saved"]
        _check_nothing_lost(world, saved)
    assert len(saved) >= 60
    held_again = len(leased) - len(set(leased))
    assert held_again <= 2 * 8, "only what a killed process held comes back, and to the same person"


def _check_nothing_lost(world: World, saved: list[str]) -> None:
    with world.db.write() as tx:
        stored = {event.uuid: event.image_id for event in labels.all_events(tx)}
        assert set(saved) <= set(stored)
        assert len(set(stored.values())) == len(stored), "an image was answered twice"
        assert labels.watermark(tx) == len(stored)
        assert labels.rebuild(tx) == 0
        assert labels.settled(tx) == labels.settled(tx, up_to=labels.watermark(tx))
    assert world.db.path is not None
    with closing(sqlite3.connect(world.db.path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
