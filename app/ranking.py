"""From a posterior to the published queue: fit the last layer, measure it on the holdout, order the pool, fill the rows."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import auditing, predicting, predictions
from app.settings import Settings
from app.snapshot import Snapshot
from model import acquisition, calibration, last_layer, neighbours, uncertainty
from model.acquisition import automatic
from store.records import QueueRow

Ints = NDArray[np.int64]
Floats = NDArray[np.floating]
MOST_SELF_TRAINED = 6_000  # rows of the pool that a refresh self-trains on
MOST_DRAWN = 10_000  # most uncertain images that get posterior draws; the rest is ranked by the mean alone
HEAD = 24  # images chosen together, so that they differ; behind them plain uncertainty orders the queue
SUGGESTED = 9
COMPARED = 3  # top classes that get neighbours, and neighbours for each
CALIBRATED_FROM = 20  # holdout answers from which probabilities may be called calibrated


@dataclasses.dataclass(frozen=True)
class Ranking:
    """What a learning step publishes. `directions` and `top_classes` draw the maps; None and empty at cold start."""

    rows: list[QueueRow]
    metrics: dict[str, Any]
    calibrated: bool
    cold: bool
    pool_size: int
    directions: tuple[Floats, Floats] | None  # directions_KD and shift_K, see model.last_layer
    top_classes: dict[int, list[int]]  # image -> class indices, best first
    predicted: predictions.Predictions | None  # of every image; None at cold start


def rank(
    image_ids: Ints, prepared: last_layer.Prepared, seen: Snapshot, *, settings: Settings, rng: np.random.Generator
) -> Ranking:
    """Order the open pool; `prepared` holds the embeddings of `image_ids` (ascending) in the last layer's space."""
    embeddings_ND = prepared.x_NR
    spots = _Spots(image_ids, seen)
    if seen.classes_seen < 2:
        return _cold(image_ids, embeddings_ND, seen, spots, settings=settings, rng=rng)
    layer = _fit(prepared, seen, spots, rng)
    layer, metrics, calibrated = _measure(layer, embeddings_ND, seen, spots)
    open_N = spots.open_N
    mean_NK = layer.log_probs_at(embeddings_ND[open_N])
    near_N = np.argsort(uncertainty.margin(mean_NK), kind="stable")[:MOST_DRAWN]
    draws_NSK = layer.draws_at(embeddings_ND[open_N[near_N]], settings.draws, rng)
    told = uncertainty.decompose(draws_NSK)
    order_N, is_typical = _order(draws_NSK, embeddings_ND, seen, spots, near_N, told, settings=settings, rng=rng)
    published, reasons, chances = _with_audits(order_N, is_typical, spots, settings=settings, rng=rng)
    top_NJ = np.argsort(-mean_NK, axis=1, kind="stable")[:, :SUGGESTED]
    place = {int(spot): at for at, spot in enumerate(near_N)}
    near = _Neighbours(image_ids, embeddings_ND, seen, spots)
    rows, tops = [], {}
    compared = near.of(open_N[published], top_NJ[published, :COMPARED])
    for position, (spot, reason) in enumerate(zip(published.tolist(), reasons, strict=True)):
        image_id = int(image_ids[open_N[spot]])
        tops[image_id] = top_NJ[spot].tolist()
        at = place.get(spot)
        rows.append(
            QueueRow(
                position=position,
                image_id=image_id,
                reason=reason,
                total=None if at is None else float(told.total_N[at]),
                aleatoric=None if at is None else float(told.aleatoric_N[at]),
                epistemic=None if at is None else float(told.epistemic_N[at]),
                margin=None if at is None else float(told.margin_N[at]),
                propensity=chances[position],
                suggestions=[(seen.class_ids[k], round(float(np.exp(mean_NK[spot, k])), 4)) for k in top_NJ[spot]],
                neighbours=[(seen.class_ids[k], ids) for k, ids in compared[position] if ids],
                overlays=[],
            )
        )
    predicted = predicting.predict(
        image_ids,
        embeddings_ND,
        layer,
        known=(open_N, mean_NK),
        labelled_N=spots.labelled_N,
        labels_N=spots.labels_N,
        rejected_N=spots.rejected_N,
        seen=seen,
        rng=rng,
    )
    return Ranking(rows, metrics, calibrated, False, len(open_N), layer.class_directions(), tops, predicted)


