"""Where ingest finds and opens files: in a folder, or at an address, fetched a little ahead of their turn."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path

from app import errors, ingest_apart, ingest_files, ingest_read, remote


def of(folder: str | Path | Here, workspace: Path) -> Here:
    """A folder, or an address of images; raises IngestError or RemoteError where there can be none."""
    if isinstance(folder, Here):
        return folder
    if isinstance(folder, str) and remote.is_address(folder):
        return Away(remote.checked(folder), workspace)
    return Here(str(ingest_files.root(folder)), workspace)


class Here(contextlib.AbstractContextManager["Here"]):
    """A folder of this machine."""

    soon: Callable[[str], None] | None = None  # told which paths will be asked for next

    def __init__(self, root: str, workspace: Path) -> None:
        """`unfetched` grows with what could not be had, and why."""
        self.root, self.workspace, self.unfetched = root, workspace, list[str]()

    def __exit__(self, *_: object) -> None:
        """Nothing to end."""

    def walk(self, tell: Callable[[int], None]) -> ingest_files.Walk:
        """Every image there; not those of the workspace itself."""
        return ingest_files.walk(Path(self.root), skip=self.workspace.resolve(), tell=tell)

    def digest(self, found: ingest_files.Found) -> str | None:
        """The SHA-256 of a file as it is now."""
        return ingest_read.digest_of(found.path)

    def taken_at(self, apart: ingest_apart.Readers, path: str) -> float | None:
        """The EXIF time of a file, None where there is none."""
        return apart.taken_at(path)

    def read(
        self, apart: ingest_apart.Readers, found: ingest_files.Found, *, thumbnail: Path
    ) -> list[ingest_read.Reading]:
        """What a file holds."""
        return apart.read_all(found, thumbnail=thumbnail)


class Away(Here):
    """Files below an address. One that cannot be fetched is reported, and not stored: it may be had the next time."""

    def __init__(self, root: str, workspace: Path) -> None:
        super().__init__(root, workspace)
        self.cache, self._fetching = remote.cache(workspace), contextlib.ExitStack()

    def __enter__(self) -> Away:
        self.soon = self._fetching.enter_context(remote.ahead(self.cache))
        return self

    def __exit__(self, *_: object) -> None:
        self._fetching.close()

    def walk(self, tell: Callable[[int], None]) -> ingest_files.Walk:
        return remote.walk(self.root, tell=tell)

    def digest(self, found: ingest_files.Found) -> str | None:
        try:
            return ingest_read.digest_of(self.cache.fetch(found.path, again=True))
        except errors.AppError as problem:
            self.unfetched.append(str(problem))
            return None

    def taken_at(self, apart: ingest_apart.Readers, path: str) -> float | None:
        try:
            return apart.taken_at(str(self.cache.fetch(path)))
        except errors.AppError:
            return None

    def read(
        self, apart: ingest_apart.Readers, found: ingest_files.Found, *, thumbnail: Path
    ) -> list[ingest_read.Reading]:
        while True:
            try:
                local = self.cache.fetch(found.path)
            except errors.AppError as problem:
                self.unfetched.append(str(problem))
                return []
            with contextlib.suppress(FileNotFoundError):  # the cache let it go before it was opened
                here = dataclasses.replace(found, path=str(local), bytes=local.stat().st_size)
                readings = apart.read_all(here, thumbnail=thumbnail)
                local.stat()
                return [dataclasses.replace(reading, found=found) for reading in readings]
