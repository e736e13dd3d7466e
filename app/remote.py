"""Images that lie elsewhere, at any address that fsspec knows: listed, fetched into a bounded cache, fetched again when gone.

Credentials are fsspec's own affair: its configuration, the environment, the machine's role. No address that carries one is
taken, so none is ever stored or shown. fsspec is imported only where there is an address: the page starts sooner without.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import hashlib
import os
import re
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

from app import archives, errors, ingest_files, settings, uploads

AT_ONCE = 16  # files that are fetched at the same time
YOUNG_S = 10.0  # what was used so lately is not removed from the cache: somebody may be about to open it
_LOCKS = 64
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_NEEDS = {"http": "aiohttp", "https": "aiohttp"}  # of protocols whose own module fsspec brings
_DATES = ("LastModified", "mtime", "last_modified", "updated", "created")


def is_address(text: str) -> bool:
    """Whether a text is an address, not a path."""
    return _ADDRESS.match(text) is not None


def checked(address: str) -> str:
    """The address without a slash at its end; raises RemoteError for one that is not to be used."""
    protocol, _, rest = address.partition("://")
    shown = ingest_files.shown(address)
    if protocol.lower() in ("file", "local"):
        raise errors.RemoteError(f"{shown} is on this machine: give its path")
    if "::" in address:
        raise errors.RemoteError(f"{shown} is a chain of addresses: give that of the folder or the archive itself")
    if "@" in rest.partition("/")[0] or (protocol.lower().startswith("http") and "?" in rest):
        place = f"{protocol}://..." if "@" in rest else ingest_files.shown(address.partition("?")[0])
        raise errors.RemoteError(
            f"the address {place} carries a password or a signature, which would be stored: give it "
            "without, and the secret by the environment or by fsspec's own configuration"
        )
    if not rest.strip("/"):
        raise errors.RemoteError(f"{shown} names no place: write it like s3://bucket/folder")
    return address.rstrip("/")


def walk(address: str, *, tell: Callable[[int], None] | None = None) -> ingest_files.Walk:
    """Every image below an address by its suffix, hidden ones left out; raises RemoteError where it cannot be listed."""
    with told(f"list {ingest_files.shown(address)}"):
        fs, root = opened(address)
        fs.invalidate_cache()
        listed: dict[str, dict[str, Any]] = fs.find(root, detail=True)
        if not listed:
            fs.ls(root)  # which says why, where finding passes over it
    files = []
    for path, info in listed.items():
        inner = path[len(root) :].strip("/") if path.startswith(root) else ""
        parts = inner.split("/")
        if not inner or any(part.startswith(".") for part in parts) or not ingest_files.is_image_name(parts[-1]):
            continue
        name, top = f"{address}/{inner}", parts[0] if len(parts) > 1 else ""
        files.append(ingest_files.Found(name, name, top, int(info.get("size") or 0), _changed_ns(info)))
        if tell is not None and len(files) % ingest_files.TELL_EVERY == 0:
            tell(len(files))
    files.sort(key=lambda file: file.path)
    return ingest_files.Walk(files, 0, [])


def source(images: str, workspace: Path, progress: Callable[[float, str], None]) -> Path | str:
    """Where to read images named by a path or an address: a folder, or the address of one; archives are taken out."""
    if not is_address(images):
        return archives.source(Path(images), workspace, progress)
    address = checked(images)
    return archive(address, workspace, progress) if archives.is_archive_name(address) else address


def archive(address: str, workspace: Path, progress: Callable[[float, str], None]) -> Path:
    """The folder in the workspace into which a zip or tar file at an address was taken out."""
    place = workspace / uploads.FOLDER / (uploads.safe(address.rpartition("/")[2]) or "archive")
    place.parent.mkdir(parents=True, exist_ok=True)
    progress(0.0, f"fetching {ingest_files.shown(address)}")
    try:
        _bring(address, place, most=uploads.LARGEST)
        return archives.source(place, workspace, progress)
    finally:
        place.unlink(missing_ok=True)


class Cache:
    """Fetched files under names made from their addresses, used by any number of processes; the least lately used go
    when they take more than `most` bytes together."""

    def __init__(self, folder: Path, *, most: int, young_s: float = YOUNG_S) -> None:
        self.folder, self.most, self.young_s = folder, most, young_s
        self._locks = [threading.Lock() for _ in range(_LOCKS)]
        self._since = most  # bytes since the last look at the whole: the first file brings one

    def path(self, address: str) -> Path:
        """Where the file of an address lies, once it is fetched."""
        name = hashlib.sha256(address.encode()).hexdigest()
        return self.folder / name[:2] / f"{name}{os.path.splitext(address)[1].lower()}"

    def fetch(self, address: str, *, again: bool = False) -> Path:
        """The file of an address, fetched if it is not here (or in any case); raises RemoteError."""
        place = self.path(address)
        with self._locks[hash(address) % _LOCKS]:
            if not again:
                with contextlib.suppress(FileNotFoundError):
                    os.utime(place)
                    return place
            place.parent.mkdir(parents=True, exist_ok=True)
            _bring(address, place, most=archives.LARGEST_IMAGE)
            self._since += place.stat().st_size
        if self._since > self.most // 20:
            self._since = 0
            self._tidy()
        return place

    def _tidy(self) -> None:
        found: list[tuple[float, int, Path]] = []
        for path in self.folder.glob("??/*"):
            with contextlib.suppress(FileNotFoundError):  # another process tidies, too
                told = path.stat()
                found.append((told.st_mtime, told.st_size, path))
        over = sum(size for _, size, _ in found) - self.most
        if over <= 0:
            return
        over += self.most // 10
        for used, size, path in sorted(found):
            if over <= 0 or time.time() - used < self.young_s:
                return
            path.unlink(missing_ok=True)
            over -= size


@functools.lru_cache(maxsize=8)
def cache(workspace: Path | None) -> Cache:
    """The cache of a workspace, as large as its settings allow; without one, in the system's folder for passing things."""
    if workspace is None:
        return Cache(Path(tempfile.gettempdir()) / "raum-remote", most=round(settings.Settings.remote_gigabytes * 1e9))
    return Cache(workspace / "cache" / "remote", most=round(settings.load(workspace).remote_gigabytes * 1e9))


