"""`restore`: puts a backup in the place of a workspace's database, keeps what was there, and forgets what no longer fits."""

from __future__ import annotations

import contextlib
import datetime
import filecmp
import itertools
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from app import accounts, artifact_keeping, backups, consensus_file, errors, evidence_file, processes, review_file
from app.settings import Settings
from store import backup, database, images, labels, queue, records
from store import errors as store_errors

# Made from the database, by image id or publication id: after a restore the same ids may mean others.
BY_PUBLICATION = ("predictions", "overlays", consensus_file.NAME, review_file.NAME, evidence_file.NAME)
BY_IMAGE = ("cache", "embeddings", "thumbnails")


def restore(settings: Settings, source: Path, *, now: float) -> str:
    """Put the backup `source` (a file, or a folder that `backup` wrote) in place; returns a sentence.

    The backup is copied, checked and migrated first; the database that was there stays in the folder of backups. Raises
    WorkspaceBusy while a page or worker runs (with its pid) or another program has the database open, and
    store.errors.CannotOpen for a backup that is damaged, newer than this program or none at all; then nothing changes.
    """
    given = source / backups.DATABASE if source.is_dir() else source
    settings.workspace.mkdir(parents=True, exist_ok=True)
    with processes.only_one(settings.workspace, "page"), processes.only_one(settings.workspace, "worker"):
        fresh = settings.file.with_name(f"{settings.file.name}.restored-{os.getpid()}")
        try:
            done = _copied(given, fresh)
            kept, later, same = _put_aside(settings, fresh, now=now)
            _forget(settings.workspace, keep_images=same)
            os.replace(fresh, settings.file)
            backup.flush(settings.workspace)
        finally:
            for left in (fresh, *_beside(fresh)):
                left.unlink(missing_ok=True)
        brought = _bring(source, settings) if source.is_dir() else []
        network = _start_over_without_network(settings, now=now)
        with contextlib.closing(database.open(settings.file)) as db:
            people = accounts.restored(db, now=now)
    told = [f"restored {done} from {given}"]
    if kept is not None:
        told.append(
            f"what was there is kept as {kept}" + (f", with {later:,} later answers and skips" if later else "")
        )
    told += [f"{name} came with it" for name in brought]
    if not same:
        told.append("small pictures, cached pixels and embeddings are made anew, since the images may be others")
    if people:
        told.append(
            "users, passwords and API tokens are as they were then, everybody logs in anew: look at user list and "
            "user token list for whom or what was locked out since"
        )
    return "; ".join([*told, *network])


def _copied(given: Path, fresh: Path) -> str:
    """Copy the backup (with its log, when it is a bare copy of a database that was in use), check it, migrate it."""
    if not given.is_file():
        raise store_errors.NotADatabase(f"there is no backup {given}")
    for left in (fresh, *_beside(fresh)):
        left.unlink(missing_ok=True)
    shutil.copyfile(given, fresh)
    for theirs, ours in zip(_beside(given)[:1], _beside(fresh)[:1], strict=True):
        if theirs.is_file():
            shutil.copyfile(theirs, ours)
    try:
        found = backup.look(fresh)
    except store_errors.CannotOpen as problem:
        said = str(problem).replace(str(fresh), str(given))
        raise type(problem)(f"{said}; nothing was restored") from problem
    database.open(fresh).close()  # an older version is migrated; the backup itself stays as it is
    _let_alone(fresh)
    backup.flush(fresh)
    return f"{found.answers:,} answers about {found.images:,} images (up to event {found.watermark:,})"


