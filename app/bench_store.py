"""`bench store`: many processes claim and answer while queues are published and writers are killed with -9.

Latency beside the bare cost of a durable commit on the same disk, and whether anything acknowledged was lost.
"""

import dataclasses
import json
import os
import platform
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from app import crowd, crowd_journal, errors
from store import classes, copying, database, images, labels
from store.records import NewImage

BARE_SECONDS = 5.0
HOLDOUT = 400
CLASSES = 20
RATES = ("claims_a_second", "answers_a_second", "claims_alone_a_second")
CHECKS = {
    "lost": "acknowledged answers that are not in the store",
    "altered": "acknowledged answers that are stored otherwise than they were given",
    "invented": "answers in the store that nobody gave",
    "twice": "images whose answer counts twice",
    "double_leases": "images leased to two people at once",
    "wrong_states": "images whose state is not the fold of their events",
    "gaps": "gaps in the sequence of events",
    "damage": "complaints of PRAGMA integrity_check and foreign_key_check (SQLite)",
    "failed": "writers that ended with an error",
}
HOW = (
    "seconds from asking for the write lock to the end of the commit, in the process that writes; claims commit with "
    "synchronous=NORMAL, answers with FULL, all in WAL mode (PostgreSQL: synchronous_commit off and on); bare: BEGIN "
    "IMMEDIATE, one row of an answer's size, "
    "COMMIT with synchronous=FULL, through sqlite3 alone"
)


def command(
    *,
    clients: int,
    pool: int,
    seconds: float,
    kills: int,
    threads: bool,
    seed: int,
    place: Path | None,
    json_file: Path | None,
    server: str | None = None,
) -> None:
    """Measure in a folder of its own below `place`, and then in the empty database `server`; print, write.

    Raises BadRequest when a check fails."""
    if os.name != "posix":
        raise errors.BadRequest("bench store forks and kills processes: it needs Linux or macOS")
    options: dict[str, Any] = {"clients": clients, "pool": pool, "seconds": seconds, "kills": kills}
    options |= {"threads": threads, "seed": seed}
    with tempfile.TemporaryDirectory(prefix="raum-bench-", dir=place) as folder:
        figures = run(Path(folder), **options)
    print(told(figures))
    if server:
        with tempfile.TemporaryDirectory(prefix="raum-bench-", dir=place) as folder, emptied(server) as url:
            figures["postgresql"] = run(Path(folder), **options, server=url)
        print(f"\nthe same on PostgreSQL:\n{told(figures['postgresql'])}\n{_beside(figures)}")
    if json_file is not None:
        json_file.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    for each in (figures, figures.get("postgresql", figures)):
        if sum(each["checks"].values()):
            raise errors.BadRequest(f"the store did not keep its promise: {each['checks']}")


@contextmanager
def emptied(server: str) -> Iterator[str]:
    """An empty database, as it is before and after; raises BadRequest for one that holds anything."""
    url = database.to_url(server)
    with closing(database.Database(url)) as db:
        if database.version(db) is not None:
            raise errors.BadRequest(f"{url} is in use: a benchmark needs an empty database of its own")
    try:
        yield url.render_as_string(hide_password=False)
    finally:
        with closing(database.open(url)) as db:
            copying.unmake(db)


def _beside(figures: dict[str, Any]) -> str:
    told = [f"{name} {figures[name]:,} and {figures['postgresql'][name]:,}" for name in RATES]
    return f"SQLite and PostgreSQL: {', '.join(told).replace('_', ' ')}"


def run(
    folder: Path,
    *,
    clients: int,
    pool: int,
    seconds: float,
    kills: int,
    threads: bool = False,
    seed: int = 0,
    bare_seconds: float = BARE_SECONDS,
    server: str = "",
) -> dict[str, Any]:
    """Make a store of `pool` images in `folder` (or on `server`), let the crowd work on it, look at all that it left."""
    path = server or str(folder / "raum.db")
    make(path, pool)
    alone = {f"bare commit, {number}": bare(folder, number, bare_seconds) for number in sorted({1, clients})}
    noted = folder / "journals"
    noted.mkdir()
    kind = "page" if threads else "annotator"
    plan = crowd_journal.Plan(
        path, str(noted), clients, seconds=seconds, kills=kills, scorer=True, kind=kind, seed=seed
    )
    load = os.getloadavg()[0]
    went = crowd.run(plan)
    found = crowd_journal.journals(noted)
    rows = {"claim": "claim", "answer": "saved", "publish a queue": "publish"}
    latency = {
        name: latencies(each for journal in found.values() for each in journal.seconds.get(act, []))
        for name, act in rows.items()
    }
    answers = latency["answer"]["n"]
    claims = _claims_alone(folder, plan, bare_seconds)
    with closing(database.open(path)) as db, db.read() as tx:
        engine = f"{tx.dialect.name} {'.'.join(map(str, tx.dialect.server_version_info or ()))}"
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, load {load:.1f} before, {engine}",
        "how": HOW,
        "clients": clients, "clients_are": "threads of one process" if threads else "processes",
        "pool": pool, **went, "failed": len(went["failed"]),
        "latency_ms": {
            **latency,
            "claim, nothing else": latencies(claims),
            **{name: latencies(times) for name, times in alone.items()},
        },
        "claims_a_second": round(latency["claim"]["n"] / went["seconds"], 1),
        "claims_alone_a_second": round(len(claims) / bare_seconds, 1),
        "answers_a_second": round(answers / went["seconds"], 1),
        "bare_commits_a_second": {name: round(len(times) / bare_seconds, 1) for name, times in alone.items()},
        "answers": answers,
        "said_again_after_a_kill": _said_again(found),
        "busy": sum(journal.busy for journal in found.values()),
        "checks": {**check(path, found), "failed": len(went["failed"])},
    }  # fmt: skip


