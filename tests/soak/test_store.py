"""Writers of one store are killed with -9 while they claim, answer and publish; the journals say what they were promised.

RAUM_SOAK=long kills 1,000 of 32 writers on a pool of 100,000 images, in some 20 minutes.
"""

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from app import bench_store, crowd_journal
from store import annotators, database, labels, records

LONG = os.environ.get("RAUM_SOAK") == "long"
KILLS = 1000 if LONG else 20
pytestmark = pytest.mark.skipif(os.name != "posix", reason="kill -9 needs POSIX")


@pytest.mark.timeout(3000 if LONG else 120)
@pytest.mark.parametrize("form", ["processes", "threads", "processes on a server"])
def test_kills_lose_nothing_and_give_nothing_twice(tmp_path: Path, form: str, request: pytest.FixtureRequest) -> None:
    more = {"threads": form == "threads", "kills": KILLS}
    if form.endswith("server"):
        more["server"] = request.getfixturevalue("postgresql").new().render_as_string(hide_password=False)
    if LONG:
        figures = bench_store.run(tmp_path, clients=32, pool=100_000, seconds=560, **more)
    else:
        figures = bench_store.run(tmp_path, clients=6, pool=2000, seconds=4, bare_seconds=0.3, **more)
    print(bench_store.told(figures))
    assert figures["checks"] == dict.fromkeys(bench_store.CHECKS, 0)
    assert figures["kills"] == KILLS
    assert figures["said_again_after_a_kill"]["again"] > 0, "no kill came in the middle of an answer"
    assert figures["answers"] > 10
    leases = [each for journal in crowd_journal.journals(tmp_path / "journals").values() for each in journal.leases]
    assert any(position >= 0 for _, position in leases), "nobody was asked what the scorer published"
    assert figures["latency_ms"]["bare commit, 1"]["n"] > 0


def test_every_broken_promise_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "raum.db"
    bench_store.make(path, 30)
    db = database.open(path)
    found = {"ada": crowd_journal.Journal(), "ben": crowd_journal.Journal()}
    with db.write() as tx:
        ada = annotators.ensure(tx, "ada", 1.0).id
        for number, image_id in enumerate((3, 3, 4, 5)):
            new = records.NewEvent(
                uuid=f"u{number}", image_id=image_id, annotator_id=ada, kind="label", class_id=1 + number
            )
            labels.append(tx, new, time.time())
    found["ada"].asked = {"u0": (3, 1), "u1": (3, 2), "u2": (4, 9), "gone": (6, 1)}
    found["ada"].saved = {"u0": True, "u2": True, "gone": True}
    found["ada"].leases = [(3, -1), (3, -1), (7, -1)]
    found["ben"].leases = [(7, 0)]
    db.close()
    with closing(sqlite3.connect(path)) as raw:
        for (trigger,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            raw.execute(f"DROP TRIGGER {trigger}")
        raw.execute("UPDATE image_state SET answers = 5 WHERE image_id = 9")
        raw.execute("UPDATE label_events SET seq = 9 WHERE uuid = 'u3'")
        raw.commit()
    counted = bench_store.check(path, found)
    assert counted == {
        "lost": 1, "altered": 1, "invented": 1, "twice": 1, "double_leases": 1, "wrong_states": 2, "gaps": 1, "damage": 0,
    }  # fmt: skip


def test_a_journal_line_that_a_kill_cut_short_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "p0.journal"
    path.write_text(
        "lease 12 3 .\nasks a 12 4 .\nsaved 0.1 a new .\nasks b 13 1 .\nsaved 0.2 b\nlease 1", encoding="utf-8"
    )
    found = crowd_journal.read(path)
    assert found.leases == [(12, 3)]
    assert found.saved == {"a": True}
    assert found.on_their_way == {"b": (13, 1)}
    assert bench_store.latencies([0.001 * each for each in range(1, 101)]) == {
        "n": 100, "p50": 51.0, "p95": 96.0, "p99": 100.0, "max": 100.0,
    }  # fmt: skip
