"""`bench finish`: whole labelling sessions with an oracle; afterwards the truth says whether the promises were kept."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import errors, finishing, ingest_groups, jobs, measure, simulate_data
from model import acquisition, calibration, held_out, last_layer, out_of_class, shares

Ints = NDArray[np.int64]

ALPHAS = (0.01, 0.02, 0.05, 0.1)
MORE = 150  # labels that the forecast is tried on
TEMPERED_FROM = 10  # answers of the calibration half, as in a refresh


@dataclasses.dataclass(frozen=True)
class Plan:
    """A session: `budget` answers, `batch` between two refreshes, `blind` the holdout rate and the audit rate."""

    budget: int = 500
    batch: int = 25
    blind: float = 0.1
    draws: int = 10


@dataclasses.dataclass
class Session:
    """One person's session: what was asked of the pool in its order, and of the holdout."""

    material: simulate_data.Material
    prepared: last_layer.Prepared
    halves_N: Ints  # 0 pool, 1 and 2 the halves of the holdout
    rng: np.random.Generator
    asked: list[int] = dataclasses.field(default_factory=list)
    held: list[int] = dataclasses.field(default_factory=list)
    audits: dict[int, tuple[int, int]] = dataclasses.field(default_factory=dict)  # row -> (open, asked before)
    layer: last_layer.LastLayer | None = None

    def open_rows(self) -> Ints:
        """Rows of the pool that nobody has answered."""
        open_N = self.halves_N == 0
        open_N[self.asked] = False
        return np.flatnonzero(open_N)

    def taught(self, temperature: float) -> held_out.Taught:
        """What teaches now."""
        asked, truth_N = np.array(self.asked, np.int64), self.material.labels_N
        fits = truth_N[asked] != simulate_data.UNUSABLE
        outside = np.flatnonzero(self.halves_N > 0)
        classes = len(self.material.class_names)
        return held_out.Taught(
            self.prepared, asked[fits], truth_N[asked[fits]], asked[~fits], outside, classes, temperature,
            last_layer.Config(max_pool=6000),
        )  # fmt: skip


def start(material: simulate_data.Material, prepared: last_layer.Prepared, seed: int) -> Session:
    """A session whose holdout is drawn as ingest draws it."""
    rng, count = np.random.default_rng([seed, 11]), len(material.labels_N)
    most = int(min(ingest_groups.HOLDOUT_SHARE * count, ingest_groups.HOLDOUT_MOST))
    halves_N = np.zeros(count, np.int64)
    halves_N[rng.permutation(count)[:most]] = 1 + np.arange(most) % 2
    return Session(material, prepared, halves_N, rng)


def label(it: Session, plan: Plan, answers: int) -> None:
    """Ask and answer until `answers` are given, refreshing in between as the worker does."""
    while len(it.asked) + len(it.held) < answers:
        count = min(plan.batch, answers - len(it.asked) - len(it.held))
        lots = it.rng.permutation(np.setdiff1d(np.flatnonzero(it.halves_N > 0), it.held))
        held = min(int((it.rng.random(count) < plan.blind).sum()), len(lots))
        it.held += lots[:held].tolist()
        if not _ask(it, plan, count - held):
            break
        it.layer = fit(it)


def _ask(it: Session, plan: Plan, count: int) -> bool:
    """Queue rows by `auto` with audits in between; False when nothing is open."""
    open_N, taught, x_NR = it.open_rows(), it.taught(1.0), it.prepared.x_NR
    draws = None if it.layer is None else it.layer.draws_at(x_NR[open_N], plan.draws, it.rng)
    told = acquisition.situation(
        x_NR, labelled=taught.labelled_L, labels=taught.labels_L, rejected=taught.rejected, candidates=open_N,
        num_classes=taught.num_classes, rng=it.rng,
    )  # fmt: skip
    chosen = acquisition.select(
        "auto", log_probs_NSK=draws, embeddings_ND=x_NR[open_N], labelled_ND=x_NR[taught.labelled_L],
        count=min(count, len(open_N)), rng=it.rng, context=told,
    )  # fmt: skip
    queue = open_N[chosen].tolist()
    for _ in range(min(count, len(open_N))):
        left = np.setdiff1d(open_N, it.asked)
        if it.rng.random() < plan.blind or not queue:
            row = int(it.rng.choice(left))
            it.audits[row] = (len(left), len(it.asked))
            queue = [each for each in queue if each != row]
        else:
            row = queue.pop(0)
        it.asked.append(row)
    return bool(len(open_N))


