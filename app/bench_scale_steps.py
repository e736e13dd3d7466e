"""Steps of `bench scale` that no verb takes alone, each in a process of its own: `python -m app.bench_scale_steps STEP ...`.

What a step tells besides its seconds and memory is one line of JSON.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from app import (
    bench_store,
    crowd_writers,
    errors,
    ingest,
    ingest_apart,
    ingest_files,
    ingest_read,
    ingest_sources,
    settings,
)
from model import config
from store import annotators, classes, database, images, label_batches, queue, records

LINKS = 50_000  # names of one file; a file system allows some 65,000
ROWS = 10_000  # stored at once
WIDTH = 384  # of the made-up embeddings
APART = 0.55  # of the classes' centres, in units of the noise: nearly all can be told apart
SMALL = "small"  # the small pictures, beside the folder of images
LIKE_ALL = np.full(3 * 24 * 24, (3 * 24 * 24) ** -0.5, np.float32)  # a small picture: hashes alone tell images apart


def pictures(folder: Path, count: int) -> Path:
    """`count` names of a few tiny files in one folder below `folder`, which is returned; and as few small pictures."""
    from PIL import Image

    place = folder / "pictures"
    for made in (place, folder / SMALL, folder / "files"):
        made.mkdir(parents=True)
    for number in range(count):
        part = number // LINKS
        if number % LINKS == 0:
            for beside in (folder / SMALL, folder / "files"):
                Image.new("RGB", (32, 24), (part % 256, 90, 120)).save(beside / f"{part}.jpg")
        os.link(folder / "files" / f"{part}.jpg", place / f"{number:07}.jpg")
    return place


class Unread(ingest_sources.Here):
    """A folder as ingest looks at it, but for the decoding: what a file holds is made up from its name."""

    def taken_at(self, apart: ingest_apart.Readers, path: str) -> float | None:
        """No camera has taken these."""
        return None

    def read(
        self, apart: ingest_apart.Readers, found: ingest_files.Found, *, thumbnail: Path
    ) -> list[ingest_read.Reading]:
        """A picture that is like no other, with its small one."""
        path = Path(found.path)
        digest = hashlib.sha256(path.name.encode()).hexdigest()
        os.link(path.parents[1] / SMALL / f"{int(path.stem) // LINKS}.jpg", thumbnail)
        return [
            ingest_read.Reading(
                found, digest=digest, width=32, height=24, phash=digest[:16], signature=LIKE_ALL, thumbnail=thumbnail
            )
        ]


def take_in(workspace: str, folder: str) -> dict[str, Any]:
    """`ingest` of a folder from its first look to its last row, in batches as ever; nothing is decoded."""
    chosen = settings.load(workspace)
    source = Unread(str(ingest_files.root(folder)), chosen.workspace)
    names = [f"class {number}" for number in range(bench_store.CLASSES)]
    with contextlib.closing(database.open(chosen.database, chosen.workspace)) as db:
        report = ingest.ingest(db, source, workspace=chosen.workspace, now=time.time(), class_names=names)
    if report.added != report.found or report.quarantined:
        raise errors.BadRequest(f"{report.found:,} images are there and {report.added:,} were added")
    return {"added": report.added}


def label(db: database.Database, first: int, last: int) -> None:
    """A label for each of the images with these ids, some thousand at a time, by one person."""
    with db.write() as tx:
        person = annotators.ensure(tx, "before", 1.0).id
        said = [each.id for each in classes.all_(tx)]
    for start in range(first, last + 1, ROWS):
        new = [
            records.NewEvent(uuid=str(uuid.UUID(int=number)), image_id=number, annotator_id=person, kind="label",
                             class_id=said[number % len(said)])
            for number in range(start, min(last + 1, start + ROWS))
        ]  # fmt: skip
        with db.write() as tx:
            label_batches.append_many(tx, new, time.time())


def publish_first(chosen: settings.Settings, db: database.Database, answers: int) -> None:
    """A queue behind the images that are labelled, and embeddings of all, as a first refresh leaves them."""
    with db.read() as tx:
        ids = np.fromiter((each.id for each in images.each_ok(tx)), np.int64)
        head = [image.id for image in images.all_after(tx, answers, crowd_writers.QUEUE_LENGTH)]
    folder = chosen.workspace / "embeddings" / "made-up"
    folder.mkdir(parents=True)
    network = config.NetworkConfig(f"hf:{folder / 'gone'}", 2)  # ranked as any other, but no map can be drawn
    meta = {"network": config.to_dict(network), "checkpoint": None, "last_id": int(ids[-1])}
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    np.save(folder / "image_ids.npy", ids)
    rng, shape = np.random.default_rng(0), (len(ids), WIDTH)
    centres_KD = APART * rng.standard_normal((bench_store.CLASSES, WIDTH), np.float32)
    out = np.lib.format.open_memmap(folder / "embeddings.npy", mode="w+", dtype=np.float16, shape=shape)
    for start in range(0, len(ids), ROWS):
        near = centres_KD[ids[start : start + ROWS] % bench_store.CLASSES]
        out[start : start + ROWS] = near + rng.standard_normal(near.shape, np.float32)
    out.flush()
    rows = [records.QueueRow(position=at, image_id=image_id, reason="uncertain") for at, image_id in enumerate(head)]
    new = records.NewPublication(
        kind="refresh", watermark=answers, created_at=time.time(), embeddings="embeddings/made-up"
    )
    with db.write() as tx:
        queue.publish(tx, new, rows)


def refresh(workspace: str) -> dict[str, Any]:
    """A whole refresh by the worker's own steps: seconds of reading the pool, of fitting and ranking, of publishing."""
    from app import learning, pool, ranking

    chosen = settings.load(workspace)
    rng, times = np.random.default_rng(0), [time.perf_counter()]
    with contextlib.closing(database.open(chosen.database, chosen.workspace)) as db:
        with db.read() as tx:
            held = pool.open_(chosen, queue.current(tx), images.all_ok(tx))
        prepared = held.prepared
        times.append(time.perf_counter())
        seen, agreed = learning.look(
            db, chosen, held, image_ids=held.image_ids, prepared=prepared, now=time.time(), rng=rng
        )
        found = ranking.rank(held.image_ids, prepared, seen, settings=chosen, rng=rng)
        times.append(time.perf_counter())
        learning.publish(db, chosen, held, found, seen, agreed, now=time.time(), began=times[1])
        times.append(time.perf_counter())
    if found.predicted is None or len(found.predicted.image_ids_N) != len(held.image_ids):
        raise errors.BadRequest("the refresh ranked too few images")
    read, ranked, published = (round(end - began, 2) for began, end in itertools.pairwise(times))
    return {"read_s": read, "ranked_s": ranked, "published_s": published}


STEPS: dict[str, Callable[..., dict[str, Any]]] = {"ingest": take_in, "refresh": refresh}

if __name__ == "__main__":
    print(json.dumps(STEPS[sys.argv[1]](*sys.argv[2:])))
