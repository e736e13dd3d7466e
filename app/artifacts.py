"""What learning leaves (networks, embeddings, predictions, maps) on storage that several machines reach: each put there
after it was written here, fetched by who lacks it.

An artifact is a file or folder of the workspace; there it is one tar under a name of its own. The database says which, with
its digest, and is told last: nobody ever finds half of one, and what has another digest is not taken.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import filelock
from sqlalchemy import Connection

from app import artifact_objects as objects
from app import consensus_file, errors, evidence_file, json_file, predictions, review_file
from app.settings import Settings
from store import queue, rounds
from store import settings as stored
from store.database import Database

PREFIX = "artifact:"  # settings rows: what app/artifact_objects.py tells, by the artifact's path in a workspace
RECORD = "artifacts.json"  # of a workspace: which object it has of each, and what the files looked like then
LISTS = (review_file.NAME, consensus_file.NAME, evidence_file.NAME)
PASSING = ("predictions/", "overlays/")  # of the newest publications alone
PART = re.compile(r"embeddings/\w[\w.-]*\.parts/(\d+\.npz|network\.safetensors)")
_NAME = re.compile(
    r"checkpoints/round-\d+\.safetensors|embeddings/\w[\w.-]*|(predictions|overlays)/\d+|(review|consensus|evidence)\.json"
)

log = logging.getLogger("raum.artifacts")
Told = objects.Told


def known(tx: Connection, settings: Settings, prefix: str = "") -> dict[str, Told]:
    """What the storage of the settings holds, by name."""
    if not settings.artifacts:
        return {}
    found = stored.with_prefix(tx, PREFIX + prefix)
    return {key[len(PREFIX) :]: told for key, told in found.items() if told and told["at"] == settings.artifacts}


def shown(tx: Connection, settings: Settings) -> list[str]:
    """The artifacts that a page reads."""
    current = queue.current(tx)
    if current is None:
        return []
    names = [f"overlays/{current.id}", *known(tx, settings, PASSING[0])]
    return [*([current.embeddings] if current.embeddings else []), *names, *LISTS]


def keep(db: Database, settings: Settings) -> int:
    """Put what is new in this workspace, what is shown first, and remove what no page reads any more; returns how many were
    put. Only for who learns: of what two machines have, the learner's counts. Raises RemoteError."""
    with db.read() as tx:
        current, every, there = queue.current(tx), rounds.all_(tx), known(tx, settings)
    wanted = [current.checkpoint, current.embeddings, f"overlays/{current.id}"] if current else []
    wanted += [f"predictions/{each}" for each in predictions.in_use(settings.workspace)]
    wanted += LISTS
    for each in reversed(every):
        wanted += [each.checkpoint, f"embeddings/{Path(each.checkpoint).stem}"] if each.checkpoint else []
    names, here = [name for name in dict.fromkeys(wanted) if name], _record(settings.workspace)
    new = [
        name for name in names if not _same(there.get(name), here.get(name), objects.mark(settings.workspace / name))
    ]
    done = sum(put(db, settings, name) for name in new)
    forget(db, settings, [name for name in there if name.startswith(PASSING) and name not in names])
    return done


def put(db: Database, settings: Settings, name: str) -> bool:
    """Put one artifact there; False where it is there already, is not here, or is being written anew. Raises RemoteError."""
    place = settings.workspace / _checked(name)
    with _lock(settings.workspace):
        with db.read() as tx:
            told = known(tx, settings, name).get(name)
        mark = objects.mark(place)
        if _same(told, _record(settings.workspace).get(name), mark):
            return False
        new = objects.send(settings.artifacts, name, place)
        if new is None:
            return False
        with db.write() as tx:
            stored.set_setting(tx, PREFIX + name, new)
        _note(settings.workspace, {name: {"object": new["object"], "mark": mark}})
    if told:
        objects.remove(settings.artifacts, told["object"])
    return True


def bring(db: Database, settings: Settings, name: str) -> bool:
    """Fetch one artifact where the storage has another than this workspace; returns whether it came. Raises RemoteError."""
    if not settings.artifacts or _lacking(db, settings, _checked(name)) is None:
        return False  # also while it is being put there, which is not waited for
    with _lock(settings.workspace):
        told = _lacking(db, settings, name)
        if told is None:
            return False
        place = settings.workspace / name
        try:
            objects.fetch(settings.artifacts, told, place)
        except errors.RemoteError:
            if told != _lacking(db, settings, name):  # a newer one is there by now: that comes the next time
                return False
            raise
        _note(settings.workspace, {name: {"object": told["object"], "mark": objects.mark(place)}})
    log.info("%s came from %s", name, settings.artifacts)
    return True


def forget(db: Database, settings: Settings, names: Iterable[str]) -> None:
    """Remove these there; what cannot be removed is left."""
    for name in names:
        with db.write() as tx:
            told = stored.get_setting(tx, PREFIX + name)
            stored.remove_setting(tx, PREFIX + name)
        if told and told["at"] == settings.artifacts:
            objects.remove(settings.artifacts, told["object"])


def _checked(name: str) -> str:
    if not (_NAME.fullmatch(name) or PART.fullmatch(name)):
        raise errors.BadRequest(f"{name!r} is no artifact")
    return name


def _same(told: Told | None, here: Any, mark: str) -> bool:
    """Whether nothing is to be put: it is there as it is here, or it is not here."""
    return not mark or (told is not None and here == {"object": told["object"], "mark": mark})


def _lacking(db: Database, settings: Settings, name: str) -> Told | None:
    """What the database says of an artifact that is to be fetched; None where there is nothing to fetch."""
    with db.read() as tx:
        told: Told | None = stored.get_setting(tx, PREFIX + name)
    if not told or told["at"] != settings.artifacts:
        return None
    same = _record(settings.workspace).get(name, {}).get("object") == told["object"]
    return None if same and (settings.workspace / name).exists() else told


def _record(workspace: Path) -> dict[str, Any]:
    try:
        found = json.loads((workspace / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _note(workspace: Path, new: dict[str, Any]) -> None:
    """Write it down, and forget what is no longer here."""
    told = {name: each for name, each in _record(workspace).items() if (workspace / name).exists()} | new
    json_file.write(workspace / RECORD, told)


def _lock(workspace: Path) -> filelock.FileLock:
    """One process at a time, so that none brings what another is about to put."""
    return filelock.FileLock(workspace / "artifacts.lock")