def fit(it: Session) -> last_layer.LastLayer | None:
    """The refresh's layer, tempered on the calibration half; None before labels of two classes."""
    taught = it.taught(1.0)
    if len(np.unique(taught.labels_L)) < 2:
        return None
    layer = last_layer.fit(
        None, taught.labelled_L, taught.labels_L, taught.num_classes, config=taught.config, rng=it.rng,
        excluded_positions=taught.outside, rejected_positions=taught.rejected, prepared=taught.prepared,
    )  # fmt: skip
    half = [row for row in it.held if it.halves_N[row] == 1 and it.material.labels_N[row] >= 0]
    if len(half) < TEMPERED_FROM:
        return layer
    scores = layer.log_probs_at(it.prepared.x_NR[half])
    return layer.tempered(calibration.fit_temperature(scores, it.material.labels_N[half]))


def situation(it: Session) -> tuple[measure.Situation, Ints, NDArray[np.bool_], NDArray[np.floating]]:
    """What the worker would measure, and of the open images: their rows, whether the model is right, their scores."""
    assert it.layer is not None
    taught, truth_N, x_NR = it.taught(it.layer.temperature), it.material.labels_N, it.prepared.x_NR
    open_N = np.setdiff1d(np.arange(len(truth_N)), [*it.asked, *it.held])
    log_probs_NK = it.layer.log_probs_at(x_NR[open_N])
    out_N = out_of_class.probability(
        x_NR, labelled=taught.labelled_L, labels=taught.labels_L, rejected=taught.rejected, rng=it.rng
    )
    score_N = np.exp(log_probs_NK.max(axis=1)) * (1 - out_N[open_N])
    rows = np.array([*it.held, *it.audits], np.int64)
    nothing = [(0, 0)] * len(it.held)
    still, before = np.array([*nothing, *it.audits.values()], np.int64).reshape(-1, 2).T
    blind = measure.Blind(rows, truth_N[rows], np.arange(len(rows)) < len(it.held), rows, still, before)
    people = len(taught.labelled_L) + int((truth_N[it.held] >= 0).sum())
    asked = np.array(it.asked, np.int64)
    found = measure.Situation(taught, blind, asked, score_N, population=len(truth_N), people=people)
    return found, open_N, log_probs_NK.argmax(axis=1) == truth_N[open_N], score_N


def certify(material: simulate_data.Material, prepared: last_layer.Prepared, plan: Plan, seed: int) -> dict[str, Any]:
    """One session -> for each error rate: the share of labels that were wrong in truth, and what the model labelled."""
    it = start(material, prepared, seed)
    label(it, plan, plan.budget)
    found, _, right_N, score_N = situation(it)
    steps = measure.blind_answers(found, rng=it.rng)
    right_T, score_T = measure.all_of(steps)
    told = measure.certificate(found, right_T, score_T)
    result: dict[str, Any] = {"answers": told["answers"], "accuracy_open": float(right_N.mean())}
    for alpha in ALPHAS:
        best = finishing.choose(told["frontier"], people=found.people, share=alpha)
        taken_N = score_N > best["above"] if best else np.zeros(len(score_N), bool)
        wrong = int((taken_N & ~right_N).sum()) / max(found.people + int(taken_N.sum()), 1)
        result[str(alpha)] = {"wrong": wrong, "covered": float(taken_N.mean())}
    return result


def foretell(material: simulate_data.Material, prepared: last_layer.Prepared, plan: Plan, seed: int) -> dict[str, Any]:
    """One session -> estimate and forecast at the budget, and what came true: accuracy then and 150 labels later."""
    it = start(material, prepared, seed)
    label(it, plan, plan.budget)
    found, _, _, _ = situation(it)
    told = measure.all_of(measure.measure(found, rng=it.rng))
    taught, now_H = len(found.taught.labelled_L), _right(it)
    gain = next((each for each in told["forecast"].get("gains", []) if each["more"] == MORE), None)
    while len(it.taught(1.0).labelled_L) < taught + MORE and len(it.open_rows()):
        label(it, plan, len(it.asked) + len(it.held) + plan.batch)
    changed_H = _right(it).astype(float) - now_H
    return {
        "truth": float(now_H.mean()),
        "gained": float(changed_H.mean()),
        "noise": float(changed_H.std() / np.sqrt(len(changed_H))),
        "estimate": told["estimate"],
        "forecast": gain,
    }