def _claims_alone(folder: Path, plan: crowd_journal.Plan, seconds: float) -> list[float]:
    """Seconds of each claim of as many processes that do nothing but claim, and give back, on the store that was left."""
    noted = folder / "claimers"
    noted.mkdir()
    crowd.run(dataclasses.replace(plan, folder=str(noted), seconds=seconds, kills=0, scorer=False, kind="claimer"))
    return [each for journal in crowd_journal.journals(noted).values() for each in journal.seconds.get("claim", [])]


def make(path: Path | str, pool: int) -> None:
    """A store whose pool has `pool` images; their files are never opened."""
    db = database.open(path)
    held = min(HOLDOUT, pool // 5)
    rows = [
        NewImage(path=f"{at:07}.jpg", digest=f"{at:064x}", holdout=1 + at % 2 if at < held else 0)
        for at in range(pool + held)
    ]
    with db.write() as tx:
        images.add_many(tx, rows)
        for number in range(CLASSES):
            classes.add(tx, f"class {number}", time.time())
    db.close()


def check(path: Path | str, found: dict[str, crowd_journal.Journal]) -> dict[str, int]:
    """Compare what the writers were told with what the store holds; counts of everything that is wrong, by CHECKS."""
    asked = {each: said for journal in found.values() for each, said in journal.asked.items()}
    saved = {each for journal in found.values() for each in journal.saved}
    holders: dict[int, set[str]] = {}
    for name, journal in found.items():
        for image_id, _ in journal.leases:
            holders.setdefault(image_id, set()).add(name)
    db = database.open(path)
    with db.write() as tx:
        events = list(labels.all_events(tx))
        wrong = labels.rebuild(tx)
    db.close()
    stored = {event.uuid: (event.image_id, event.class_id) for event in events}
    told = []
    if "://" not in str(path):
        with closing(sqlite3.connect(path, timeout=60)) as raw:
            told = [text for (text,) in raw.execute("PRAGMA integrity_check") if text != "ok"]
            told += raw.execute("PRAGMA foreign_key_check").fetchall()
    return {
        "lost": len(saved - stored.keys()),
        "altered": sum(stored[each] != asked[each] for each in saved & stored.keys()),
        "invented": len(stored.keys() - asked.keys()),
        "twice": sum(number > 1 for number in Counter(event.image_id for event in events).values()),
        "double_leases": sum(len(names) > 1 for names in holders.values()),
        "wrong_states": wrong,
        "gaps": sum(event.seq != at for at, event in enumerate(events, 1)),
        "damage": len(told),
    }


def latencies(seconds: Any) -> dict[str, float]:
    """n, p50, p95, p99 and max in milliseconds."""
    ordered = sorted(seconds)
    if not ordered:
        return {"n": 0}
    ranks = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
    at = {name: ordered[min(len(ordered) - 1, int(rank * len(ordered)))] for name, rank in ranks.items()}
    return {"n": len(ordered), **{name: round(1000 * value, 2) for name, value in at.items()}}


def told(figures: dict[str, Any]) -> str:
    """The figures as a table and sentences."""
    lines = [f"{'milliseconds':>26}" + "".join(f"{name:>11}" for name in ("n", "p50", "p95", "p99", "max"))]
    for name, row in figures["latency_ms"].items():
        cells = (f"{row[key]:>11,}" if key in row else f"{'-':>11}" for key in ("n", "p50", "p95", "p99", "max"))
        lines.append(f"{name:>26}" + "".join(cells))
    bare = ", ".join(f"{name}: {rate:,}" for name, rate in figures["bare_commits_a_second"].items())
    lines += [
        f"{figures['claims_a_second']:,} claims and {figures['answers_a_second']:,} answers a second "
        f"({figures['claims_alone_a_second']:,} claims where nobody answers) by "
        f"{figures['clients']} {figures['clients_are']} ({bare}), "
        f"{figures['seconds']:.0f} s, pool of {figures['pool']:,}",
        f"{figures['kills']:,} writers killed with -9, {figures['kills_of_scorer']} of them the scorer; "
        f"{figures['said_again_after_a_kill']['again']} answers were on their way then and were said again, "
        f"{figures['said_again_after_a_kill']['stored']} of them were stored already",
        f"{figures['busy']} times the write lock stayed taken for {database.BUSY_S * database.BEGIN_TRIES} s",
        *(f"{figures['checks'][name]:>6} {sentence}" for name, sentence in CHECKS.items()),
        f"{figures['machine']}; {figures['how']}",
    ]
    return "\n".join(lines)


def bare(folder: Path, clients: int, seconds: float) -> Sequence[float]:
    """Seconds of each durable commit that `clients` processes make side by side."""
    noted = folder / f"bare-{clients}"
    noted.mkdir()
    with closing(sqlite3.connect(noted / "bare.db")) as raw:
        raw.execute("PRAGMA journal_mode=WAL").fetchall()
        raw.execute("CREATE TABLE bare (seq INTEGER PRIMARY KEY, uuid TEXT UNIQUE, event TEXT)")
    crowd.run(crowd_journal.Plan(str(noted / "bare.db"), str(noted), clients, seconds=seconds, kind="bare"))
    return [each for journal in crowd_journal.journals(noted).values() for each in journal.seconds.get("commit", [])]


def _said_again(found: dict[str, crowd_journal.Journal]) -> dict[str, int]:
    """Answers that a kill left without acknowledgement and the successor said again; how many were stored already."""
    stored = sum(not fresh for journal in found.values() for fresh in journal.saved.values())
    return {"again": sum(len(journal.again) for journal in found.values()), "stored": stored}
