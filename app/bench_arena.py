"""`bench arena`: one oracle, one set of features, one budget, through other libraries' own loops and through ours."""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import sys
import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import bench_arena_loops, bench_peers, errors, simulate_data, simulate_report
from model import acquisition, neighbours

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
WIDTH = 140  # columns of the table where no terminal says otherwise
STARTS = ("typical", "random")
HOW = (
    "identical splits and first sets for all arms of a seed; features as they are (digits: raw pixels) or standardised with "
    "rows of length one; all but RAUM auto and RAUM random learn by one logistic regression (C = 10); one thread each; fit s "
    "and select s: mean of all seeds over the whole budget"
)


def arena(
    material: simulate_data.Material,
    *,
    arms: list[str],
    seeds: int,
    budget: int,
    batch: int,
    target: float,
    start: str,
    workers: int,
    json_file: Path | None,
) -> dict[str, Any]:
    """Run every arm with every seed, print the table, write the figures; `arms` empty takes all that are installed."""
    if start not in STARTS:
        raise errors.BadRequest(f"no start is called {start!r}; there are {', '.join(STARTS)}")
    if (material.labels_N < 0).any():
        raise errors.BadRequest(f"{material.name} holds images of no class; other libraries' loops know no rejects")
    chosen = _chosen(arms)
    began = time.perf_counter()
    found: dict[tuple[str, str], list[dict[str, Any]]] = {arm: [{}] * seeds for arm in chosen}
    context = multiprocessing.get_context("spawn")
    with futures.ProcessPoolExecutor(workers, context, _hold, (material, budget, batch, start)) as executor:
        waiting = {executor.submit(_run, arm, seed): (arm, seed) for seed in range(seeds) for arm in chosen}
        for count, done in enumerate(futures.as_completed(waiting), 1):
            arm, seed = waiting[done]
            found[arm][seed] = done.result()
            print(f"\r{count} of {len(waiting)} arms", end="", file=sys.stderr)
    print(file=sys.stderr)
    result = _figures(material, found, target, time.perf_counter() - began)
    result |= {"seeds": seeds, "budget": budget, "batch": batch, "start": start, "how": HOW}
    _print(result)
    for line in _without_figures(result["rows"]):
        print(line)
    if json_file is not None:
        json_file.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return result


def _chosen(arms: list[str]) -> list[tuple[str, str]]:
    present = {"RAUM", *bench_peers.installed()}
    known = [(by, name) for by, own in bench_arena_loops.ARMS.items() for name in own if by in present]
    if not arms:
        return known
    wanted = [pair for pair in known if pair[0] in arms or " ".join(pair) in arms]
    missing = [arm for arm in arms if not any(arm in (by, f"{by} {name}") for by, name in known)]
    if missing:
        told = ", ".join(" ".join(pair) for pair in known)
        raise errors.BadRequest(f"no arm is called {missing[0]!r} here; there are: {told}")
    return wanted


_held: list[Any] = []  # what a process of its own works on: sent once, not with every arm


def _hold(*shared: Any) -> None:
    _held[:] = shared


def _run(arm: tuple[str, str], seed: int) -> dict[str, Any]:
    """Accuracy after each batch and the seconds spent fitting and selecting; why there are none, where it failed."""
    try:
        material, budget, batch, start = _held
        return run(material, arm, seed, budget=budget, batch=batch, start=start)
    except Exception as problem:  # a library of its own; the others go on
        return {"failed": f"{type(problem).__name__}: {problem}".splitlines()[0][:200]}


def run(
    material: simulate_data.Material,
    arm: tuple[str, str],
    seed: int,
    *,
    budget: int,
    batch: int,
    start: str,
    told: Callable[[list[int]], object] | None = None,
) -> dict[str, Any]:
    """One arm with one seed in this process; `told` hears the positions that are asked."""
    pool_N, test_N = material.split(seed)
    x_ND, labels_N = features(material), material.labels_N
    pool = bench_arena_loops.Pool(x_ND[pool_N], labels_N[pool_N], len(material.class_names), seed)
    loop = bench_arena_loops.ARMS[arm[0]][arm[1]](pool)
    labels: list[int] = []
    accuracy: list[float] = []
    seconds = {"fit": 0.0, "select": 0.0}
    asked = _first(pool, start, min(batch, budget))
    while True:
        if told is not None:
            told(asked.tolist())
        began = time.perf_counter()
        loop.teach(asked)  # the oracle answers
        seconds["fit"] += time.perf_counter() - began
        labels.append((labels[-1] if labels else 0) + len(asked))
        accuracy.append(float((loop.predict(x_ND[test_N]) == labels_N[test_N]).mean()))
        room = min(budget, len(pool_N)) - labels[-1]
        if room <= 0:
            return {"labels": labels, "accuracy": accuracy, **{k: round(v, 3) for k, v in seconds.items()}}
        began = time.perf_counter()
        asked = loop.ask(min(batch, room))
        seconds["select"] += time.perf_counter() - began