@contextlib.contextmanager
def ahead(kept: Cache) -> Iterator[Callable[[str], None]]:
    """A function that begins to fetch an address, AT_ONCE at a time; whoever fetches it then finds it or waits for it."""
    with futures.ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fetch") as pool:

        def begin(address: str) -> None:
            with contextlib.suppress(errors.AppError):  # told to whoever needs it
                kept.fetch(address)

        def soon(address: str) -> None:
            pool.submit(begin, address)

        try:
            yield soon
        finally:
            pool.shutdown(cancel_futures=True)


def _bring(address: str, place: Path, *, most: int) -> None:
    """Fetch a file beside its place and rename it."""
    beside = place.with_name(f".{place.name}.{secrets.token_hex(4)}.part")
    try:
        with told(f"fetch {ingest_files.shown(address)}"):
            fs, path = opened(address)
            size = int(fs.info(path).get("size") or 0)
            if size > most:
                raise errors.RemoteError(f"{ingest_files.shown(address)} is larger than {most / 1e6:,.0f} MB")
            uploads.room(place.parent, size)
            fs.get_file(path, str(beside))
        os.replace(beside, place)
    finally:
        beside.unlink(missing_ok=True)


def opened(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path there."""
    import fsspec

    fs, path = fsspec.core.url_to_fs(address)
    return fs, path.rstrip("/")


@contextlib.contextmanager
def told(what: str) -> Iterator[None]:
    """Whatever the packages behind fsspec raise, as a RemoteError that says what to do."""
    try:
        yield
    except errors.AppError:
        raise
    except ImportError as problem:
        raise errors.RemoteError(f"cannot {what}: it needs a package: {_install(what)}") from problem
    except FileNotFoundError as problem:
        raise errors.RemoteError(f"cannot {what}: there is nothing there, or not for whom this machine is") from problem
    except PermissionError as problem:
        raise errors.RemoteError(f"cannot {what}: access is denied; {_HOW}") from problem
    except Exception as problem:  # each file system raises its own kinds
        if "credentials" in f"{type(problem).__name__} {problem}".lower():
            raise errors.RemoteError(f"cannot {what}: no credentials were found; {_HOW}") from problem
        why = ingest_files.shown(f"{type(problem).__name__}: {problem}"[:300])
        raise errors.RemoteError(f"cannot {what}: {why}; check the address and the network") from problem


_HOW = (
    "set them as its command-line tools take them (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "GOOGLE_APPLICATION_CREDENTIALS, ...), or in fsspec's configuration (~/.config/fsspec, FSSPEC_S3_ANON=true for public data)"
)


def _install(what: str) -> str:
    """The command that brings the package of a protocol."""
    from fsspec.registry import known_implementations

    protocol = what.split(" ", 1)[1].partition("://")[0].lower()
    known = known_implementations.get(protocol, {})
    package = _NEEDS.get(protocol) or str(known.get("class", "fsspec")).partition(".")[0]
    return f"pip install {package}"


def _changed_ns(info: dict[str, Any]) -> int:
    """When a file changed, in nanoseconds; 0 where its listing does not say."""
    told = next((info[name] for name in _DATES if info.get(name) is not None), None)
    if isinstance(told, str):
        with contextlib.suppress(ValueError):
            told = datetime.datetime.fromisoformat(told.replace("Z", "+00:00"))
    if isinstance(told, datetime.datetime):
        return round(told.timestamp()) * 10**9
    return round(told * 1e9) if isinstance(told, (int, float)) else 0
