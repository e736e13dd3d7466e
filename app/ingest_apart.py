"""Reads files in processes apart, under a limit of memory and time: no hostile file can cost more, or end the ingest.

Measured with Pillow 12 and its own limits: a JPEG of 1 MB whose last scan is repeated decodes for minutes, a TIFF of 1 MB
whose tags all point at the same megabyte takes gigabytes, and neither can be stopped from a thread beside it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from multiprocessing import connection
from pathlib import Path
from typing import Any

from PIL import Image

from app import ingest_files, ingest_read

SECONDS, HEADER_SECONDS = 60.0, 10.0
MEMORY = 512 << 20  # bytes that any file may take
BYTES_PER_PIXEL = 24  # what the largest image may take, for one file at a time: 100 megapixels of floats take 2.1 GB
_GRACE = 5.0


class Readers:
    """The processes of one ingest, started as they are needed and used again; ended on leaving the context."""

    def __init__(self, *, max_pixels: int, seconds: float = SECONDS) -> None:
        self.max_pixels, self.seconds = max_pixels, seconds
        self._idle: list[_Process] = []
        self._one_large = threading.Lock()

    def __enter__(self) -> Readers:
        return self

    def __exit__(self, *_: object) -> None:
        while self._idle:
            self._idle.pop().end()

    def read(self, found: ingest_files.Found, *, thumbnail: Path) -> ingest_read.Reading:
        """The first reading of a file: all there is, where it has no boxes."""
        return self.read_all(found, thumbnail=thumbnail)[0]

    def read_all(self, found: ingest_files.Found, *, thumbnail: Path) -> list[ingest_read.Reading]:
        """As ingest_read.read. What fails with the memory of most files is tried again alone, with that of the largest."""
        try:
            readings = self._read(found, thumbnail, MEMORY)
            if any(reading.problem is not None for reading in readings):
                with self._one_large:
                    readings = self._read(found, thumbnail, max(MEMORY, BYTES_PER_PIXEL * self.max_pixels))
        except TimeoutError:
            return [ingest_read.unusable(found, f"reading it took more than {self.seconds:g} seconds")]
        return readings

    def taken_at(self, path: str) -> float | None:
        """As ingest_read.taken_at; None, too, for a header that cannot be read within its limits."""
        try:
            with self._process() as process:
                time: float | None = process.ask(ingest_read.taken_at, (path,), {}, MEMORY, HEADER_SECONDS)
                return time
        except (TimeoutError, EOFError):
            return None

    def _read(self, found: ingest_files.Found, thumbnail: Path, memory: int) -> list[ingest_read.Reading]:
        options = {"thumbnail": thumbnail, "max_pixels": self.max_pixels}
        try:
            with self._process() as process:
                asked, seconds = (found,), self.seconds * max(1, found.count // 10)
                readings: list[ingest_read.Reading] = process.ask(ingest_read.read, asked, options, memory, seconds)
                return readings
        except EOFError:
            why = "the decoder ended in the middle of it: the file is damaged or made to harm"
            return [ingest_read.unusable(found, why)]

    @contextlib.contextmanager
    def _process(self) -> Iterator[_Process]:
        """A process for one question; one that does not answer is ended, another takes its place when there is need."""
        process = self._idle.pop() if self._idle else _Process()
        try:
            yield process
        except BaseException:
            process.end()
            raise
        self._idle.append(process)


class _Process:
    """One process that answers questions one by one."""

    def __init__(self) -> None:
        context = _context()
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.pipe.recv()

    def ask(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        options: dict[str, Any],
        memory: int,
        seconds: float,
    ) -> Any:
        """The function's value. Raises TimeoutError after `seconds`, EOFError when the process died of the question."""
        try:
            self.pipe.send((function, arguments, options, memory, seconds + _GRACE))
            if not self.pipe.poll(seconds):
                raise TimeoutError
            return self.pipe.recv()
        except ConnectionError as problem:
            raise EOFError from problem

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _context() -> Any:
    """Processes forked from one that has imported all that it takes (10 ms each), where the system can fork."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", __name__, "scipy.fftpack"])
    return context


def _serve(pipe: connection.Connection) -> None:
    """Answer until the other end is gone. An alarm ends a question that nobody is there any more to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    Image.MAX_IMAGE_PIXELS = None  # ours is checked before anything is decoded
    held = _address_space()
    pipe.send(None)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            function, arguments, options, memory, seconds = pipe.recv()
            _limit_memory(held, memory)
            if hasattr(signal, "setitimer"):
                signal.setitimer(signal.ITIMER_REAL, seconds)
            answer = function(*arguments, **options)
            if hasattr(signal, "setitimer"):
                signal.setitimer(signal.ITIMER_REAL, 0)
            pipe.send(answer)


def _address_space() -> int | None:
    """Bytes of address space that this process holds; None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def _limit_memory(held: int | None, more: int) -> None:
    """Allow this process `more` bytes than it held at first; where nothing is counted, time alone is limited."""
    if held is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (held + more, resource.RLIM_INFINITY))
