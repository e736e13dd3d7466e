"""A pool of as many rows as asked for, made cheaply: a handful of picture files that all rows share; and its refreshes."""

import itertools
import os
import random
import shutil
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from app import processes
from model.data import demo
from store import annotators, classes, database, images, labels, queue, workers
from store.records import NewEvent, NewImage, NewPublication, QueueRow

NAME = "pool.db"
PICTURES = 48
HOLDOUT = 400
LABELLED = 60  # what the oracle has answered: enough for a round, and the neighbours that stand beside an image
QUEUE_LENGTH = 512
_ADJECTIVES = ("house", "tree", "song", "chipping", "field", "fox", "lark", "rock", "sage", "swamp")
MAPPED = 64  # rows at the head whose maps are drawn, as a worker does
KINDS = ("evidence", "contrast")
EVERY = 1.0  # seconds between two refreshes: the worker's own while people answer without a pause
SETTINGS = "holdout_rate = 0.1\nhidden_rate = 0.05\nrounds = false\nbackup_days = 0\nbackup_weeks = 0\n"


def make(folder: Path, *, pool: int, class_count: int, seed: int = 0) -> None:
    """Pictures, maps, and a database of rows, classes and some labels; nothing is decoded but the handful of pictures."""
    demo.make(folder / "pictures", count=PICTURES, seed=seed)
    _maps(folder / "maps")
    held = min(HOLDOUT, pool // 5)
    made = rows(sorted((folder / "pictures").glob("*.jpg")), pool, held=held)
    db = database.open(folder / NAME)
    with db.write() as tx:
        ids: list[int] = []
        while part := list(itertools.islice(made, 50_000)):
            ids += images.add_many(tx, part)
        said = [classes.add(tx, f"{_ADJECTIVES[at % 10]} sparrow {at}", 1.0).id for at in range(class_count)]
        oracle = annotators.ensure(tx, "oracle", 1.0)
        for at, image_id in enumerate(ids[held : held + LABELLED]):
            labels.append(tx, _answer(image_id, oracle.id, said[at % min(20, class_count)]), time.time())
    db.checkpoint()
    db.close()


def workspace(pool: Path, target: Path) -> None:
    """A workspace over a pool that make() left: a copy of its database, and thumbnails as ingest would have left them."""
    target.mkdir(parents=True, exist_ok=True)
    shutil.copy(pool / NAME, target / "raum.db")
    (target / "settings.toml").write_text(SETTINGS, encoding="utf-8")
    db = database.open(target / "raum.db")
    with db.read() as tx:
        answered = images.get_many(tx, [each.image_id for each in labels.settled(tx)])
    db.close()
    for image in answered:
        thumbnail = target / "thumbnails" / str(image.id // 1000) / f"{image.id}.jpg"
        thumbnail.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(image.path, thumbnail)
    shutil.copytree(pool / "maps", target / "maps")


def rows(files: list[Path], pool: int, *, held: int) -> Iterator[NewImage]:
    """`pool` rows over these files, each under a path of its own; the first `held` are the holdout."""
    at = 0
    while at < pool:
        between = _spelling(at // len(files))
        for file in files[: pool - at]:
            yield NewImage(
                path=f"{file.parent}{between}/{file.name}", digest=f"{at:064x}", bytes=1, width=demo.SIDE,
                height=demo.SIDE, holdout=1 + at % 2 if at < held else 0,
            )  # fmt: skip
            at += 1


def _spelling(number: int) -> str:
    """A path's own spelling for each number, as every row needs a path of its own: `/./` and `//` mean `/`."""
    return "".join("/." if number >> bit & 1 else "/" for bit in range(number.bit_length()))


def _answer(image_id: int, annotator_id: int, class_id: int) -> NewEvent:
    identifier = str(uuid.uuid4())
    return NewEvent(
        uuid=identifier, image_id=image_id, annotator_id=annotator_id, kind="label", class_id=class_id, source="oracle"
    )


def _maps(folder: Path) -> None:
    """One grey map of each kind, on the network's grid; every image's is a link to it."""
    folder.mkdir()
    for kind in KINDS:
        Image.radial_gradient("L").resize((14, 14)).save(folder / f"{kind}.png")


class Refreshes:
    """Publishes queues as the worker's refreshes do, so that rows, leases and maps change hands while people answer."""

    def __init__(self, workspace: Path, *, seed: int = 0) -> None:
        self.workspace, self.rng = workspace, random.Random(seed)
        self.db = database.open(workspace / "raum.db")
        with self.db.read() as tx:
            self.said = [each.id for each in classes.all_(tx)]
            self.labelled = [each.image_id for each in labels.settled(tx)]
            self.ok = images.counts(tx)["ok"]
            self.held = set(images.holdout(tx))

    def publish(self) -> int:
        """One queue over what is still open, with maps of its head; returns the publication."""
        with self.db.read() as tx:
            watermark, settled = labels.watermark(tx), {each.image_id for each in labels.settled(tx)}
        chosen = self.rng.sample(range(1, self.ok + 1), min(self.ok, 2 * QUEUE_LENGTH + len(settled & self.held)))
        asked = [each for each in chosen if each not in settled and each not in self.held][:QUEUE_LENGTH]
        rows = queue.ready([self._row(at, image_id) for at, image_id in enumerate(asked)])
        new = NewPublication(
            kind="refresh", watermark=watermark, calibrated=True, pool_size=self.ok, created_at=time.time()
        )
        drawn = self._draw(asked[:MAPPED])
        with self.db.write() as tx:
            published = queue.publish(tx, new, rows)
            drawn.rename(self.workspace / "overlays" / str(published))
            state: dict[str, Any] = {"phase": "ready", "message": "bench page publishes", "now": time.time()}
            workers.beat(tx, "worker", os.getpid(), device="cpu", **state)
        return published

    def end(self) -> None:
        self.db.close()

    def _row(self, position: int, image_id: int) -> QueueRow:
        top = self.rng.sample(self.said, min(5, len(self.said)))
        return QueueRow(
            position=position, image_id=image_id, reason="audit" if position % 10 == 9 else "uncertain", epistemic=0.4,
            suggestions=list(zip(top, (0.5, 0.2, 0.1, 0.05, 0.02), strict=False)),
            neighbours=[(class_id, self.rng.sample(self.labelled, 3)) for class_id in top[:3]],
            overlays=list(KINDS) if position < MAPPED else [],
            propensity=0.1 if position % 10 == 9 else None,
        )  # fmt: skip

    def _draw(self, ids: list[int]) -> Path:
        """The maps of these images in a folder that is still to get its publication's name."""
        folder = self.workspace / "overlays" / "new"
        folder.mkdir(parents=True)
        for image_id in ids:
            for kind in KINDS:
                os.link(self.workspace / "maps" / f"{kind}.png", folder / f"{image_id}-{kind}.png")
        return folder


def _work(workspace: Path) -> None:
    """Publish until this process is ended, as nice as the worker; each line printed is the seconds of one refresh."""
    if hasattr(os, "nice"):
        os.nice(5)
    refreshes, parent = Refreshes(workspace, seed=os.getpid()), os.getppid()
    while not processes.parent_is_gone(parent):
        began = time.perf_counter()
        refreshes.publish()
        print(time.perf_counter() - began, flush=True)
        time.sleep(EVERY)


if __name__ == "__main__":
    _work(Path(sys.argv[1]))
