"""`verify`: looks through a whole workspace and says what is wrong, each in a sentence, and what to do about it."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from app import artifacts, backups, errors, ingest_read, predictions, remote, verify_files
from app.settings import Settings
from store import backup, database, images, labels, queue, records, schema
from store import errors as store_errors

AT_ONCE = 5000  # images read from the database
NAMED = 5  # of each kind of fault in the terminal; --json names all
UNFINISHED_SECONDS = 3600.0  # a younger one is being written
RESTORE = "end page and worker, then run: python launch.py restore with one of the files in backups/"
REBUILD = "run: python launch.py verify --rebuild (it backs up first)"


class Finding(NamedTuple):
    """One thing that is wrong: which, why, and what to do; `kind` groups findings of the same sort."""

    kind: str
    what: str
    why: str
    todo: str


Tell = Callable[[float, str], None]  # fraction of all, what is looked at


def verify(settings: Settings, *, every_byte: bool = False, progress: Tell | None = None) -> Iterator[Finding]:
    """Everything that is wrong with a workspace, as it is found; nothing is changed, and little of it is held in memory.

    `every_byte` reads each image file; otherwise only those whose size or time is another than ingest saw. Raises
    BadRequest where there is no workspace.
    """
    if not settings.exists:
        raise errors.BadRequest(f"there is no workspace at {settings.workspace}: name it with --workspace")
    return _everything(settings, every_byte, progress or (lambda fraction, what: None))


def _everything(settings: Settings, every_byte: bool, tell: Tell) -> Iterator[Finding]:
    tell(0.0, "the database")
    broken, current = _database(settings)
    yield from broken
    if current:
        db = database.Database(database.to_url(settings.database))
        try:
            yield from _states(db, _part(tell, 0.1, 0.5))
            yield from _publications(db, settings)
            yield from _images(db, settings, every_byte, _part(tell, 0.5, 0.8))
        finally:
            db.close()
    tell(0.8, "caches and predictions")
    yield from _cache(settings.workspace)
    yield from _predictions(settings.workspace)
    yield from _thumbnails(settings.workspace, _part(tell, 0.8, 0.9))
    tell(0.9, "backups")
    yield from _backups(settings.workspace)
    yield from _unfinished(settings.workspace)


def _part(tell: Tell, start: float, end: float) -> Tell:
    """Progress of a step that goes from `start` to `end` of the whole."""
    return lambda fraction, what: tell(start + (end - start) * min(1.0, fraction), what)


def rebuild(settings: Settings, *, now: float) -> str:
    """Fold every image's state anew from its events, after a backup; returns a sentence. People may answer meanwhile."""
    kept = backups.by_hand(settings, None, now=now)
    db = database.open(settings.database)
    try:
        changed, last = 0, 0  # type: int, int | None
        while last is not None:
            with db.write(durable=True) as tx:
                more, last = labels.rebuild_some(tx, last)
            changed += more
    finally:
        db.close()
    return f"{kept}\n{changed:,} states were folded anew from their events"


def _database(settings: Settings) -> tuple[list[Finding], bool]:
    """The file itself; and whether it is whole and of this program's version, so that its rows can be looked at.

    A server's files are its own to check (pg_amcheck): there it is the version alone.
    """
    try:
        if isinstance(settings.database, Path):
            found = backup.look(settings.database).version
        else:
            with contextlib.closing(database.Database(settings.database)) as db:
                found = database.version(db) or "none"
    except store_errors.Unreachable:  # nothing is known of it
        raise
    except store_errors.NewerDatabase as problem:
        return [Finding("database", str(settings.database), str(problem), "install the newer program again")], False
    except store_errors.StoreError as problem:
        return [Finding("database", str(settings.database), str(problem), RESTORE)], False
    if found != schema.VERSIONS[-1]:
        why = f"it has version {found}, this program works with {schema.VERSIONS[-1]}: its rows were not looked at"
        return [Finding("database", str(settings.database), why, "start launch.py: it backs up, then migrates")], False
    return [], True


def _states(db: database.Database, tell: Tell) -> Iterator[Finding]:
    with db.read() as tx:
        missing, most = labels.missing_events(tx), images.counts(tx)["total"]
    if missing:
        yield Finding("events", "label_events", f"{missing:,} of the events that were counted are not there", RESTORE)
    last: int | None = 0
    while last is not None:
        tell(last / max(1, most), f"what counts for image {last:,}")
        with db.read() as tx:
            wrong, last = labels.wrong_states(tx, last)
        for image_id in wrong:
            yield Finding("state", f"image {image_id}", "what counts for it is not what its events say", REBUILD)


def _publications(db: database.Database, settings: Settings) -> Iterator[Finding]:
    """Checkpoints and embeddings, each once; embeddings of an untrained network may still be on their way."""
    with db.read() as tx:
        published, there = queue.publications(tx), artifacts.known(tx, settings)
    shown = published[-1] if published else None
    for name in dict.fromkeys(each.checkpoint for each in published if each.checkpoint):
        path = settings.workspace / name
        why = verify_files.checkpoint(path) if path.is_file() else None if name in there else "it is not there"
        if why and shown and name == shown.checkpoint:
            yield Finding(
                "checkpoint", name, f"{why}, and it is the network shown", f"take it from a backup, or {RESTORE}"
            )
        elif why:
            yield Finding(
                "checkpoint", name, f"{why}, but a newer network is shown", "take it from a backup if you want it"
            )
    for name, trained in dict.fromkeys(
        (each.embeddings, bool(each.checkpoint)) for each in published if each.embeddings
    ):
        path = settings.workspace / name
        why = (
            verify_files.embeddings(path)
            if path.is_dir()
            else "it is not there"
            if trained and name not in there
            else None
        )
        if why:
            yield Finding("embeddings", name, why, "remove it; the worker makes it anew when it starts")


