"""Damaged images through ingest's own reader: every one is read or set aside by name; none ends it, hangs it or fills memory.

The short form takes RAUM_FUZZ_SECONDS=6 seconds, which is what CI does; RAUM_FUZZ_SECONDS=300 is the long form, with
RAUM_FUZZ_SEED for another corpus. It says how many files, how slow the slowest, how much memory.
"""

from __future__ import annotations

import collections
import os
import time
from pathlib import Path

import pytest

from app import ingest_apart, ingest_files
from tests.fuzz import mutations

SECONDS = float(os.environ.get("RAUM_FUZZ_SECONDS", "6"))
SEED = int(os.environ.get("RAUM_FUZZ_SEED", "1"))
SLOWEST = 20.0  # seconds of the processor that a small file may take; the reader gives up after ingest_apart.SECONDS
MAX_PIXELS = 100_000_000


def test_the_seeds_are_read_as_they_are(tmp_path: Path) -> None:
    with ingest_apart.Readers(max_pixels=MAX_PIXELS) as readers:
        for name, content in mutations.corpus().items():
            reading = readers.read(_written(tmp_path / name, content), thumbnail=tmp_path / "thumbnail.jpg")
            assert reading.problem is None, reading.problem


@pytest.mark.timeout(SECONDS + 120)
def test_no_damaged_image_ends_hangs_or_fills_anything(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcomes: collections.Counter[str] = collections.Counter()
    slowest, began = (0.0, ""), time.monotonic()
    with ingest_apart.Readers(max_pixels=MAX_PIXELS) as readers:
        for name, content in mutations.mutated(mutations.corpus(), seed=SEED):
            path = tmp_path / name
            found = _written(path, content)
            start = _seconds(readers)
            readers.taken_at(str(path))
            reading = readers.read(found, thumbnail=tmp_path / "thumbnail.jpg")
            slowest = max(slowest, (_seconds(readers) - start, name))
            outcomes[_kind(reading.problem)] += 1
            assert reading.problem is None or reading.problem.startswith(name), reading.problem
            assert reading.problem is None or reading.problem.isprintable()
            assert slowest[0] < SLOWEST, f"{name} took {slowest[0]:.1f} s; {tmp_path} keeps it"
            path.unlink()
            if time.monotonic() - began > SECONDS:
                break
        peak = _peak_bytes(readers)
    assert outcomes["read"] > 0
    assert sum(outcomes.values()) > outcomes["read"]
    assert peak < 2 * ingest_apart.MEMORY + ingest_apart.BYTES_PER_PIXEL * MAX_PIXELS
    with capsys.disabled():
        print(f"\nfuzz seed {SEED}: {sum(outcomes.values()):,} files, {dict(outcomes.most_common())}; ", end="")
        print(f"slowest {slowest[0]:.2f} s ({slowest[1]}), peak {peak / 2**20:,.0f} MiB")


def _written(path: Path, content: bytes) -> ingest_files.Found:
    path.write_bytes(content)
    return ingest_files.Found(str(path), str(path), "", len(content), path.stat().st_mtime_ns)


def _kind(problem: str | None) -> str:
    if problem is None:
        return "read"
    for sign, kind in (("decoder ended", "killed the decoder"), ("seconds", "too slow"), ("memory", "too much memory")):
        if sign in problem:
            return kind
    return "set aside"


def _seconds(readers: ingest_apart.Readers) -> float:
    """What the reading process has had of the processor; the clock, where the system does not say."""
    stats = [Path(f"/proc/{process.process.pid}/stat") for process in readers._idle]
    if not all(stat.exists() for stat in stats):
        return time.monotonic()
    fields = [stat.read_text().rsplit(")", 1)[1].split() for stat in stats]
    return sum(int(each[11]) + int(each[12]) for each in fields) / os.sysconf("SC_CLK_TCK")


def _peak_bytes(readers: ingest_apart.Readers) -> int:
    """The largest resident memory that a reading process has had, where the system says so."""
    statuses = [Path(f"/proc/{process.process.pid}/status") for process in readers._idle]
    lines = [line for status in statuses if status.exists() for line in status.read_text().splitlines()]
    return max((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), default=0)
