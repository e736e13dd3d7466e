"""`bench select`: seconds and peak memory of each acquisition strategy, beside other libraries', on made-up arrays."""

from __future__ import annotations

import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from app import bench_arrays, bench_peers, errors, processes
from model import acquisition, neighbours_gpu
from model.acquisition import batch_bald

COLD = frozenset({"typical", "typiclust", "probcover"})  # measured without labels; the others with two for each class
OWN = "RAUM"
WIDTH = 150  # columns of the table where no terminal says otherwise
REPEATED_TO = 200_000  # images up to which the median of three is told
HOW = (
    "one child process for each row, arrays loaded before the clock starts: embeddings in single precision and one "
    "mean posterior in half (other libraries: in single). Draws are the last layer's own, computed inside the clock: "
    "of every image for the strategies that compare draws, of those it asks for by auto (column drawn); other "
    "libraries get them as an array. cpu s: of all threads, what a machine without other work would need; extra: peak "
    "resident memory above that with the arrays loaded, beside it 1 + extra / arrays"
)


def select(
    sizes: list[int],
    strategies: list[str],
    *,
    dim: int,
    classes: int,
    draws: int,
    count: int,
    json_file: Path | None,
    peers: bool = False,
    limit_s: float = 300.0,
) -> None:
    """Measure, print a table with machine and method, write the figures. `limit_s` is for each other library's row."""
    unknown = [name for name in strategies if name not in acquisition.STRATEGIES]
    if unknown:
        raise errors.BadRequest(f"no strategy is named {unknown[0]!r}; there are: {', '.join(acquisition.STRATEGIES)}")
    found = bench_peers.installed() if peers else {}
    if peers and not found:
        raise errors.BadRequest(
            f"none of {', '.join(bench_peers.PACKAGES)} is installed beside this Python ({sys.executable}); "
            f"pip install {' '.join(bench_peers.PACKAGES.values())}"
        )
    rows: list[dict[str, Any]] = []
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="raum-bench-") as folder:
            bench_arrays.make(Path(folder), size, dim=dim, classes=classes)
            for name in strategies or sorted(acquisition.STRATEGIES):
                for by in [OWN, *(peer for peer in found if name in bench_peers.TABLE[peer])]:
                    figures = _in_child(Path(folder), by, name, count, draws, None if by == OWN else limit_s)
                    rows.append({"size": size, "by": by, "strategy": name, **figures})
                    print(f"{size:>9,} {by} {name}: {_told(rows[-1])}", file=sys.stderr)
    threads = os.environ.get("OMP_NUM_THREADS", os.cpu_count())
    versions = "".join(f", {name} {version}" for name, version in found.items())
    machine = (
        f"{os.cpu_count()} cores, {threads} threads, {platform.machine()}, load {os.getloadavg()[0]:.1f}{versions}"
    )
    asked = {"dim": dim, "classes": classes, "draws": draws, "count": count}
    how = f"{HOW}. Neighbours and k-means by {_chosen_faiss(rows)}"
    _print(rows, f"{count} of N x {dim}, {classes} classes, {draws} draws; {machine}", how)
    if json_file is not None:
        json_file.write_text(json.dumps({"machine": machine, "how": how, **asked, "rows": rows}, indent=1), "utf-8")


def _chosen_faiss(rows: list[dict[str, Any]]) -> str:
    """Which FAISS our rows' processes chose, in words; each tries for itself, so on a GPU as fast as the CPU two may."""
    found = {row["faiss"].split("(")[0]: row["faiss"] for row in rows if "faiss" in row}
    return " and ".join(found.values()) or neighbours_gpu.told()


def _in_child(folder: Path, by: str, strategy: str, count: int, draws: int, limit_s: float | None) -> dict[str, Any]:
    """Figures of one strategy, from a process of its own; why there are none, where it failed."""
    command = [sys.executable, "-m", "app.bench_select", str(folder), by, strategy, str(count), str(draws)]
    try:
        done = subprocess.run(
            command, cwd=processes.LAUNCH.parent, capture_output=True, text=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"took longer than {limit_s:.0f} s"}
    if done.returncode:
        said = done.stderr.strip().splitlines()
        return {"failed": _short(said[-1]) if said else f"ended by signal {-done.returncode}"}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _short(problem: str) -> str:
    """NumPy's sentence about memory in three words, another's first hundred letters."""
    wanted = re.search(r"Unable to allocate ([\d.]+ \w+)", problem)
    return f"wants {wanted[1].replace('. ', ' ')} more" if wanted else problem[:100]


