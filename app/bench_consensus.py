"""`bench consensus`: made-up people and models; how often each method is right, seconds, label errors, intervals."""

import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import bench_again, consensus_crowd, consensus_speed, processes
from model import annotators, consensus, consensus_answers, consensus_em, consensus_trust, label_errors

LABEL_NOISE = 0.08
HOW = (
    "accuracy of the consensus label, mean over seeds; people of evenly spaced quality .6 to .95 who err at random "
    "(confused: always to the same other class); the model's log-probabilities are exact posteriors of Gaussian scores, "
    f"the overconfident one's multiplied by five; auto also sees {consensus_crowd.HOLDOUT} holdout answers; at its "
    "word: Dawid-Skene with the model's probabilities taken as they are"
)
Arrays = dict[str, Any]


def command(
    *,
    answers: int,
    people: int,
    classes: int,
    items: int,
    seeds: int,
    others: bool,
    json_file: Path | None,
    fewest: int = 20,
    again_seeds: int = 10,
    again_answers: int = 400,
) -> None:
    """Measure, print the tables with machine and method, write the figures."""
    machine = f"{os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}"
    told: dict[str, Any] = {"machine": machine, "how": HOW, "seeds": seeds, "items": items}
    told["accuracy"] = accuracy(items, seeds, others=others)
    _print(f"consensus, {items} images, 10 classes, 5 people, {seeds} seeds; {machine}", told["accuracy"], "setting")
    told["label_errors"] = planted(seeds, others=others)
    _print(f"label errors: {LABEL_NOISE:.0%} planted in sklearn's digits, {seeds} seeds", told["label_errors"], "by")
    told["annotators"] = coverage(items, max(seeds, fewest))
    _print("annotators: how often the 95 % interval of quality holds the truth", told["annotators"], "setting")
    told["asking again"] = bench_again.table(again_seeds, budget=again_answers)
    title = f"{again_answers} answers on digits by people wrong in {min(bench_again.WRONG):.0%} to {max(bench_again.WRONG):.0%}"
    _print(f"{title}, some to images that have answers; {again_seeds} seeds, paired", told["asking again"], "asked")
    with tempfile.TemporaryDirectory(prefix="raum-bench-") as folder:
        consensus_speed.make(Path(folder), answers, people, classes)
        rows = [_in_child(Path(folder), people, name) for name in consensus_speed.names(others=others)]
    told["speed"] = {row.pop("by"): row for row in rows}
    _print(f"{answers:,} answers, {people} people, {classes} classes, a child process each", told["speed"], "by")
    if json_file is not None:
        json_file.write_text(json.dumps(told, indent=1), "utf-8")


def accuracy(items: int, seeds: int, *, others: bool) -> dict[str, dict[str, float]]:
    """Share of right consensus labels for each setting and method."""
    table: dict[str, dict[str, float]] = {}
    for setting, asked in consensus_crowd.SETTINGS.items():
        rights: dict[str, list[float]] = {}
        for seed in range(seeds):
            crowd = consensus_crowd.make(seed, items=items, **asked)
            for name, label in _methods(crowd, others=others).items():
                rights.setdefault(name, []).append(float((label() == crowd.truth_I).mean()))
        table[setting] = {name: round(statistics.mean(values), 4) for name, values in rights.items()}
        print(setting, table[setting], file=sys.stderr)
    return table


def _methods(crowd: consensus_crowd.Crowd, *, others: bool) -> dict[str, Callable[[], NDArray[np.int64]]]:
    """Every method that fits, as a function that gives labels."""
    given = crowd.given
    has_model = given["model_log_probs_IK"] is not None
    found: dict[str, Callable[[], NDArray[np.int64]]] = {}
    for name in consensus.METHODS:
        if has_model or name != "dawid_skene_model":
            trust = crowd.trust if name == "auto" else None
            found[name] = lambda name=name, trust=trust: (
                consensus.consensus(  # type: ignore[misc]
                    **given, method=name, model_trust=trust
                ).labels_I
            )
    if has_model:
        found["at its word"] = lambda: _at_its_word(given)
    if others and has_model and importlib.util.find_spec("cleanlab"):
        found["cleanlab crowdlab"] = lambda: consensus_speed.cleanlab_labels(given)
    if others and importlib.util.find_spec("crowdkit"):
        found["crowd-kit dawid_skene"] = lambda: consensus_speed.crowdkit_labels(given)
    return found


