"""From embeddings and labels to the published queue: fit the last layer, measure it, order the pool, fill the rows."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import auditing, predicting, predictions, ranking_holdout
from app.ranking_spots import Spots
from app.settings import Settings
from app.snapshot import Snapshot
from model import acquisition, last_layer, neighbours, uncertainty
from model.acquisition import automatic
from store import gold
from store.records import QueueRow

Ints = NDArray[np.int64]
Floats = NDArray[np.floating]
MOST_SELF_TRAINED = 6_000  # rows of the pool that a refresh self-trains on
MOST_DRAWN = 10_000  # most uncertain images that get posterior draws; the rest is ranked by the mean alone
HEAD = 24  # images chosen together, so that they differ; behind them plain uncertainty orders the queue
SUGGESTED = 9
COMPARED = 3  # top classes that get neighbours, and neighbours for each


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
    x_NR, spots = prepared.x_NR, Spots(image_ids, seen)
    metrics: dict[str, Any] = {
        "labels": len(seen.labelled),
        "classes": seen.classes_seen,
        "rejected": len(seen.rejected),
        "n": len(spots.held_N),
    }
    if seen.classes_seen < 2:
        rows = _cold(image_ids, x_NR, spots, settings=settings, rng=rng)
        return Ranking(rows, metrics, False, True, len(spots.open_N), None, {}, None)
    layer, figures, calibrated = taught(prepared, seen, spots, rng=rng)
    draw = layer.sampler(settings.draws, rng)
    choice = ranking_holdout.better_uncertainty(draw, x_NR, spots)
    open_N = spots.open_N
    mean_NK = layer.log_probs_at(x_NR[open_N])
    near_N = np.argsort(uncertainty.margin(mean_NK), kind="stable")[:MOST_DRAWN]
    draws_NSK = draw(x_NR[open_N[near_N]])
    told = uncertainty.decompose(draws_NSK)
    order_N, is_typical = _order(
        draws_NSK, x_NR, seen, spots, near_N, told, rank_by=choice["rank_by"], settings=settings, rng=rng
    )
    published, reasons, chances = _with_audits(order_N, is_typical, spots, settings=settings, rng=rng)
    top_NJ = np.argsort(-mean_NK, axis=1, kind="stable")[:, :SUGGESTED]
    compared = _compared(x_NR, spots, open_N[published], top_NJ[published, :COMPARED])
    place = {int(spot): at for at, spot in enumerate(near_N)}
    rows, tops = [], {}
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
            )
        )
    golden, more = _gold(draw, layer, x_NR, spots, image_ids, seen)
    rows, tops = mixed(rows, golden), tops | more
    predicted = predicting.predict(
        image_ids,
        x_NR,
        layer,
        known=(open_N, mean_NK),
        labelled_N=spots.labelled_N,
        labels_N=spots.labels_N,
        rejected_N=spots.rejected_N,
        seen=seen,
        rng=rng,
    )
    metrics |= figures | choice
    return Ranking(rows, metrics, calibrated, False, len(open_N), layer.class_directions(), tops, predicted)


def taught(
    prepared: last_layer.Prepared, seen: Snapshot, spots: Spots, *, rng: np.random.Generator
) -> tuple[last_layer.LastLayer, dict[str, Any], bool]:
    """The last layer fitted on every label and tempered on the holdout, what that says of it, whether it is calibrated."""
    return ranking_holdout.measure(_fit(prepared, seen, spots, rng), prepared.x_NR, spots)


def _gold(
    draw: Any, layer: last_layer.LastLayer, x_NR: Floats, spots: Spots, image_ids: Ints, seen: Snapshot
) -> tuple[list[QueueRow], dict[int, list[int]]]:
    """Rows of the gold images, told as any other, and their likely classes."""
    if not len(spots.gold_N):
        return [], {}
    x_GR = x_NR[spots.gold_N]
    mean_GK, told = layer.log_probs_at(x_GR), uncertainty.decompose(draw(x_GR))
    top_GJ = np.argsort(-mean_GK, axis=1, kind="stable")[:, :SUGGESTED]
    compared = _compared(x_NR, spots, spots.gold_N, top_GJ[:, :COMPARED])
    ids = [int(image_id) for image_id in image_ids[spots.gold_N]]
    rows = [
        QueueRow(
            position=0,
            image_id=image_id,
            reason=gold.GOLD,
            total=float(told.total_N[at]),
            aleatoric=float(told.aleatoric_N[at]),
            epistemic=float(told.epistemic_N[at]),
            margin=float(told.margin_N[at]),
            suggestions=[(seen.class_ids[k], round(float(np.exp(mean_GK[at, k])), 4)) for k in top_GJ[at]],
            neighbours=[(seen.class_ids[k], near) for k, near in compared[at] if near],
        )
        for at, image_id in enumerate(ids)
    ]
    return rows, {image_id: top_GJ[at].tolist() for at, image_id in enumerate(ids)}


def mixed(rows: list[QueueRow], golden: list[QueueRow]) -> list[QueueRow]:
    """Both, the second spread over the first, numbered anew; nobody is asked those in passing, only by lot."""
    if not golden:
        return rows
    step = max(1, len(rows) // len(golden))
    out = [each for at, row in enumerate(rows) for each in [row, *(golden[at // step :][:1] if at % step == 0 else [])]]
    out += golden[len(out) - len(rows) :]
    return [dataclasses.replace(row, position=position) for position, row in enumerate(out)]


def _fit(prepared: last_layer.Prepared, seen: Snapshot, spots: Spots, rng: np.random.Generator) -> last_layer.LastLayer:
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
        rejected_positions=spots.rejected_N,
        prepared=prepared,
        targets_LK=seen.targets(spots.labelled),
        picked_positions=spots.picked_N,
    )


def _order(
    draws_NSK: Floats,
    x_NR: Floats,
    seen: Snapshot,
    spots: Spots,
    near_N: Ints,
    told: uncertainty.Uncertainty,
    *,
    rank_by: str,
    settings: Settings,
    rng: np.random.Generator,
) -> tuple[Ints, bool]:
    """Positions among the open images, best first, and whether the head was chosen for being typical.

    Behind the head small margins come first, and what is likely to be rejected last.
    """
    classes = len(seen.class_ids)
    few = len(spots.labelled_N) < automatic.COLD_LABELS_PER_CLASS * classes
    typical = settings.strategy == "typical" or (settings.strategy == "auto" and few)
    alone = settings.strategy in acquisition.NEEDS_NOTHING and (typical or settings.strategy != "auto")
    among_N = np.arange(len(spots.open_N)) if alone else near_N  # who needs no posterior chooses among all
    wanted = settings.queue_length if settings.strategy == "random" else HEAD
    context = acquisition.situation(
        x_NR,
        labelled=spots.labelled_N,
        labels=spots.labels_N,
        rejected=spots.rejected_N,
        candidates=spots.open_N[among_N],
        num_classes=classes,
        rng=rng,
        rank_by=rank_by,
    )
    head_N = among_N[
        acquisition.select(
            settings.strategy,
            log_probs_NSK=None if alone else draws_NSK,
            embeddings_ND=x_NR[spots.open_N[among_N]],
            labelled_ND=x_NR[spots.labelled_N],
            count=min(wanted, len(among_N)),
            rng=rng,
            context=context,
        )
    ]
    waits_N = automatic.waits(context["out_N"], len(spots.rejected_N))
    rest_N = near_N[np.lexsort((told.margin_N, waits_N[near_N] if alone else waits_N))]
    rest_N = rest_N[~np.isin(rest_N, head_N)]
    order_N = np.concatenate([head_N, rest_N])[: settings.queue_length]
    leased_N = np.flatnonzero(np.isin(spots.open_N, spots.leased_N))
    return np.concatenate([order_N, np.setdiff1d(leased_N, order_N)]), typical


def _with_audits(
    order_N: Ints, typical: bool, spots: Spots, *, settings: Settings, rng: np.random.Generator
) -> tuple[Ints, list[str], list[float | None]]:
    """The order with random audits in between -> (positions, why each is asked, an audit's propensity)."""
    held_N = np.flatnonzero(np.isin(spots.open_N, spots.leased_N))
    mixed, chances = auditing.mix(order_N, len(spots.open_N), rate=settings.audit_rate, held=held_N, rng=rng)
    head = set(order_N[:HEAD].tolist())
    reasons = ["audit" if spot in chances else "typical" if typical and spot in head else "uncertain" for spot in mixed]
    return np.array(mixed, np.int64), reasons, [chances.get(spot) for spot in mixed]


def _compared(x_NR: Floats, spots: Spots, rows_M: Ints, classes_MJ: Ints) -> list[list[tuple[int, list[int]]]]:
    """For each of `rows_M` and its likely classes, the ids of the nearest labelled images, in the last layer's space."""
    if not len(rows_M):
        return []
    found = neighbours.nearest_per_class(
        x_NR[rows_M], x_NR[spots.labelled_N], spots.labels_N, classes_MJ.tolist(), per_class=COMPARED
    )
    return [[(k, [spots.labelled[position] for position in positions]) for k, positions in each] for each in found]


def _cold(
    image_ids: Ints, x_NR: Floats, spots: Spots, *, settings: Settings, rng: np.random.Generator
) -> list[QueueRow]:
    """Before labels of two classes: by the strategy if it needs no posterior, else typical images; nothing suggested."""
    order_N = np.empty(0, np.int64)
    if len(spots.open_N):
        order_N = acquisition.select(
            settings.strategy if settings.strategy in acquisition.NEEDS_NOTHING else "typical",
            log_probs_NSK=None,
            embeddings_ND=x_NR[spots.open_N],
            # what was rejected was asked too; who else will be is not guessed: beside one class all that is new looks so
            labelled_ND=x_NR[np.concatenate([spots.labelled_N, spots.rejected_N])],
            count=settings.queue_length,
            rng=rng,
            context=None,
        )
    published, reasons, chances = _with_audits(order_N, True, spots, settings=settings, rng=rng)
    return [
        QueueRow(
            position=position,
            image_id=int(image_ids[spots.open_N[spot]]),
            reason="audit" if reason == "audit" else "typical",
            propensity=chances[position],
        )
        for position, (spot, reason) in enumerate(zip(published.tolist(), reasons, strict=True))
    ]