class _Spots:
    """Row numbers of the open, the labelled and the answered holdout images, and of all that may be trained on."""

    def __init__(self, image_ids: Ints, seen: Snapshot) -> None:
        row_of = {int(image_id): row for row, image_id in enumerate(image_ids)}
        self.labelled = [image_id for image_id in seen.labelled if image_id in row_of]
        self.labelled_N = _rows(self.labelled, row_of)
        self.labels_N = np.array([seen.labelled[image_id] for image_id in self.labelled], np.int64)
        held = [image_id for image_id in seen.holdout_labels if image_id in row_of]
        self.held_N = _rows(held, row_of)
        self.held_labels_N = np.array([seen.holdout_labels[image_id] for image_id in held], np.int64)
        self.held_halves_N = np.array([seen.holdout[image_id] for image_id in held], np.int64)
        settled = seen.labelled.keys() | seen.rejected
        self.open_N = np.array(
            [row for i, row in row_of.items() if i not in settled and i not in seen.holdout], np.int64
        )
        self.rejected_N = _rows(sorted(i for i in seen.rejected if i in row_of and i not in seen.holdout), row_of)
        self.leased_N = _rows(
            [i for i in seen.leased if i in row_of and i not in settled and i not in seen.holdout], row_of
        )


def _rows(ids: list[int], row_of: dict[int, int]) -> Ints:
    return np.array([row_of[image_id] for image_id in ids], np.int64)


def _fit(
    prepared: last_layer.Prepared, seen: Snapshot, spots: "_Spots", rng: np.random.Generator
) -> last_layer.LastLayer:
    """Labelled and open rows teach (the open ones by self-training); holdout and rejects stay out."""
    outside_N = np.setdiff1d(np.arange(len(prepared.x_NR)), np.concatenate([spots.labelled_N, spots.open_N]))
    return last_layer.fit(
        None,
        spots.labelled_N,
        spots.labels_N,
        len(seen.class_ids),
        config=last_layer.Config(max_pool=MOST_SELF_TRAINED),
        rng=rng,
        excluded_positions=outside_N,
        prepared=prepared,
        targets_LK=seen.targets(spots.labelled),
    )


def _measure(
    layer: last_layer.LastLayer, embeddings_ND: Floats, seen: Snapshot, spots: _Spots
) -> tuple[last_layer.LastLayer, dict[str, Any], bool]:
    """Temperature from the calibration half (cross-validated while small), accuracy and calibration on the holdout."""
    counts = seen.counts()
    metrics: dict[str, Any] = {
        "labels": len(seen.labelled),
        "classes": len(counts),
        "rejected": len(seen.rejected),
        "n": len(spots.held_N),
    }
    if not len(spots.held_N):
        return layer, metrics, False
    half_N = spots.held_halves_N == 1
    fitted = layer
    if half_N.sum() >= CALIBRATED_FROM // 2:
        scores = layer.log_probs_at(embeddings_ND[spots.held_N[half_N]])
        fitted = layer.tempered(calibration.fit_temperature(scores, spots.held_labels_N[half_N]))
    log_probs_NK = fitted.log_probs_at(embeddings_ND[spots.held_N])
    right = int((log_probs_NK.argmax(axis=1) == spots.held_labels_N).sum())
    low, high = calibration.wilson(right, len(spots.held_N))
    metrics.update(accuracy=right / len(spots.held_N), low=low, high=high)
    metrics.update(_calibration(log_probs_NK, spots, half_N))
    return fitted, metrics, len(spots.held_N) >= CALIBRATED_FROM


def _calibration(log_probs_NK: Floats, spots: _Spots, half_N: NDArray[np.bool_]) -> dict[str, Any]:
    """ECE, NLL and Brier on the test half, which never set the temperature; all answers while that half is small."""
    use_N = ~half_N if (~half_N).sum() >= CALIBRATED_FROM else np.ones(len(half_N), bool)
    log_probs, labels = log_probs_NK[use_N], spots.held_labels_N[use_N]
    return {
        "ece": calibration.ece(log_probs, labels),
        "nll": calibration.nll(log_probs, labels),
        "brier": calibration.brier(log_probs, labels),
        "reliability": [dataclasses.asdict(each) for each in calibration.reliability(log_probs, labels)],
    }


