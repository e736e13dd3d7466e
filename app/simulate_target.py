"""The accuracy whose cost in labels is reported: a number, or a share of what all labels of the pool would give."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np

from app import errors, simulate_arm, simulate_classifiers, simulate_data, simulate_kept
from model import probe

SEEDS = 5  # over which the full-data accuracy is averaged where the split is drawn by the seed


def resolve(
    told: str, material: simulate_data.Material, plan: simulate_arm.Plan, cache: Path | None
) -> tuple[float, str]:
    """("0.6" | "probe:0.9" | "full:0.9") -> (target accuracy, how it came about, in words).

    probe: a linear probe on the same features, C chosen on training folds (model/probe.py). full: the plan's own
    classifier. Both are taught by the true labels of all in-class pool images. `cache` keeps the accuracies.
    """
    kind, _, share = told.rpartition(":")
    try:
        number = float(share)
    except ValueError:
        number = -1.0
    if not 0 < number <= 1 or kind not in ("", "probe", "full"):
        raise errors.BadRequest(
            f"a target is an accuracy like 0.6, or a share like probe:0.9 or full:0.9 of what all labels give; not {told!r}"
        )
    if not kind:
        return number, f"accuracy {number:g}"
    numbers = _reference_seeds(material, plan)
    full = float(np.mean([_full(kind, material, plan, seed, cache) for seed in numbers]))
    who = "a linear probe" if kind == "probe" else f"the {plan.classifier.replace('_', ' ')}"
    return number * full, f"{number * full:.4f}, {number:.0%} of the {full:.4f} that {who} reaches with all pool labels"


def _reference_seeds(material: simulate_data.Material, plan: simulate_arm.Plan) -> list[int]:
    drawn = material.split_N is None or plan.conditions.out_of_class > 0
    return list(plan.seed_numbers)[: SEEDS if drawn else 1]


def _full(kind: str, material: simulate_data.Material, plan: simulate_arm.Plan, seed: int, cache: Path | None) -> float:
    clean = dataclasses.replace(plan.conditions, noise=0.0, tail=1.0, duplicates=0.0)
    plan = dataclasses.replace(plan, conditions=clean)
    key = [simulate_kept.digest(material), kind, plan.classifier, dataclasses.asdict(clean), seed]
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    file = None if cache is None else cache / f"full-{name}.json"
    if kind == "probe" and file is not None and file.exists():
        return float(json.loads(file.read_text(encoding="utf-8")))
    found = (_probe if kind == "probe" else _classifier)(material, plan, seed)
    if kind == "probe" and file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(found), encoding="utf-8")
    return found


def _probe(material: simulate_data.Material, plan: simulate_arm.Plan, seed: int) -> float:
    shared = simulate_arm.ready(material, plan, seed)
    rows = np.flatnonzero(shared.world.truth_P >= 0)
    pool_PD = shared.world.pool_of(material.embeddings_ND)
    rng = np.random.default_rng([seed, 4])
    truth_P, test_labels_T = shared.world.truth_P[rows], shared.world.test_labels_T
    return probe.linear(pool_PD[rows], truth_P, shared.test_TD, test_labels_T, rng=rng).accuracy


def _classifier(material: simulate_data.Material, plan: simulate_arm.Plan, seed: int) -> float:
    shared = simulate_arm.ready(material, plan, seed)
    world = shared.world
    rows, rejected = np.flatnonzero(world.truth_P >= 0), np.flatnonzero(world.truth_P < 0)
    fit = simulate_classifiers.CLASSIFIERS[plan.classifier].fit
    rng = np.random.default_rng([seed, 4])
    layer = fit(shared.prepared, rows, world.truth_P[rows], rejected, len(world.class_names), rng)
    return float((layer.log_probs(shared.test_TD).argmax(axis=1) == world.test_labels_T).mean())