def _at_its_word(given: Arrays) -> NDArray[np.int64]:
    sizes = {name: given[name] for name in ("num_items", "num_annotators", "num_classes")}
    answers = consensus_answers.check(given["item_A"], given["annotator_A"], given["label_A"], **sizes)
    pairs = consensus_answers.pair_up(answers, given["model_log_probs_IK"])
    fit = consensus_em.fit(answers, pairs, fixed=consensus_trust.Belief(1.0, 0.0))
    return pairs.class_P[consensus_answers.segment_argmax(fit.probs_P, pairs.starts_I1)]


def planted(seeds: int, *, others: bool) -> dict[str, dict[str, float]]:
    """Wrong labels planted in sklearn's digits: precision among as many suspects as were planted, AUROC, their number."""
    rows: dict[str, list[dict[str, float]]] = {}
    for seed in range(seeds):
        x_ND, given_N, wrong_N, log_probs_NK = consensus_crowd.digits(seed, LABEL_NOISE)
        ours = label_errors.find(log_probs_NK, given_N)
        near = label_errors.find(log_probs_NK, given_N, embeddings_ND=x_ND)
        rows.setdefault("confident learning", []).append(_found(ours.score_N, wrong_N, ours.positions_E))
        rows.setdefault("and nearest images", []).append(_found(near.score_N, wrong_N, near.positions_E))
        if others and importlib.util.find_spec("cleanlab"):
            score_N, at_E = consensus_speed.cleanlab_errors(given_N, np.exp(log_probs_NK))
            rows.setdefault("cleanlab", []).append(_found(score_N, wrong_N, at_E))
    return {by: {key: round(statistics.mean(r[key] for r in all_), 4) for key in all_[0]} for by, all_ in rows.items()}


def _found(score_N: NDArray[np.float64], wrong_N: NDArray[np.bool_], at_E: NDArray[np.int64]) -> dict[str, float]:
    rank_N = np.argsort(np.argsort(-score_N, kind="stable"), kind="stable") + 1
    bad, good = int(wrong_N.sum()), int((~wrong_N).sum())
    return {
        "precision at planted": float(wrong_N[np.argsort(score_N, kind="stable")[:bad]].mean()),
        "auroc": float((rank_N[wrong_N].sum() - bad * (bad + 1) / 2) / (bad * good)),
        "suspects": float(len(at_E)),
        "precision of suspects": float(wrong_N[at_E].mean()) if len(at_E) else float("nan"),
        "recall of suspects": float(wrong_N[at_E].sum() / bad),
    }


def coverage(items: int, seeds: int) -> dict[str, dict[str, float]]:
    """How often the interval holds an annotator's true share of right answers, and how wide it is."""
    table = {}
    for setting, asked in consensus_crowd.SETTINGS.items():
        held, width, off = [], [], []
        for seed in range(1000, 1000 + seeds):
            crowd = consensus_crowd.make(seed, items=items, **asked)
            found: annotators.Quality = consensus.consensus(**crowd.given, model_trust=crowd.trust).annotators
            held += list((found.low_J <= crowd.quality_J) & (crowd.quality_J <= found.high_J))
            width += list(found.high_J - found.low_J)
            off += list(found.quality_J - crowd.quality_J)
        table[setting] = {
            "held": round(float(np.mean(held)), 3),
            "width": round(float(np.mean(width)), 3),
            "bias": round(float(np.mean(off)), 4),
        }
    return table


def _in_child(folder: Path, people: int, name: str) -> dict[str, Any]:
    """Seconds and memory of one method, from a process of its own."""
    asked = [sys.executable, "-m", "app.consensus_speed", str(folder), str(people), name]
    done = subprocess.run(asked, cwd=processes.LAUNCH.parent, capture_output=True, text=True)
    if done.returncode:
        return {"by": name, "failed": done.stderr.strip().splitlines()[-1]}
    print(name, done.stdout.strip(), file=sys.stderr)
    return {"by": name, **json.loads(done.stdout)}


def _print(title: str, rows: dict[str, dict[str, Any]], first: str) -> None:
    from rich import console
    from rich.table import Table

    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    table = Table(title=title, caption=HOW if first == "setting" and "majority" in names else None)
    for name in (first, *names):
        table.add_column(name, justify="left" if name == first else "right")
    for key, row in rows.items():
        table.add_row(key, *(str(row.get(name, "")) for name in names))
    console.Console(width=170).print(table)
