"""Takes a folder of images into the store: a few at a time, so that people can label while the rest is read."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app import (
    ingest_apart,
    ingest_files,
    ingest_groups,
    ingest_labels,
    ingest_order,
    ingest_read,
    ingest_scenes,
    ingest_similar,
    ingest_sources,
)
from store import images, records
from store.database import Database

IngestError = ingest_files.IngestError
IngestReport = ingest_labels.IngestReport

_FIRST_BATCH, _BATCH = 48, 200


def ingest(
    db: Database,
    folder: str | Path | ingest_sources.Here,
    *,
    workspace: Path,
    now: float,
    classes_file: str | Path | None = None,
    class_names: Sequence[str] | None = None,
    labels_from_folders: bool = False,
    boxes: ingest_scenes.Asked | None = None,
    seed: int = 0,
    max_megapixels: float = 100.0,
    workers: int | None = None,
    progress: Callable[[float, str], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> IngestReport:
    """Add the images of a folder or an address that are not known yet; classes from a file, a list, or class folders.

    Files are read in random order and committed in short batches; what cannot be read is quarantined with its reason.
    Without `classes_file` and `class_names`, the subfolders of an ImageFolder become classes when the store has none.
    With `boxes` each box is an image, and folders are no classes unasked: they are often those of cameras.
    `labels_from_folders` makes them classes in any case and imports them as labels of images nobody has answered.
    Raises IngestError when there is no folder, no image in it, or a class list that cannot be used.
    """
    source = ingest_sources.of(folder, workspace)
    names = ingest_labels.given_names(classes_file, class_names)
    tell = progress or (lambda fraction, message: None)
    walk = source.walk(lambda number: tell(0.0, f"found {number:,} images so far"))
    if not walk.files:
        raise IngestError(_nothing_in(source.root, walk))
    report = IngestReport(found=len(walk.files), links=walk.links, closed=walk.closed, unfetched=source.unfetched)
    files, by_folder = _with_boxes(db, walk.files, source.root, boxes, report)
    with db.write() as tx:
        of = walk.files if by_folder or labels_from_folders else []
        report.classes = ingest_labels.add_classes(tx, names, of, labels_from_folders, now)
    fresh = _fresh(db, files, source, report)
    total = sum(file.count for file in fresh)
    if not fresh and not labels_from_folders:
        with db.read() as tx:
            report.holdout = images.counts(tx)["holdout"]
        return report
    session = _Session(db, workspace, now, np.random.default_rng([seed, 0xF01DE5]), report)
    tops = {file.name: file.top for file in files} if labels_from_folders else {}
    if labels_from_folders:
        ingest_labels.import_labels(db, tops, report, now)
    apart = ingest_apart.Readers(max_pixels=round(max_megapixels * 1e6))
    with apart, source, _emptied(workspace / "thumbnails" / "new") as beside:
        readings = _readings(fresh, session.rng, beside, apart, source, workers)
        for batch in _batches(readings):
            session.commit(batch, tops, to_come=max(0, total - report.added - report.quarantined - len(batch)))
            _tell(tell, report, total)
            if stop is not None and stop():
                report.stopped = True
                break
    report.holdout = session.grouping.held[1] + session.grouping.held[2]
    report.straddling = session.grouping.straddling
    return report


class _Session:
    """One ingest's growing knowledge of groups, and its writes."""

    def __init__(
        self, db: Database, workspace: Path, now: float, rng: np.random.Generator, report: IngestReport
    ) -> None:
        self.db, self.thumbnails, self.now, self.rng, self.report = db, workspace / "thumbnails", now, rng, report
        self.ids: list[int] = []
        self.grouping = ingest_groups.Grouping(ingest_similar.Index(stored=self._signature), rng)
        with db.read() as tx:
            self.grouping.recall(self._numbered(images.each_ok(tx)))

    def commit(self, batch: Sequence[ingest_read.Reading], tops: dict[str, str], *, to_come: int) -> None:
        """Store one batch: rows, thumbnails and, where folders are labels, label events, in one transaction."""
        good = [reading for reading in batch if reading.problem is None]
        bad = [reading for reading in batch if reading.problem is not None]
        places = self.grouping.place(good, to_come=to_come)
        rows = [_row(reading, place, self.now) for reading, place in zip(good, places, strict=True)]
        rows += [_row(reading, None, self.now) for reading in bad]
        with self.db.write(durable=bool(tops)) as tx:
            added = {image.path: image.id for image in images.get_many(tx, images.add_many(tx, rows))}
            for reading in good:
                if reading.name in added and reading.thumbnail is not None:
                    target = thumbnail_path(self.thumbnails.parent, added[reading.name])
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(reading.thumbnail, target)
            if tops:
                pairs = [(added[r.name], tops[r.found.name]) for r in good if r.name in added]
                self.report.labels += ingest_labels.append_labels(tx, pairs, self.report, self.now)
        self.ids += [added.get(reading.name, 0) for reading in good]
        self.grouping.index.let_go()
        self.report.added += len(good)
        self.report.quarantined += len(bad)

    def _numbered(self, stored: Iterator[records.Image]) -> Iterator[records.Image]:
        for image in stored:
            self.ids.append(image.id)
            yield image

    def _signature(self, number: int) -> ingest_read.Signature | None:
        """The small picture of a stored image, from its thumbnail; None when that is gone."""
        try:
            with Image.open(thumbnail_path(self.thumbnails.parent, self.ids[number])) as image:
                return ingest_read.signature(image)
        except OSError:
            return None