def measure(folder: Path, by: str, strategy: str, count: int, draws: int) -> dict[str, Any]:
    """Seconds and memory of one strategy in this process, on the arrays of `folder`."""
    arrays = bench_arrays.load(folder)
    if strategy == "batch_bald":
        count = min(count, batch_bald.MOST_ASKED)
    chosen = {}
    if by == OWN:
        chosen["faiss"] = neighbours_gpu.told()  # which a GPU decides by a trial, before the clock starts
        ask, given, counted = _own(arrays, strategy, count, draws)
    else:
        _limit_memory()
        bench_peers.warm(by, strategy)
        known, counted = bench_peers.known(arrays, strategy, draws), None
        given = known.bytes

        def ask(turn: int) -> Any:
            return bench_peers.ask(by, strategy, known, count)

    before, seconds, worked = _peak(), [], []
    for turn in range(3 if by == OWN and len(arrays.embeddings_ND) <= REPEATED_TO else 1):
        began, cpu_began = time.perf_counter(), time.process_time()
        positions = ask(turn)
        seconds.append(time.perf_counter() - began)
        worked.append(time.process_time() - cpu_began)
    if len(np.unique(positions)) != count:
        raise RuntimeError(f"{len(np.unique(positions))} different positions where {count} were asked")
    extra = _peak() - before
    return {
        "seconds": round(statistics.median(seconds), 3),
        "cpu_seconds": round(statistics.median(worked), 3),
        "asked": count,
        "drawn": counted() if counted is not None else (len(arrays.embeddings_ND) if strategy == "bald" else 0),
        "arrays_mb": round(given / 1e6, 1),
        "extra_mb": round(extra / 1e6, 1),
        "peak_mb": round(_peak() / 1e6, 1),
        "memory_of_arrays": round(1.0 + extra / given, 3),
        **chosen,
    }


def _own(
    arrays: bench_arrays.Arrays, strategy: str, count: int, draws: int
) -> tuple[Callable[[int], Any], int, Callable[[], int]]:
    """Our strategy: a function that asks, bytes of what it is given, and of how many images it drew the last time."""
    layer, reads = arrays.layer(), [0]
    labelled_LD = arrays.labelled_LD[: 0 if strategy in COLD else None]
    compares, needs = strategy in acquisition.COMPARES_DRAWS, strategy not in acquisition.NEEDS_NOTHING - {"auto"}

    def ask(turn: int) -> Any:
        rng = np.random.default_rng(turn)
        drawn = bench_arrays.drawn(layer, arrays.embeddings_ND, draws, rng)
        streamed = type(drawn.draws)(drawn, drawn.draws.shape)
        positions = acquisition.select(
            strategy,
            log_probs_NSK=streamed if compares else arrays.log_probs_NSK if needs else None,
            embeddings_ND=arrays.embeddings_ND,
            labelled_ND=labelled_LD,
            count=count,
            rng=rng,
            context={"num_classes": arrays.classes, "draw": drawn},
        )
        reads[0] = drawn.images
        return positions

    given = arrays.embeddings_ND.nbytes + labelled_LD.nbytes
    return ask, given + (arrays.log_probs_NSK.nbytes if needs and not compares else 0), lambda: reads[0]


def _limit_memory() -> None:
    """What asks for more than this machine has gets a MemoryError that says how much, instead of ending everything."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    resource.setrlimit(resource.RLIMIT_AS, (whole, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _peak() -> int:
    """Largest resident memory of this process so far, in bytes."""
    try:  # getrusage's figure begins with that of the process that started this one
        status = Path("/proc/self/status").read_text("ascii")
    except OSError:
        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest if sys.platform == "darwin" else largest * 1024
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def _told(row: dict[str, Any]) -> str:
    return str(row.get("failed") or f"{row['seconds']:.2f} s, {row['memory_of_arrays']:.2f} x arrays")


def _print(rows: list[dict[str, Any]], title: str, how: str) -> None:
    from rich import console
    from rich.table import Table

    table = Table(title=title, caption=how)
    named = ("by", "strategy")
    for name in ("N", *named, "asked", "seconds", "cpu s", "drawn", "arrays MB", "extra MB", "x arrays", "peak MB"):
        table.add_column(name, justify="left" if name in named else "right", no_wrap=True)
    if any("failed" in row for row in rows):
        table.add_column("failed")
    for row in rows:
        who = (f"{row['size']:,}", row["by"], row["strategy"])
        if "failed" in row:
            table.add_row(*who, *[""] * 8, row["failed"])
            continue
        times = (f"{row['seconds']:.3f}", f"{row['cpu_seconds']:.3f}", f"{row['drawn']:,}")
        memory = (row["arrays_mb"], row["extra_mb"], f"{row['memory_of_arrays']:.2f}", row["peak_mb"])
        table.add_row(*who, str(row["asked"]), *times, *map(str, memory))
    shown = console.Console()
    if not shown.is_terminal:
        shown.width = max(shown.width, WIDTH)
    shown.print(table)


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))))
