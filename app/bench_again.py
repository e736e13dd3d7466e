"""Is an answer better spent on a new image or on a disputed one? Whole sessions of a team that errs, as many answers each."""

import statistics
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import agreement, agreement_model, simulate_data
from app.settings import Settings
from app.snapshot import Snapshot
from model import acquisition, last_layer
from store.records import QueueRow, Said

Ints = NDArray[np.int64]
RATES = (0.0, 0.1, 0.3)  # again_rate: never, the default, often
WRONG = (0.2, 0.23, 0.27, 0.3)  # of each person's answers, at random another class
HELD = 60  # holdout images, answered once each by the same people, not counted
DRAWS = 10


class Session:
    """One team on the digits: what was said of which image of the pool, as the product's own snapshot."""

    def __init__(self, material: simulate_data.Material, seed: int) -> None:
        pool, self.test = material.split(seed)
        self.material, self.truth_N, self.rng = material, material.labels_N[pool], np.random.default_rng([seed, 1])
        self.prepared = last_layer.prepare(material.embeddings_ND[pool], rng=np.random.default_rng([seed, 3]))
        self.classes = len(material.class_names)
        drawn = np.random.default_rng([seed, 7])  # the same answers to the same questions, whoever asks
        shape = (len(pool), len(WRONG))
        other_NJ = (self.truth_N[:, None] + drawn.integers(1, self.classes, shape)) % self.classes
        self.says_NJ = np.where(drawn.random(shape) < WRONG, other_NJ, self.truth_N[:, None])
        self.order_NJ = drawn.permuted(np.tile(np.arange(len(WRONG)), (len(pool), 1)), axis=1)
        self.held = drawn.permutation(len(pool))[:HELD]
        self.said: list[Said] = []

    def answer(self, image: int) -> None:
        """The next person who has not answered it does."""
        before = sum(said.image_id == image for said in self.said)
        person = int(self.order_NJ[image, before])
        self.said.append(Said(image, person, int(self.says_NJ[image, person]), None, False, len(self.said)))

    def seen(self) -> Snapshot:
        """What the store would say: of each image the last answer."""
        return Snapshot(
            watermark=len(self.said),
            class_ids=list(range(self.classes)),
            labelled={said.image_id: int(said.class_id or 0) for said in self.said},
            holdout={int(i): 1 for i in self.held},
            holdout_labels={int(i): int(self.says_NJ[i, self.order_NJ[i, 0]]) for i in self.held},
            rejected=set(),
            leased=[],
            round_id=None,
            said=self.said,
        )


def run(material: simulate_data.Material, rate: float, seed: int, *, budget: int, batch: int) -> dict[str, float]:
    """Ask by `auto`, `rate` of it again -> what `budget` answers brought: the model's accuracy, the labels' own, images."""
    it, kept, settings = Session(material, seed), agreement_model.Kept(), Settings(again_rate=rate)
    ids, accuracies = np.arange(len(it.truth_N)), []
    layer, agreed, settled = None, None, it.seen()
    while len(it.said) < budget:
        count = min(batch, budget - len(it.said))
        rows = [
            QueueRow(position=at, image_id=i, reason="auto") for at, i in enumerate(_new(it, settled, layer, count))
        ]
        for row in agreement.with_again(rows, agreed, rate=rate)[:count]:
            it.answer(row.image_id)
        settled, agreed = agreement.settle(it.seen(), ids, it.prepared, settings=settings, rng=it.rng, kept=kept)
        layer = _fit(it, settled)
        right_T = layer.log_probs(material.embeddings_ND[it.test]).argmax(axis=1) == material.labels_N[it.test]
        accuracies.append(float(right_T.mean()))
    right = [it.truth_N[i] == label for i, label in settled.labelled.items()]
    return {
        "accuracy": accuracies[-1],
        "mean accuracy": statistics.mean(accuracies),
        "labels right": float(np.mean(right)),
        "images": len(right),
        "asked again": len(it.said) - len(right),
    }


def _new(it: Session, settled: Snapshot, layer: last_layer.LastLayer | None, count: int) -> list[int]:
    labelled = np.array(list(settled.labelled), np.int64)
    open_N = np.setdiff1d(np.arange(len(it.truth_N)), np.concatenate([labelled, it.held]))
    x_NR, labels = it.prepared.x_NR, np.array(list(settled.labelled.values()), np.int64)
    told = acquisition.situation(
        x_NR, labelled=labelled, labels=labels, rejected=np.empty(0, np.int64), candidates=open_N,
        num_classes=it.classes, rng=it.rng,
    )  # fmt: skip
    chosen = acquisition.select(
        "auto", log_probs_NSK=layer.draws_at(x_NR[open_N], DRAWS, it.rng) if layer else None,
        embeddings_ND=x_NR[open_N], labelled_ND=x_NR[labelled], count=count, rng=it.rng, context=told,
    )  # fmt: skip
    return [int(i) for i in open_N[chosen]]


def _fit(it: Session, settled: Snapshot) -> last_layer.LastLayer:
    labelled = list(settled.labelled)
    return last_layer.fit(
        None, labelled, list(settled.labelled.values()), it.classes, rng=it.rng, excluded_positions=it.held,
        prepared=it.prepared, targets_LK=settled.targets(labelled),
    )  # fmt: skip


def table(seeds: int, *, budget: int = 400, batch: int = 25) -> dict[str, dict[str, Any]]:
    """Means over seeds for each rate; `gain`: accuracy more than without asking again, paired by seed, with its standard
    error."""
    material = simulate_data.from_digits()
    found = {rate: [run(material, rate, seed, budget=budget, batch=batch) for seed in range(seeds)] for rate in RATES}
    rows: dict[str, dict[str, Any]] = {}
    for rate, each in found.items():
        row: dict[str, Any] = {name: round(statistics.mean(r[name] for r in each), 4) for name in each[0]}
        for name in ("accuracy", "mean accuracy", "labels right"):
            more = np.array([r[name] - b[name] for r, b in zip(each, found[0.0], strict=True)])
            error = more.std(ddof=1) / np.sqrt(len(more)) if len(more) > 1 else float("nan")
            row[f"gain in {name}"] = f"{more.mean():+.4f} ± {error:.4f}" if rate else ""
        rows[f"again_rate {rate:g}"] = row
    return rows