def thumbnail_path(workspace: Path, image_id: int) -> Path:
    """Where an image's thumbnail lies: at most a thousand in a folder."""
    return workspace / "thumbnails" / str(image_id // 1000) / f"{image_id}.jpg"


def _nothing_in(root: str, walk: ingest_files.Walk) -> str:
    links = f"; {walk.links} links were passed over, give the folder they lead to" if walk.links else ""
    closed = f"; could not read {walk.closed[0]}" if walk.closed else ""
    kinds = "JPEG, PNG, WebP, BMP, TIFF or GIF"
    return f"no {kinds} images in {ingest_files.printable(root)}{links}{closed}"


def _with_boxes(
    db: Database,
    files: list[ingest_files.Found],
    root: str,
    boxes: ingest_scenes.Asked | None,
    report: IngestReport,
) -> tuple[list[ingest_files.Found], bool]:
    """The files with the boxes that are asked for, now or the last time; and whether there are none."""
    with db.read() as tx:
        wanted = boxes or ingest_scenes.kept(tx, root)
    if wanted is None:
        return files, True
    cut = ingest_scenes.cut(files, root, wanted, report)
    with db.write() as tx:
        ingest_scenes.keep(tx, root, wanted)
    return cut, False


def _fresh(
    db: Database, files: Sequence[ingest_files.Found], source: ingest_sources.Here, report: IngestReport
) -> list[ingest_files.Found]:
    """What is not known; files that are known but have other times or sizes are looked at by digest."""
    with db.read() as tx:
        known, scenes = images.known_paths(tx), images.known_scenes(tx)
        seen = known | {scene: told[:2] for scene, told in scenes.items()}
        differing = {file.name for file in files if seen.get(file.name, (0, 0)) != (file.mtime_ns, file.bytes)}
        digests = {image.file: image.digest for image in images.each_ok(tx) if image.file in differing}
        unreadable = {image.path for image in images.quarantined(tx)}
        digests.update(dict.fromkeys(unreadable & differing))
    for file in files:
        if file.name in digests and source.digest(file) != digests[file.name]:
            report.changed.append(file.name)
    fresh = list(ingest_scenes.fresh(files, known, scenes, unreadable))
    report.known = sum(file.count for file in files) - sum(file.count for file in fresh)
    return fresh


def _readings(
    files: Sequence[ingest_files.Found],
    rng: np.random.Generator,
    beside: Path,
    apart: ingest_apart.Readers,
    source: ingest_sources.Here,
    workers: int | None,
) -> Iterator[ingest_read.Reading]:
    """Readings in shuffled order, made a little ahead of what is asked for, so memory stays bounded."""
    threads = workers or min(os.cpu_count() or 1, 8)
    with futures.ThreadPoolExecutor(threads, thread_name_prefix="ingest") as pool:
        ahead: deque[futures.Future[list[ingest_read.Reading]]] = deque()
        try:
            ordered = ingest_order.shuffled(
                files, rng=rng, time_of=lambda path: source.taken_at(apart, path), soon=source.soon
            )
            for number, found in enumerate(ordered):
                thumbnail = beside / f"{number}.jpg"
                ahead.append(pool.submit(source.read, apart, found, thumbnail=thumbnail))
                if len(ahead) > _BATCH:
                    yield from ahead.popleft().result()
            while ahead:
                yield from ahead.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _batches(readings: Iterator[ingest_read.Reading]) -> Iterator[list[ingest_read.Reading]]:
    """A small batch first, so that the first image is there soon, then full ones."""
    size = _FIRST_BATCH
    while batch := list(itertools.islice(readings, size)):
        yield batch
        size = _BATCH


def _row(reading: ingest_read.Reading, place: ingest_groups.Place | None, now: float) -> records.NewImage:
    return records.NewImage(
        path=reading.name,
        digest=reading.digest,
        width=reading.width,
        height=reading.height,
        bytes=reading.found.bytes,
        mtime_ns=reading.found.mtime_ns,
        phash=reading.phash,
        group_id=place.group_id if place else None,
        holdout=place.holdout if place else 0,
        status="ok" if place else "quarantined",
        problem=reading.problem,
        taken_at=reading.taken_at,
        added_at=now,
        **_in_scene(reading),
    )


def _in_scene(reading: ingest_read.Reading) -> dict[str, Any]:
    if reading.whole is None:
        return {}
    place = dict(zip(("box_x", "box_y", "box_w", "box_h"), reading.box or (), strict=False))
    return {"scene": reading.found.name, "scene_width": reading.whole[0], "scene_height": reading.whole[1], **place}


def _tell(progress: Callable[[float, str], None], report: IngestReport, total: int) -> None:
    done = report.added + report.quarantined
    apart = f", {report.quarantined:,} in quarantine" if report.quarantined else ""
    progress(done / max(total, 1), f"read {done:,} of {total:,} images{apart}")


@contextlib.contextmanager
def _emptied(folder: Path) -> Iterator[Path]:
    """A folder for thumbnails on their way, without what a killed ingest left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
