"""`bench select`: seconds and peak memory of each acquisition strategy on made-up clustered arrays."""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import errors, processes
from model import acquisition, chunks
from model.acquisition import batch_bald

COLD = frozenset({"typical", "typiclust", "probcover"})  # measured without labels; the others with two for each class
REPEATED_TO = 200_000  # images up to which the median of three is told
DIRECTIONS = 32  # of the embeddings, that draws of the made-up posterior look along
SPREAD = 0.5  # of images around the centre of their class, in every dimension, centres being at one
HOW = (
    "one child process for each row, arrays loaded before the clock starts; draws in half precision, embeddings in "
    "single; cpu s: of all threads, what a machine without other work would need; "
    "extra: peak resident memory above that with the arrays loaded, beside it 1 + extra / arrays"
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
) -> None:
    """Measure, print a table with machine and method, write the figures."""
    unknown = [name for name in strategies if name not in acquisition.STRATEGIES]
    if unknown:
        raise errors.BadRequest(f"no strategy is named {unknown[0]!r}; there are: {', '.join(acquisition.STRATEGIES)}")
    rows: list[dict[str, Any]] = []
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="raum-bench-") as folder:
            _make(Path(folder), size, dim=dim, classes=classes, draws=draws)
            for name in strategies or sorted(acquisition.STRATEGIES):
                rows.append({"size": size, "strategy": name, **_in_child(Path(folder), name, count)})
                print(f"{size:>9,} {name}: {_told(rows[-1])}", file=sys.stderr)
    threads = os.environ.get("OMP_NUM_THREADS", os.cpu_count())
    machine = f"{os.cpu_count()} cores, {threads} threads, {platform.machine()}, load {os.getloadavg()[0]:.1f}"
    asked = {"dim": dim, "classes": classes, "draws": draws, "count": count}
    _print(rows, f"{count} of N x {dim}, {draws} draws of {classes} classes; {machine}")
    if json_file is not None:
        json_file.write_text(json.dumps({"machine": machine, "how": HOW, **asked, "rows": rows}, indent=1), "utf-8")


def _make(folder: Path, size: int, *, dim: int, classes: int, draws: int) -> None:
    """embeddings.npy, labelled.npy and log_probs.npy: clusters, and a linear posterior around their true classes."""
    rng = np.random.default_rng(0)
    centres_KD = rng.standard_normal((classes, dim), dtype=np.float32)
    embeddings_ND = rng.standard_normal((size, dim), dtype=np.float32)
    embeddings_ND *= SPREAD
    truth_N = rng.integers(classes, size=size)
    weights_SRK = centres_KD[:, :DIRECTIONS].T + 0.3 * rng.standard_normal((draws, min(dim, DIRECTIONS), classes))
    log_probs_NSK = np.empty((size, draws, classes), dtype=np.float16)

    def work(rows: slice) -> None:
        embeddings_ND[rows] += centres_KD[truth_N[rows]]
        logits = 0.3 * (embeddings_ND[rows, :DIRECTIONS] @ weights_SRK.astype(np.float32)).swapaxes(0, 1)
        logits -= logits.max(axis=2, keepdims=True)
        log_probs_NSK[rows] = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))

    chunks.each(work, size, draws * classes)
    np.save(folder / "embeddings.npy", embeddings_ND)
    np.save(folder / "log_probs.npy", log_probs_NSK)
    labelled_LD = centres_KD.repeat(2, axis=0) + SPREAD * rng.standard_normal((2 * classes, dim), dtype=np.float32)
    np.save(folder / "labelled.npy", labelled_LD)


def _in_child(folder: Path, strategy: str, count: int) -> dict[str, Any]:
    """Figures of one strategy, from a process of its own."""
    command = [sys.executable, "-m", "app.bench_select", str(folder), strategy, str(count)]
    done = subprocess.run(command, cwd=processes.LAUNCH.parent, capture_output=True, text=True)
    if done.returncode:
        return {"failed": done.stderr.strip().splitlines()[-1]}
    return dict(json.loads(done.stdout))


def measure(folder: Path, strategy: str, count: int) -> dict[str, Any]:
    """Seconds and memory of one strategy in this process, on the arrays of `folder`."""
    embeddings_ND: NDArray[np.float32] = np.load(folder / "embeddings.npy")
    labelled_LD = np.load(folder / "labelled.npy")
    classes = len(labelled_LD) // 2
    labelled_LD = labelled_LD[: 0 if strategy in COLD else None]
    draws_NSK = None if strategy in acquisition.NEEDS_NOTHING - {"auto"} else np.load(folder / "log_probs.npy")
    given = embeddings_ND.nbytes + labelled_LD.nbytes + (0 if draws_NSK is None else draws_NSK.nbytes)
    if strategy == "batch_bald":
        count = min(count, batch_bald.MOST_ASKED)
    before, seconds, worked = _peak(), [], []
    for turn in range(3 if len(embeddings_ND) <= REPEATED_TO else 1):
        began, cpu_began = time.perf_counter(), time.process_time()
        acquisition.select(
            strategy,
            log_probs_NSK=draws_NSK,
            embeddings_ND=embeddings_ND,
            labelled_ND=labelled_LD,
            count=count,
            rng=np.random.default_rng(turn),
            context={"num_classes": classes},
        )
        seconds.append(time.perf_counter() - began)
        worked.append(time.process_time() - cpu_began)
    extra = _peak() - before
    return {
        "seconds": round(statistics.median(seconds), 3),
        "cpu_seconds": round(statistics.median(worked), 3),
        "asked": count,
        "arrays_mb": round(given / 1e6, 1),
        "extra_mb": round(extra / 1e6, 1),
        "peak_mb": round(_peak() / 1e6, 1),
        "memory_of_arrays": round(1.0 + extra / given, 3),
    }


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


def _print(rows: list[dict[str, Any]], title: str) -> None:
    from rich import console
    from rich.table import Table

    table = Table(title=title, caption=HOW)
    for name in ("N", "strategy", "asked", "seconds", "cpu s", "arrays MB", "extra MB", "x arrays", "peak MB"):
        table.add_column(name, justify="left" if name == "strategy" else "right", no_wrap=name == "strategy")
    for row in rows:
        if "failed" in row:
            table.add_row(f"{row['size']:,}", row["strategy"], "", row["failed"])
            continue
        times = (f"{row['seconds']:.3f}", f"{row['cpu_seconds']:.3f}")
        memory = (row["arrays_mb"], row["extra_mb"], f"{row['memory_of_arrays']:.2f}", row["peak_mb"])
        table.add_row(f"{row['size']:,}", row["strategy"], str(row["asked"]), *times, *map(str, memory))
    console.Console().print(table)


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
