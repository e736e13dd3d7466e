"""One annotator in a process of its own: claims and answers as fast as it can, and says so after every commit.

Run as `python -m tests.store.crowd DATABASE NAME SEED`. Prints "lease IMAGE POSITION" and "saved IMAGE UUID".
"""

import os
import random
import sys

from store import annotators, classes, database, labels, queue, records

LEASE_SECONDS = 3600.0
NOW = 1000.0


def work(path: str, name: str, seed: int) -> None:
    """Label until nothing is left."""
    db, rng = database.open(path), random.Random(seed)
    with db.write() as tx:
        me = annotators.ensure(tx, name, NOW).id
        said = [each.id for each in classes.all_(tx)]
    while True:
        with db.write() as tx:
            leases = queue.claim(
                tx, annotator_id=me, client=name, count=2, now=NOW, lease_seconds=LEASE_SECONDS, rng=rng
            )
        if not leases:
            return
        for lease in leases:
            tell(f"lease {lease.image_id} {-1 if lease.position is None else lease.position}")
        for lease in leases:
            submit(db, lease, class_id=rng.choice(said), uuid=f"{name}-{seed}-{lease.image_id}")


def submit(db: database.Database, lease: records.Lease, *, class_id: int, uuid: str) -> None:
    """Answer one image and say so once it is on the disk."""
    new = records.NewEvent(
        uuid=uuid,
        image_id=lease.image_id,
        annotator_id=lease.annotator_id,
        kind="label",
        class_id=class_id,
        lease_token=lease.token,
        publication_id=lease.publication_id,
    )
    with db.write(durable=True) as tx:
        labels.append(tx, new, NOW)
    tell(f"saved {lease.image_id} {uuid}")


def tell(line: str) -> None:
    """Print in one piece, at once."""
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    work(sys.argv[1], sys.argv[2], int(sys.argv[3]))
