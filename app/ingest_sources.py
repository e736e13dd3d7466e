"""How ingest opens the files it found: where they lie, or fetched from elsewhere a little ahead of their turn."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path

from app import errors, ingest_apart, ingest_files, ingest_labels, ingest_read, remote


class Here(contextlib.AbstractContextManager["Here"]):
    """Files of this machine."""

    soon: Callable[[str], None] | None = None  # told which paths will be asked for next

    def __exit__(self, *_: object) -> None:
        """Nothing to end."""

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
    """Files at addresses. One that cannot be fetched is reported, and not stored: it may be had the next time."""

    def __init__(self, cache: remote.Cache, report: ingest_labels.IngestReport) -> None:
        self.cache, self.report = cache, report
        self._fetching = contextlib.ExitStack()

    def __enter__(self) -> Away:
        self.soon = self._fetching.enter_context(remote.ahead(self.cache))
        return self

    def __exit__(self, *_: object) -> None:
        self._fetching.close()

    def digest(self, found: ingest_files.Found) -> str | None:
        try:
            return ingest_read.digest_of(self.cache.fetch(found.path, again=True))
        except errors.AppError as problem:
            self.report.unfetched.append(str(problem))
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
                self.report.unfetched.append(str(problem))
                return []
            with contextlib.suppress(FileNotFoundError):  # the cache let it go before it was opened
                here = dataclasses.replace(found, path=str(local), bytes=local.stat().st_size)
                readings = apart.read_all(here, thumbnail=thumbnail)
                local.stat()
                return [dataclasses.replace(reading, found=found) for reading in readings]