def _put_aside(settings: Settings, fresh: Path, *, now: float) -> tuple[Path | None, int, bool]:
    """Keep the database that is there under a name of its own.

    Returns that name, how many events the backup lacks, and whether both know the same images under the same ids.
    """
    old = settings.file
    if not old.exists():
        return None, 0, False
    with contextlib.suppress(sqlite3.DatabaseError):  # damaged: kept as it is, with its log
        _let_alone(old)
    later, same = _compared(old, fresh)
    stamp = datetime.datetime.fromtimestamp(now, tz=datetime.timezone.utc).strftime("%Y-%m-%d-%H%M%S")
    kept = backups.folder(settings) / f"replaced-{stamp}.db"
    kept.parent.mkdir(exist_ok=True)
    if kept.exists():
        raise errors.BadRequest(f"{kept} is there already: ask again in a second")
    shutil.copyfile(old, kept)
    for theirs, ours in zip(_beside(old), _beside(kept), strict=True):
        if theirs.exists():  # a log that stayed would be played into the new database
            theirs.rename(ours)
    backup.flush(kept)
    backup.flush(kept.parent)
    return kept, later, same


def _let_alone(path: Path) -> None:
    try:
        backup.alone(path)
    except store_errors.Busy as problem:
        raise errors.WorkspaceBusy(
            f"another program has {path} open (an ingest, a round or an export by hand): let it end, then restore again"
        ) from problem


def _compared(old: Path, fresh: Path) -> tuple[int, bool]:
    """How many events only `old` has, and whether both know the same images; nothing is known of a damaged one."""
    try:
        with contextlib.ExitStack() as opened:
            before, after = (opened.enter_context(_reading(path)) for path in (old, fresh))
            pairs = itertools.zip_longest(images.each_ok(before), images.each_ok(after))
            same = all(mine and theirs and _same(mine, theirs) for mine, theirs in pairs)
            return max(0, labels.watermark(before) - labels.watermark(after)), same
    except (sa.exc.DatabaseError, store_errors.StoreError):
        return 0, False


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[sa.Connection]:
    db = database.Database(database.to_url(path))
    try:
        with db.read() as tx:
            yield tx
    finally:
        db.close()


def _same(mine: records.Image, theirs: records.Image) -> bool:
    return (mine.id, mine.path, mine.digest) == (theirs.id, theirs.path, theirs.digest)


def _forget(workspace: Path, *, keep_images: bool) -> None:
    """Remove what is made anew from the database and would now be of other images or publications."""
    for name in (*BY_PUBLICATION, *(() if keep_images else BY_IMAGE)):
        place = workspace / name
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)


def _bring(source: Path, settings: Settings) -> list[str]:
    """Take checkpoint and embeddings from the folder of a backup, and the settings where the workspace has none."""
    brought = []
    for name in backups.named(settings.file):
        theirs, ours = source / name, settings.workspace / name
        beside = ours.with_name(f"{ours.name}.tmp")
        ours.parent.mkdir(parents=True, exist_ok=True)
        if theirs.is_dir():
            shutil.rmtree(beside, ignore_errors=True)
            shutil.copytree(theirs, beside)
            shutil.rmtree(ours, ignore_errors=True)
            beside.rename(ours)
            brought.append(name)
        elif theirs.is_file() and not (ours.is_file() and filecmp.cmp(theirs, ours, shallow=False)):
            shutil.copyfile(theirs, beside)
            backup.flush(beside)
            beside.replace(ours)
            brought.append(name)
    theirs, ours = source / backups.SETTINGS, settings.workspace / backups.SETTINGS
    if theirs.is_file() and not ours.exists():
        shutil.copyfile(theirs, ours)
        brought.append(backups.SETTINGS)
    return brought


def _start_over_without_network(settings: Settings, *, now: float) -> list[str]:
    """Where the network of the publication shown is not there, show an empty queue of none: people label, rounds train."""
    db = database.open(settings.file)
    try:
        artifact_keeping.at_hand(db, settings)
        with db.write(durable=True) as tx:
            shown = queue.current(tx)
            if shown is None or not shown.checkpoint or (settings.workspace / shown.checkpoint).is_file():
                return []
            queue.start_over(tx, now)
    finally:
        db.close()
    return [f"the network {shown.checkpoint} is not there, so the next round trains a new one"]


def _beside(path: Path) -> list[Path]:
    """The log of a database and its index."""
    return [path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")]