def _right(it: Session) -> NDArray[np.bool_]:
    """The published layer on the whole holdout, answered or not: fresh to it, and a fair sample of all images."""
    assert it.layer is not None
    rows = np.flatnonzero(it.halves_N > 0)
    return np.asarray(it.layer.log_probs_at(it.prepared.x_NR[rows]).argmax(axis=1) == it.material.labels_N[rows])


def report_promises(found: list[dict[str, Any]]) -> dict[str, Any]:
    """Share of sessions in which the promise held, with its interval, and mean coverage of the open images."""
    table: dict[str, Any] = {}
    for alpha in ALPHAS:
        each = [run[str(alpha)] for run in found]
        held, used = sum(run["wrong"] <= alpha for run in each), [run for run in each if run["covered"] > 0]
        low, high = shares.wilson(held, len(each))
        table[str(alpha)] = {
            "held": held / len(each), "low": low, "high": high, "covered": float(np.mean([r["covered"] for r in each])),
            "wrong": float(np.mean([run["wrong"] for run in each])), "model_labelled_in": len(used),
            "held_of_these": sum(run["wrong"] <= alpha for run in used),
        }  # fmt: skip
    return {"answers": float(np.mean([run["answers"] for run in found])), "by_alpha": table}


def report_forecasts(found: list[dict[str, Any]]) -> dict[str, Any]:
    """How often the intervals of estimate and forecast held the truth, and how far their middles were off."""
    told = [run for run in found if run["forecast"]]
    widths = [run["forecast"]["high"] - run["forecast"]["low"] for run in told]
    inside = [run["estimate"]["low"] <= run["truth"] <= run["estimate"]["high"] for run in found]
    band = [run["forecast"]["low"] <= run["gained"] <= run["forecast"]["high"] for run in told]
    return {
        "estimate_covers": float(np.mean(inside)),
        "estimate_off": float(np.mean([abs(run["estimate"]["accuracy"] - run["truth"]) for run in found])),
        "estimate_bias": float(np.mean([run["estimate"]["accuracy"] - run["truth"] for run in found])),
        "forecasts": len(told),
        "forecast_covers": float(np.mean(band)) if band else None,
        "forecast_width": float(np.median(widths)) if told else None,
        "forecast_off": float(np.mean([abs(r["forecast"]["gain"] - r["gained"]) for r in told])) if told else None,
        "forecast_bias": float(np.mean([r["forecast"]["gain"] - r["gained"] for r in told])) if told else None,
        "gained": float(np.mean([run["gained"] for run in found])),
        "gained_known_to": float(np.mean([run["noise"] for run in found])),  # standard error of the check itself
    }


def material(images: Path | None, *, digits: bool, embeddings: Path | None, backbone: str) -> simulate_data.Material:
    """The images to label; exactly one source."""
    if (images is not None) + digits + (embeddings is not None) != 1:
        raise errors.BadRequest("give one of --digits, --embeddings FILE and --images DIR")
    if digits:
        return simulate_data.from_digits()
    if embeddings is not None:
        return simulate_data.from_embeddings(embeddings)
    from app import simulate

    assert images is not None
    return simulate.embedded(images, backbone, Path("workspace/cache/simulate"))


def command(found: simulate_data.Material, *, runs: int, plan: Plan, forecast: bool, json_file: Path | None) -> None:
    """Run the sessions, print and write the report."""
    prepared = last_layer.prepare(found.embeddings_ND, rng=np.random.default_rng(0))
    began, one, results = time.process_time(), foretell if forecast else certify, []
    with jobs.bar("finish") as tell:
        for seed in range(runs):
            results.append(one(found, prepared, plan, seed))
            tell((seed + 1) / runs, f"{seed + 1} of {runs} sessions")
    told = report_forecasts(results) if forecast else report_promises(results)
    told |= {"name": found.name, "images": len(found.labels_N), "runs": runs, **dataclasses.asdict(plan)}
    told["cpu_seconds"] = round(time.process_time() - began, 1)
    print(json.dumps(told, indent=1))
    if json_file is not None:
        json_file.write_text(json.dumps(told, indent=1), encoding="utf-8")
