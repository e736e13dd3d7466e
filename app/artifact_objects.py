"""One artifact as one object of a storage: a tar of plain files that is digested while it goes there and comes back."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import tarfile
import time
from pathlib import Path
from typing import Any

from app import errors, ingest_files, remote, uploads
from store import backup

Told = dict[
    str, Any
]  # {"at": address of the storage, "object": its name there, "sha256", "bytes", "folder": or one file}


def send(address: str, name: str, place: Path) -> Told | None:
    """Put a file or a folder's files there under a new name; None where they changed meanwhile. Raises RemoteError."""
    before = mark(place)
    called, whole = f"{name.replace('/', '-')}-{secrets.token_hex(8)}.tar", False
    try:
        with remote.told(f"write {ingest_files.shown(address)}"):
            fs, root = remote.opened(address)
            with fs.open(f"{root}/{called}", "wb") as out:
                passing = _Passing(out)
                with tarfile.open(fileobj=passing, mode="w|", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
                    for path in _files(place):
                        tar.add(path, path.name, recursive=False, filter=_nobodys)
        whole = mark(place) == before
    except errors.RemoteError:
        if mark(place) == before:
            raise
    finally:
        if not whole:
            remove(address, called)
    if not whole:
        return None
    told = {"at": address, "object": called, "sha256": passing.sha.hexdigest(), "bytes": passing.size}
    return {**told, "folder": place.is_dir()}


def fetch(address: str, told: Told, place: Path) -> None:
    """Take an object out beside its place, compare its digest, and rename it into its place. Raises RemoteError."""
    place.parent.mkdir(parents=True, exist_ok=True)
    uploads.room(place.parent, told["bytes"])
    beside = place.with_name(f".{place.name}.{secrets.token_hex(4)}.tmp")
    beside.mkdir()
    try:
        with remote.told(f"fetch {ingest_files.shown(address)}/{told['object']}"):
            fs, root = remote.opened(address)
            with fs.open(f"{root}/{told['object']}", "rb") as source:
                passing = _Passing(source, most=told["bytes"])
                with tarfile.open(fileobj=passing, mode="r|") as tar:  # type: ignore[call-overload]
                    for member in tar:
                        _take_out(tar, member, beside)
                while passing.read(1 << 20):
                    pass
            if passing.sha.hexdigest() != told["sha256"]:
                raise errors.RemoteError(f"{told['object']} at {address} is not what was put there: it is not taken")
        _into_place(beside, place, folder=told["folder"])
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _take_out(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """One plain file by its bare name."""
    source = tar.extractfile(member) if member.isreg() and not member.issparse() else None
    if source is None or member.name != Path(member.name).name or member.name.startswith("."):
        raise errors.RemoteError(f"{ingest_files.shown(member.name)} in it is no plain file: it is not taken")
    with (folder / member.name).open("xb") as out:
        shutil.copyfileobj(source, out, 1 << 20)
    backup.flush(folder / member.name)


def _into_place(beside: Path, place: Path, *, folder: bool) -> None:
    if not folder:
        os.replace(beside / place.name, place)
        return
    before = place.with_name(f".{place.name}.{secrets.token_hex(4)}.tmp")
    if place.exists():
        place.rename(before)
    beside.rename(place)
    shutil.rmtree(before, ignore_errors=True)


class _Passing:
    """A file as a stream: what passes is counted and digested; reading more than `most` bytes raises RemoteError."""

    def __init__(self, file: Any, *, most: int | None = None) -> None:
        self.file, self.most, self.size, self.sha = file, most, 0, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._pass(data)
        self.file.write(data)
        return len(data)

    def read(self, count: int) -> bytes:
        data: bytes = self.file.read(count)
        self._pass(data)
        if self.most is not None and self.size > self.most:
            raise errors.RemoteError("it is longer than what was put there: it is not taken")
        return data

    def _pass(self, data: bytes) -> None:
        self.sha.update(data)
        self.size += len(data)


def _nobodys(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def remove(address: str, called: str) -> None:
    """Remove an object; one that cannot be removed is left."""
    with contextlib.suppress(errors.RemoteError), remote.told(f"remove {called}"):
        fs, root = remote.opened(address)
        fs.rm_file(f"{root}/{called}")


def tried(address: str) -> str:
    """How long a small object takes there and back, as a sentence; raises RemoteError."""
    began, name, content = time.perf_counter(), f"probe-{secrets.token_hex(8)}", os.urandom(1000)
    with remote.told(f"use {ingest_files.shown(address)}"):
        fs, root = remote.opened(address)
        fs.pipe_file(f"{root}/{name}", content)
        same = fs.cat_file(f"{root}/{name}") == content
        fs.rm_file(f"{root}/{name}")
    if not same:
        raise errors.RemoteError(f"{ingest_files.shown(address)} gave back something else than was put there")
    return f"{1000 * (time.perf_counter() - began):.0f} ms to put, read and remove a small object"


def _files(place: Path) -> list[Path]:
    return sorted(each for each in place.iterdir() if each.is_file()) if place.is_dir() else [place]


def mark(place: Path) -> str:
    """A text that is another one whenever the files are; empty where there are none."""
    try:
        told = [(each.name, (look := each.stat()).st_size, look.st_mtime_ns) for each in _files(place)]
    except OSError:  # not here, or being renamed
        return ""
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:32] if told else ""
