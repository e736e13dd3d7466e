"""`verify`: looks through a whole workspace and says what is wrong, each in a sentence, and what to do about it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from app import backups, errors, ingest_read, predictions, verify_files
from app.settings import Settings
from store import backup, database, images, labels, queue, schema
from store import errors as store_errors

NAMED = 5  # of each kind of fault in the terminal; --json names all
MADE_IN = ("cache", "embeddings", "checkpoints", "predictions", "overlays", "thumbnails", "backups")
UNFINISHED = re.compile(  # how things are called while they are written beside their place
    r".*\.tmp|tmp-.*|\..*\.half|new(-\d+)?|.*\.db\.restored-\d+(-wal|-shm)?|.*\.json\.\d+"
)
UNFINISHED_SECONDS = 3600.0  # a younger one is being written
RESTORE = "end page and worker, then run: python launch.py restore with one of the files in backups/"
REBUILD = "run: python launch.py verify --rebuild (it backs up first)"


class Finding(NamedTuple):
    """One thing that is wrong: which, why, and what to do; `kind` groups findings of the same sort."""

    kind: str
    what: str
    why: str
    todo: str


def verify(settings: Settings, *, every_byte: bool = False) -> list[Finding]:
    """Everything that is wrong with a workspace, in the order of weight; nothing is changed.

    `every_byte` reads each image file; otherwise only those whose size or time is another than ingest saw. Raises
    BadRequest where there is no workspace.
    """
    if not settings.database.is_file():
        raise errors.BadRequest(f"there is no workspace at {settings.workspace}: name it with --workspace")
    broken, current = _database(settings)
    found = list(broken)
    if current:
        db = database.Database(database.to_url(settings.database))
        try:
            for look in (_states, _publications):
                found += look(db, settings)
            found += _images(db, every_byte=every_byte)
        finally:
            db.close()
    for see in (_cache, _predictions, _thumbnails, _backups, _unfinished):
        found += see(settings.workspace)
    return found


def rebuild(settings: Settings, *, now: float) -> str:
    """Fold every image's state anew from its events, after a backup; returns a sentence."""
    kept = backups.by_hand(settings, None, now=now)
    db = database.open(settings.database)
    try:
        with db.write(durable=True) as tx:
            changed = labels.rebuild(tx)
    finally:
        db.close()
    return f"{kept}\n{changed:,} states were folded anew from their events"


def _database(settings: Settings) -> tuple[list[Finding], bool]:
    """The file itself; and whether it is whole and of this program's version, so that its rows can be looked at."""
    try:
        found = backup.look(settings.database)
    except store_errors.NewerDatabase as problem:
        return [Finding("database", str(settings.database), str(problem), "install the newer program again")], False
    except store_errors.StoreError as problem:
        return [Finding("database", str(settings.database), str(problem), RESTORE)], False
    if found.version != schema.VERSIONS[-1]:
        why = f"it has version {found.version}, this program works with {schema.VERSIONS[-1]}: its rows were not looked at"
        return [Finding("database", str(settings.database), why, "start launch.py: it backs up, then migrates")], False
    return [], True


def _states(db: database.Database, _settings: Settings) -> Iterator[Finding]:
    with db.read() as tx:
        missing, wrong = labels.missing_events(tx), labels.wrong_states(tx)
    if missing:
        yield Finding("events", "label_events", f"{missing:,} of the events that were counted are not there", RESTORE)
    for image_id in wrong:
        yield Finding("state", f"image {image_id}", "what counts for it is not what its events say", REBUILD)


def _publications(db: database.Database, settings: Settings) -> Iterator[Finding]:
    """Checkpoints and embeddings, each once; embeddings of an untrained network may still be on their way."""
    with db.read() as tx:
        published = queue.publications(tx)
    shown = published[-1] if published else None
    for name in dict.fromkeys(each.checkpoint for each in published if each.checkpoint):
        path = settings.workspace / name
        why = verify_files.checkpoint(path) if path.is_file() else "it is not there"
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
        why = verify_files.embeddings(path) if path.is_dir() else "it is not there" if trained else None
        if why:
            yield Finding("embeddings", name, why, "remove it; the worker makes it anew when it starts")


def _images(db: database.Database, *, every_byte: bool) -> Iterator[Finding]:
    with db.read() as tx:
        known = images.all_ok(tx)
    for image in known:
        path = Path(image.path)
        try:
            seen = path.stat()
            same = (seen.st_size, seen.st_mtime_ns) == (image.bytes, image.mtime_ns)
            if (same and not every_byte) or (image.digest and ingest_read.digest_of(path) == image.digest):
                continue
        except OSError as problem:
            why = "the file is not there" if isinstance(problem, FileNotFoundError) else f"it cannot be read: {problem}"
            yield Finding("missing image", image.path, why, "put it back where it was; its answers are kept")
            continue
        why = "the file holds other bytes than when it was added"
        yield Finding("changed image", image.path, why, "put the old file back; its answers were given to that one")


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


def _thumbnails(workspace: Path) -> Iterator[Finding]:
    for path in sorted((workspace / "thumbnails").glob("[0-9]*/*.jpg")):
        why = verify_files.jpeg(path)
        if why:
            yield Finding(
                "thumbnail", str(path.relative_to(workspace)), why, "remove it; it is made anew when it is shown"
            )


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
    for path in _written_beside(workspace):
        try:
            age = time.time() - path.stat().st_mtime
        except FileNotFoundError:  # finished meanwhile
            continue
        if age > UNFINISHED_SECONDS:
            why = f"it was being written {age / 3600:.0f} hours ago and never finished"
            yield Finding("unfinished", str(path.relative_to(workspace)), why, "remove it; nothing reads it")


def _written_beside(workspace: Path) -> Iterator[Path]:
    """Whatever has the name of something half written; what lies in such a folder is not told again."""
    yield from (path for path in sorted(workspace.iterdir()) if UNFINISHED.fullmatch(path.name))
    for top in MADE_IN:
        for folder, folders, files in os.walk(workspace / top):
            half = [name for name in (*folders, *files) if UNFINISHED.fullmatch(name)]
            yield from (Path(folder) / name for name in sorted(half))
            folders[:] = [name for name in folders if name not in half]


def sentences(found: list[Finding]) -> list[str]:
    """A line for each finding; of many of one kind the first few and how many more."""
    by_kind: dict[str, list[Finding]] = {}
    for each in found:
        by_kind.setdefault(each.kind, []).append(each)
    lines = []
    for kind, some in by_kind.items():
        lines += [f"{one.kind}: {one.what}: {one.why}. To do: {one.todo}." for one in some[:NAMED]]
        if len(some) > NAMED:
            lines.append(f"{kind}: {len(some) - NAMED:,} more of the same; --json names them all.")
    return lines


def as_json(settings: Settings, found: list[Finding]) -> dict[str, Any]:
    """The same for programs."""
    return {"workspace": str(settings.workspace), "wrong": len(found), "findings": [each._asdict() for each in found]}