def features(material: simulate_data.Material) -> Floats:
    """What all arms see: digits as they are, embeddings standardised over all rows and of length one."""
    given_ND = material.embeddings_ND
    return np.asarray(given_ND if material.name == "digits" else neighbours.normalise(given_ND), dtype=np.float32)


def _first(pool: bench_arena_loops.Pool, start: str, count: int) -> Ints:
    """The seed's first set: typical images or random ones, of two classes at least, without which nothing learns."""
    rng = np.random.default_rng([pool.seed, 3])
    first = acquisition.select(
        start,
        log_probs_NSK=None,
        embeddings_ND=pool.x_ND,
        labelled_ND=None,
        count=count,
        rng=rng,
        context={"num_classes": pool.classes},
    )
    while len(np.unique(pool.labels_N[first])) < min(2, pool.classes):
        first = rng.permutation(len(pool.x_ND))[:count]
    return first


def _figures(
    material: simulate_data.Material, found: dict[tuple[str, str], list[dict[str, Any]]], target: float, seconds: float
) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []
    for (by, name), runs in found.items():
        row: dict[str, Any] = {"by": by, "strategy": name}
        failed = [each["failed"] for each in runs if "failed" in each]
        if failed:
            row["failed"] = f"{failed[0]} ({len(failed)} of {len(runs)} seeds)"
        else:
            told = simulate_report.arm(runs[0]["labels"], np.array([each["accuracy"] for each in runs]), target)
            row |= {"labels": runs[0]["labels"], **told}
            row |= {f"{k}_s": round(float(np.mean([each[k] for each in runs])), 3) for k in ("fit", "select")}
        rows.append(row)
    rows.sort(key=lambda row: -row.get("aubc", -1.0))
    versions = "".join(f", {name} {version}" for name, version in bench_peers.installed().items())
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}{versions}"
    return {
        "name": material.name, "target": target, "rows": rows, "machine": machine, "seconds": round(seconds, 1)
    }  # fmt: skip


def _without_figures(rows: list[dict[str, Any]]) -> list[str]:
    """A line for each arm that failed and each library that is not here, with the reason."""
    found = [f"{row['by']} {row['strategy']} failed: {row['failed']}" for row in rows if "failed" in row]
    absent = bench_peers.PACKAGES.keys() - bench_peers.installed().keys()
    return found + [f"{name} is not installed: pip install {bench_peers.PACKAGES[name]}" for name in sorted(absent)]


def _print(result: dict[str, Any]) -> None:
    from rich import console
    from rich.table import Table

    title = f"{result['name']}: {result['seeds']} seeds, batches of {result['batch']} up to {result['budget']}, "
    table = Table(title=f"{title}{result['start']} start; {result['machine']}", caption=HOW)
    for name in ("by", "strategy", "AUBC", f"labels to {result['target']:g}", "last accuracy", "fit s", "select s"):
        table.add_column(name, justify="left" if name in ("by", "strategy") else "right")
    for row in result["rows"]:
        if "failed" in row:
            table.add_row(row["by"], row["strategy"], "failed, see below")
            continue
        error = "" if row["aubc_se"] is None else f" ± {row['aubc_se']:.4f}"
        reached = row["labels_to_target"]
        figures = (f"{row['aubc']:.4f}{error}", str(reached if reached is not None else "never"))
        times = (f"{row['mean'][-1]:.3f}", f"{row['fit_s']:.2f}", f"{row['select_s']:.2f}")
        table.add_row(row["by"], row["strategy"], *figures, *times)
    shown = console.Console()
    if not shown.is_terminal:
        shown.width = max(shown.width, WIDTH)
    shown.print(table)