def _order(
    draws_NSK: Floats,
    embeddings_ND: Floats,
    seen: Snapshot,
    spots: _Spots,
    near_N: Ints,
    told: uncertainty.Uncertainty,
    *,
    settings: Settings,
    rng: np.random.Generator,
) -> tuple[Ints, bool]:
    """Positions among the open images, best first, and whether the head was chosen for being typical."""
    classes = len(seen.class_ids)
    few = len(spots.labelled_N) < automatic.COLD_LABELS_PER_CLASS * classes
    typical = settings.strategy == "typical" or (settings.strategy == "auto" and few)
    alone = settings.strategy in acquisition.NEEDS_NOTHING and (typical or settings.strategy != "auto")
    among_N = np.arange(len(spots.open_N)) if alone else near_N  # who needs no posterior chooses among all
    wanted = settings.queue_length if settings.strategy == "random" else HEAD
    head_N = among_N[
        acquisition.select(
            settings.strategy,
            log_probs_NSK=None if alone else draws_NSK,
            embeddings_ND=embeddings_ND[spots.open_N[among_N]],
            labelled_ND=embeddings_ND[spots.labelled_N],
            count=min(wanted, len(among_N)),
            rng=rng,
            context=acquisition.situation(
                embeddings_ND,
                labelled=spots.labelled_N,
                labels=spots.labels_N,
                rejected=spots.rejected_N,
                candidates=spots.open_N[among_N],
                num_classes=classes,
                rng=rng,
            ),
        )
    ]
    rest_N = near_N[np.argsort(told.margin_N, kind="stable")]
    rest_N = rest_N[~np.isin(rest_N, head_N)]
    order_N = np.concatenate([head_N, rest_N])[: settings.queue_length]
    leased_N = np.flatnonzero(np.isin(spots.open_N, spots.leased_N))
    return np.concatenate([order_N, np.setdiff1d(leased_N, order_N)]), typical


def _with_audits(
    order_N: Ints, typical: bool, spots: _Spots, *, settings: Settings, rng: np.random.Generator
) -> tuple[Ints, list[str], list[float | None]]:
    """The order with random audits in between -> (positions, why each is asked, an audit's propensity)."""
    held_N = np.flatnonzero(np.isin(spots.open_N, spots.leased_N))
    mixed, chances = auditing.mix(order_N, len(spots.open_N), rate=settings.audit_rate, held=held_N, rng=rng)
    head = set(order_N[:HEAD].tolist())
    reasons = ["audit" if spot in chances else "typical" if typical and spot in head else "uncertain" for spot in mixed]
    return np.array(mixed, np.int64), reasons, [chances.get(spot) for spot in mixed]


class _Neighbours:
    """Nearest labelled images of the wanted classes, in the space the last layer sees."""

    def __init__(self, image_ids: Ints, embeddings_ND: Floats, seen: Snapshot, spots: _Spots) -> None:
        self.image_ids, self.spots = image_ids, spots
        self.space_ND = embeddings_ND

    def of(self, rows_M: Ints, classes_MJ: Ints) -> list[list[tuple[int, list[int]]]]:
        if not len(rows_M):
            return []
        found = neighbours.nearest_per_class(
            self.space_ND[rows_M],
            self.space_ND[self.spots.labelled_N],
            self.spots.labels_N,
            classes_MJ.tolist(),
            per_class=COMPARED,
        )
        return [
            [(k, [self.spots.labelled[position] for position in positions]) for k, positions in each] for each in found
        ]


def _cold(
    image_ids: Ints,
    embeddings_ND: Floats,
    seen: Snapshot,
    spots: _Spots,
    *,
    settings: Settings,
    rng: np.random.Generator,
) -> Ranking:
    """Before labels of two classes: by the strategy if it needs no posterior, else typical images; nothing suggested."""
    order_N = np.empty(0, np.int64)
    if len(spots.open_N):
        order_N = acquisition.select(
            settings.strategy if settings.strategy in acquisition.NEEDS_NOTHING else "typical",
            log_probs_NSK=None,
            embeddings_ND=embeddings_ND[spots.open_N],
            labelled_ND=embeddings_ND[spots.labelled_N],
            count=min(settings.queue_length, len(spots.open_N)),
            rng=rng,
            context=None,
        )
    published, reasons, chances = _with_audits(order_N, True, spots, settings=settings, rng=rng)
    rows = [
        QueueRow(
            position=position,
            image_id=int(image_ids[spots.open_N[spot]]),
            reason="audit" if reason == "audit" else "typical",
            total=None,
            aleatoric=None,
            epistemic=None,
            margin=None,
            propensity=chances[position],
            suggestions=[],
            neighbours=[],
            overlays=[],
        )
        for position, (spot, reason) in enumerate(zip(published.tolist(), reasons, strict=True))
    ]
    metrics = {"labels": len(seen.labelled), "rejected": len(seen.rejected), "n": len(spots.held_N)}
    return Ranking(rows, metrics, False, True, len(spots.open_N), None, {}, None)
