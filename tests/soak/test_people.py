"""What the soak of the whole program would say if something were wrong: each broken promise is counted."""

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

from app import bench_store
from store import annotators, database, labels, records
from tests.soak import people


def test_every_broken_promise_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "raum.db"
    bench_store.make(path, 30)
    with closing(database.open(path)) as db, db.write() as tx:
        ada = annotators.ensure(tx, "ada", 1.0).id
        for number, image_id in enumerate((3, 4, 5)):
            new = records.NewEvent(uuid=f"u{number}", image_id=image_id, annotator_id=ada, kind="label", class_id=1)
            labels.append(tx, new, time.time())
    crowd = [people.Person(name, "", [1], threading.Event()) for name in ("ada", "ben")]
    crowd[0].acknowledged = {"u0": 1.0, "u1": 2.0, "gone": 9.5}
    crowd[0].cut = {"u0": time.time() + 1, "u1": 5.0, "never acknowledged": 1.0}
    crowd[0].held[3] = [people.Held(1.0, 2.0), people.Held(8.0, 9.0)]
    crowd[1].held[3] = [people.Held(3.0, 4.0)]  # in turn: nothing is wrong with that
    later = time.time() + 5
    crowd[0].held[4] = [people.Held(later - 9, later, "u1")]  # stored before the second had it, acknowledged after
    crowd[1].held[4] = [people.Held(later - 1, later + 1)]
    assert people.check(tmp_path, crowd)["wrong"] == {
        "acknowledged and lost": 1, "given to two at once": 0, "counted twice": 0, "gaps between events": 0,
        "states that are not the fold": 0, "complaints of integrity_check": 0, "requests refused": 0,
    }  # fmt: skip
    crowd[0].held[3].append(people.Held(5.0, 5.1))  # of the same person, between the two that overlap
    crowd[1].held[3] = [people.Held(3.0, 8.5)]
    crowd[1].problems = ["/api/v1/events: 500 broken"]
    with closing(sqlite3.connect(path)) as raw:
        for (trigger,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            raw.execute(f"DROP TRIGGER {trigger}")
        raw.execute("UPDATE image_state SET answers = 5 WHERE image_id = 9")
        raw.execute("UPDATE label_events SET seq = 9 WHERE uuid = 'u2'")
        raw.commit()
    told = people.check(tmp_path, crowd)
    assert told["wrong"] == {
        "acknowledged and lost": 1, "given to two at once": 1, "counted twice": 0, "gaps between events": 6,
        "states that are not the fold": 2, "complaints of integrity_check": 0, "requests refused": 1,
    }  # fmt: skip
    assert (told["acknowledged"], told["on their way when the page was killed"]) == (3, 2)
    assert (told["of those stored already"], told["longest time without an answer, s"]) == (1, 7.5)
