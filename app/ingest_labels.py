"""Classes and labels that come with a folder: a class list, folder names as classes, folder names as labels."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.engine import Connection

from app import ingest_files, snapshot
from store import annotators, classes, images, labels, records
from store.database import Database

_BATCH = 200
_IMPORT_SPACE = uuid.UUID("6c1f0b1e-52f0-4c0b-9a53-6d9f2f2b6f11")


@dataclass
class IngestReport:
    """What an ingest did. Counts of images unless said otherwise."""

    found: int = 0
    added: int = 0
    known: int = 0
    quarantined: int = 0
    labels: int = 0
    holdout: int = 0  # in all, afterwards
    straddling: int = 0  # see ingest_groups.Grouping
    links: int = 0  # links passed over
    changed: list[str] = field(default_factory=list)  # paths of known images whose file is another one now
    classes: list[str] = field(default_factory=list)  # names of classes added
    unmatched: list[str] = field(default_factory=list)  # folders that name no class, where labels were asked for
    closed: list[str] = field(default_factory=list)  # folders that could not be read, and why
    unfetched: list[str] = field(default_factory=list)  # images elsewhere that could not be had this time, and why
    stopped: bool = False
    # with boxes: pictures that have some, that have none, that the box file does not name, that its detector could not
    # read; pictures that it names and that are not here; boxes left out by why
    scenes: int = 0
    empty: int = 0
    unlisted: int = 0
    undetected: int = 0
    missing: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)


def given_names(classes_file: str | Path | None, class_names: Sequence[str] | None) -> list[str]:
    """Class names from a file or a list, checked; none when neither is given."""
    if classes_file is not None:
        return ingest_files.read_classes(classes_file)
    return ingest_files.check_classes(class_names or ())


def add_classes(
    tx: Connection, names: list[str], files: Sequence[ingest_files.Found], from_folders: bool, now: float
) -> list[str]:
    """Add the classes that were never there under this name; returns their names."""
    ever = classes.ever(tx)
    if not names and (from_folders or not ever):
        names = ingest_files.folder_classes(files)
        if from_folders and not names:
            raise ingest_files.IngestError(
                "the images do not lie in one folder per class, so there are no labels to import"
            )
    known = {label_class.name.casefold() for label_class in ever}
    fresh = [name for name in names if name.casefold() not in known and classes.by_name(tx, name) is None]
    return [classes.add(tx, name, now).name for name in fresh]


def import_labels(db: Database, tops: dict[str, str], report: IngestReport, now: float) -> None:
    """Import folder names as labels of the images that are stored already and that nobody has answered."""
    with db.read() as tx:
        answered = {settled.image_id for settled in labels.settled(tx)}
        open_ = [image for image in images.all_ok(tx) if image.file in tops and image.id not in answered]
    for start in range(0, len(open_), _BATCH):
        with db.write(durable=True) as tx:
            pairs = [(image.id, tops[image.file]) for image in open_[start : start + _BATCH]]
            report.labels += append_labels(tx, pairs, report, now)


def append_labels(tx: Connection, pairs: Iterable[tuple[int, str]], report: IngestReport, now: float) -> int:
    """Append a label event per (image id, class name); returns how many are new. A retracted one stays retracted."""
    importer = annotators.ensure(tx, snapshot.IMPORTER, now)
    by_name = {label_class.name: label_class.id for label_class in classes.all_(tx)}
    by_key = {name.casefold(): class_id for name, class_id in by_name.items()}
    new = 0
    for image_id, name in pairs:
        class_id = by_key.get(name.casefold())
        if class_id is None:
            if name not in report.unmatched:
                report.unmatched.append(name)
            continue
        event = records.NewEvent(
            uuid=str(uuid.uuid5(_IMPORT_SPACE, f"{image_id}:{class_id}")),
            image_id=image_id,
            annotator_id=importer.id,
            kind="label",
            class_id=class_id,
            source="import",
        )
        new += labels.append(tx, event, now)[1]
    return new
