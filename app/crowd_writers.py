"""What each writer of a crowd does: annotators who claim and answer, a scorer that publishes, bare commits to compare with."""

import sqlite3
import time
import uuid
from collections.abc import Callable
from concurrent import futures

from app.crowd_journal import Writer
from store import annotators, classes, database, images, labels, queue, records

LEASE_SECONDS = 86_400.0  # longer than any run: whoever gets an image that another was given got a double lease
PUBLISH_PAUSE = 0.3  # as the worker waits after an answer
QUEUE_LENGTH = 512


def page(writer: Writer) -> None:
    """All annotators as threads of this process, which share its connections."""
    db, plan = database.open(writer.plan.database), writer.plan
    with futures.ThreadPoolExecutor(plan.clients) as threads:
        each = [threads.submit(annotate, Writer(plan, f"p{number}"), db) for number in range(plan.clients)]
    for done in each:
        done.result()


def annotate(writer: Writer, db: database.Database | None = None) -> None:
    """Claim and answer until nothing is left; what was on its way when the one before was killed is said again first."""
    db = db or database.open(writer.plan.database)

    me, said = _enter(writer, db)

    def submit(identifier: str, image_id: int, class_id: int, lease: records.Lease | None) -> None:
        new = records.NewEvent(
            uuid=identifier, image_id=image_id, annotator_id=me, kind="label", class_id=class_id,
            lease_token=lease.token if lease else None, publication_id=lease.publication_id if lease else None,
        )  # fmt: skip

        def append() -> bool:
            with db.write(durable=True, shared=True) as tx:
                return labels.append(tx, new, time.time())[1]

        began = time.perf_counter()
        fresh = writer.patient(append)
        took = time.perf_counter() - began
        writer.note(f"saved {took:.6f} {identifier} {'new' if fresh else 'known'}")

    for identifier, (image_id, class_id) in writer.before.on_their_way.items():
        writer.note(f"again {identifier}")
        submit(identifier, image_id, class_id, None)
    while not writer.ends:
        began = time.perf_counter()
        leases = writer.patient(lambda: _claim(writer, db, me))
        writer.note(f"claim {time.perf_counter() - began:.6f}")
        if not leases:
            return
        for lease in leases:
            writer.note(f"lease {lease.image_id} {-1 if lease.position is None else lease.position}")
        for lease in leases:
            identifier, class_id = str(uuid.uuid4()), writer.rng.choice(said)
            writer.note(f"asks {identifier} {lease.image_id} {class_id}")
            submit(identifier, lease.image_id, class_id, lease)


def claim(writer: Writer) -> None:
    """Claim, and give back what was claimed: what claiming alone takes while everybody wants the same head of the queue."""
    db = database.open(writer.plan.database)
    me, _ = _enter(writer, db)

    def give_back() -> None:
        with db.write(shared=True) as tx:
            queue.release(tx, me, writer.name)

    while not writer.ends:
        began = time.perf_counter()
        writer.patient(lambda: _claim(writer, db, me))
        writer.note(f"claim {time.perf_counter() - began:.6f}")
        writer.patient(give_back)


def _enter(writer: Writer, db: database.Database) -> tuple[int, list[int]]:
    """The annotator's id and those of the classes."""

    def enter() -> tuple[int, list[int]]:
        with db.write() as tx:
            return annotators.ensure(tx, writer.name, time.time()).id, [each.id for each in classes.all_(tx)]

    found: tuple[int, list[int]] = writer.patient(enter)
    return found


def _claim(writer: Writer, db: database.Database, me: int) -> list[records.Lease]:
    with db.write(shared=True) as tx:
        return queue.claim(
            tx, annotator_id=me, client=writer.name, count=writer.plan.count, now=time.time(),
            lease_seconds=LEASE_SECONDS, rng=writer.rng,
        )  # fmt: skip


def score(writer: Writer) -> None:
    """Publish a queue over what is still open of the pool, again and again, as refreshes do."""
    db = database.open(writer.plan.database)
    with db.read() as tx:
        known = [image.id for image in images.all_ok(tx) if not image.holdout]
        said = [each.id for each in classes.all_(tx)]
    suggestions = [(class_id, 1.0 / len(said)) for class_id in said[:5]]
    while not writer.ends:
        began = time.perf_counter()
        with db.read() as tx:
            watermark, settled = labels.watermark(tx), {each.image_id for each in labels.settled(tx)}
        open_ = [image_id for image_id in known if image_id not in settled]
        asked = writer.rng.sample(open_, min(QUEUE_LENGTH, len(open_)))
        rows = [
            records.QueueRow(position=at, image_id=image_id, reason="uncertain", suggestions=suggestions)
            for at, image_id in enumerate(asked)
        ]
        new = records.NewPublication(kind="refresh", watermark=watermark, created_at=time.time())

        def publish(new: records.NewPublication = new, rows: list[records.QueueRow] = rows) -> None:
            with db.write() as tx:
                queue.publish(tx, new, rows)

        writer.patient(publish)
        writer.note(f"publish {time.perf_counter() - began:.6f}")
        time.sleep(PUBLISH_PAUSE)


def commit(writer: Writer) -> None:
    """One row a transaction through sqlite3 alone, as durable as an answer: what the disk itself asks for."""
    db = sqlite3.connect(writer.plan.database, timeout=database.BUSY_S * database.BEGIN_TRIES, isolation_level=None)
    for pragma in ("synchronous=FULL", "fullfsync=ON"):
        db.execute(f"PRAGMA {pragma}").fetchall()
    while not writer.ends:
        began = time.perf_counter()
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO bare (uuid, event) VALUES (?, ?)", (str(uuid.uuid4()), "." * 200))
        db.execute("COMMIT")
        writer.note(f"commit {time.perf_counter() - began:.6f}")


KINDS: dict[str, Callable[[Writer], None]] = {
    "annotator": annotate, "page": page, "claimer": claim, "scorer": score, "bare": commit,
}  # fmt: skip