def _images(db: database.Database, settings: Settings, every_byte: bool, tell: Tell) -> Iterator[Finding]:
    with db.read() as tx:
        total, seen, before = images.counts(tx)["ok"], 0, ""
        known = images.all_after(tx, 0, AT_ONCE)
    while known:
        for image in known:
            if image.file != before:  # boxes of one picture follow each other
                yield from _image(image, settings.workspace, every_byte)
            before = image.file
        seen += len(known)
        tell(seen / total, f"image file {seen:,} of {total:,}")
        with db.read() as tx:
            known = images.all_after(tx, known[-1].id, AT_ONCE)


def _image(image: records.Image, workspace: Path, every_byte: bool) -> Iterator[Finding]:
    if remote.is_address(image.file):
        yield from _elsewhere(image, workspace, every_byte)
        return
    path = Path(image.file)
    try:
        seen = path.stat()
        same = (seen.st_size, seen.st_mtime_ns) == (image.bytes, image.mtime_ns)
        if (same and not every_byte) or (image.digest and ingest_read.digest_of(path) == image.digest):
            return
    except OSError as problem:
        why = "the file is not there" if isinstance(problem, FileNotFoundError) else f"it cannot be read: {problem}"
        yield Finding("missing image", image.path, why, "put it back where it was; its answers are kept")
        return
    why = "the file holds other bytes than when it was added"
    yield Finding("changed image", image.path, why, "put the old file back; its answers were given to that one")


def _elsewhere(image: records.Image, workspace: Path, every_byte: bool) -> Iterator[Finding]:
    """What is in the cache, if anything; with `every_byte` the file as it is at its address now."""
    try:
        kept = remote.cache(workspace)
        path = kept.fetch(image.file, again=True) if every_byte else kept.path(image.file)
        if not path.is_file() or not image.digest or ingest_read.digest_of(path) == image.digest:
            return
    except errors.RemoteError as problem:
        yield Finding("missing image", image.path, str(problem), "put it back where it was; its answers are kept")
        return
    except OSError as problem:
        yield Finding("cache", image.path, f"its fetched file cannot be read: {problem}", f"remove {path}")
        return
    why = "what was fetched are other bytes than when it was added"
    yield Finding("changed image", image.path, why, f"put the old file back at its address, and remove {path}")


def _cache(workspace: Path) -> Iterator[Finding]:
    for path in sorted((workspace / "cache").glob("[0-9]*/*.pixels.npy")):
        if path.name.startswith("tmp-"):
            continue
        why = verify_files.segment(path, int(path.parent.name))
        if why:
            name = str(path.relative_to(workspace))
            yield Finding("cache", name, why, "remove it and its .ids.npy; the pixels are decoded again when needed")


def _predictions(workspace: Path) -> Iterator[Finding]:
    for publication in predictions.published(workspace):
        try:
            predictions.load(workspace, publication)
        except errors.NotFound:
            why = "a file of it is not there"
        except errors.BadRequest as problem:
            why = str(problem)
        else:
            continue
        yield Finding(
            "predictions", f"predictions/{publication}", why, "remove the folder and wait for the next refresh"
        )


def _thumbnails(workspace: Path, tell: Tell) -> Iterator[Finding]:
    folders = sorted((workspace / "thumbnails").glob("[0-9]*"))  # a thousand in each
    for number, folder in enumerate(folders):
        tell(number / len(folders), f"small pictures in {folder.name}")
        for path in sorted(folder.glob("*.jpg")):
            why = verify_files.jpeg(path)
            if why:
                name = str(path.relative_to(workspace))
                yield Finding("thumbnail", name, why, "remove it; it is made anew when it is shown")


def _backups(workspace: Path) -> Iterator[Finding]:
    for path in sorted((workspace / backup.FOLDER).glob("*.db")):
        try:
            if not path.name.startswith("replaced-"):  # may have been kept because it is damaged
                backup.look(path)
        except store_errors.StoreError as problem:
            yield Finding(
                "backup", str(path.relative_to(workspace)), str(problem), "remove it; restore from another one"
            )


def _unfinished(workspace: Path) -> Iterator[Finding]:
    for path in verify_files.written_beside(workspace):
        try:
            age = time.time() - path.stat().st_mtime
        except FileNotFoundError:  # finished meanwhile
            continue
        if age > UNFINISHED_SECONDS:
            why = f"it was being written {age / 3600:.0f} hours ago and never finished"
            yield Finding("unfinished", str(path.relative_to(workspace)), why, "remove it; nothing reads it")


class Counted:
    """Passes findings on and keeps their number."""

    def __init__(self) -> None:
        self.number = 0

    def __call__(self, found: Iterable[Finding]) -> Iterator[Finding]:
        for one in found:
            self.number += 1
            yield one


def sentences(found: Iterable[Finding]) -> Iterator[str]:
    """A line for each finding as it comes; of many of one kind the first few, and in the end how many more."""
    count: Counter[str] = Counter()
    for one in found:
        count[one.kind] += 1
        if count[one.kind] <= NAMED:
            yield f"{one.kind}: {one.what}: {one.why}. To do: {one.todo}."
    for kind, number in count.items():
        if number > NAMED:
            yield f"{kind}: {number - NAMED:,} more of the same; --json names them all."


def as_json(settings: Settings, found: Iterable[Finding]) -> Iterator[str]:
    """The lines of the same for programs, as they come; the last says how many there are."""
    yield f'{{"workspace": {json.dumps(str(settings.workspace))}, "findings": ['
    number = 0
    for number, one in enumerate(found, 1):
        yield f"{',' if number > 1 else ''}{json.dumps(one._asdict())}"
    yield f'], "wrong": {number}}}'
