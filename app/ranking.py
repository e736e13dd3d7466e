"""From embeddings and labels to the published queue: fit the last layer, measure it, order the pool, fill the rows."""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import auditing, predicting, predictions, ranking_holdout, ranking_rows
from app.ranking_rows import Asked, Doubts
from app.ranking_spots import Spots
from app.settings import Settings
from app.snapshot import Snapshot
from model import acquisition, bad_images, last_layer, out_of_class, uncertainty
from model.acquisition import automatic
from model.last_layer_draws import Noise
from model.likeliest import Likeliest
from store.records import QueueRow

Ints = NDArray[np.int64]
Floats = NDArray[np.floating]
MOST_SELF_TRAINED = 6_000  # rows of the pool that a refresh self-trains on
MOST_DRAWN = 10_000  # most uncertain images that get posterior draws; the rest is ranked by the mean alone ...
FEWEST_DRAWN = 2_000  # ... fewer where draws x classes make them large
DRAWN_VALUES = 8_000_000  # of all draws together
PROBABLY = 0.5  # a bad picture: asked when nothing else is left; that, or of no class: not what a round learns from
HEAD = 24  # images chosen together, so that they differ; behind them plain uncertainty orders the queue


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


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What was learned from a snapshot; the rows of `spots`, `out_N`, `bad_N` and `likeliest` are the pool's."""

    seen: Snapshot
    spots: Spots
    layer: last_layer.LastLayer
    likeliest: Likeliest
    out_N: Floats  # probability of being rejected, as of no class
    bad_N: Floats  # probability of being rejected as a bad picture
    rank_by: str
    figures: dict[str, Any]
    calibrated: bool


def rank(
    image_ids: Ints,
    prepared: last_layer.Prepared,
    seen: Snapshot,
    *,
    settings: Settings,
    rng: np.random.Generator,
    looks_NF: Floats | None = None,
) -> Ranking:
    """Order the open pool; `prepared` holds the embeddings of `image_ids` (ascending) in the last layer's space, `looks_NF`
    what model/looks.py says of them."""
    spots = Spots(image_ids, seen)
    if seen.classes_seen < 2:
        bad_N = _bad(prepared, looks_NF, spots)
        rows = _cold(image_ids, prepared.x_NR, bad_N, spots, settings=settings, rng=rng)
        return Ranking(rows, _counts(seen, spots), False, True, len(spots.open_N), None, {}, None)
    found = fit(prepared, seen, spots, settings=settings, rng=rng, looks_NF=looks_NF)
    return arrange(found, image_ids, prepared.x_NR, settings=settings, rng=rng)


def fit(
    prepared: last_layer.Prepared,
    seen: Snapshot,
    spots: Spots,
    *,
    settings: Settings,
    rng: np.random.Generator,
    looks_NF: Floats | None = None,
) -> Fitted:
    """The slow part: the last layer on every label, what the holdout says of it, what it says of every image."""
    layer, figures, calibrated = taught(prepared, seen, spots, rng=rng)
    choice = ranking_holdout.better_uncertainty(layer.sampler(settings.draws, rng), prepared.x_NR, spots)
    odd_N = np.setdiff1d(spots.rejected_N, spots.bad_N)
    out_N = out_of_class.probability(
        prepared.x_NR, labelled=spots.labelled_N, labels=spots.labels_N, rejected=odd_N, rng=rng
    )
    bad_N = _bad(prepared, looks_NF, spots)
    likeliest = layer.likeliest_at(prepared.x_NR)
    return Fitted(seen, spots, layer, likeliest, out_N, bad_N, choice["rank_by"], figures | choice, calibrated)


def _bad(prepared: last_layer.Prepared, looks_NF: Floats | None, spots: Spots) -> Floats:
    return bad_images.probability(prepared.x_NR, looks_NF, rejected=spots.bad_N, ordinary=spots.labelled_N)


def _fine(rows_N: Ints, bad_N: Floats) -> tuple[Ints, Ints]:
    """Rows worth asking, and those that are probably bad pictures, likeliest last."""
    fine_N = bad_N[rows_N] < PROBABLY
    if not fine_N.any():
        return rows_N, rows_N[:0]
    last_N = rows_N[~fine_N]
    return rows_N[fine_N], last_N[np.argsort(bad_N[last_N], kind="stable")]


def arrange(
    found: Fitted,
    image_ids: Ints,
    x_NR: Floats,
    *,
    settings: Settings,
    rng: np.random.Generator,
    noise: Noise | None = None,
    most: int | None = None,
    before: list[int] | None = None,
) -> Ranking:
    """The quick part: the queue and the predictions that follow from what was fitted. `most` images are drawn (default:
    see most_drawn) with `noise` (default: fresh); `before` are images whose order is kept, as a few labels more do not change
    what is typical."""
    spots, seen, layer = found.spots, found.seen, found.layer
    doubts = Doubts(x_NR, layer.sampler_of(noise or layer.noise(settings.draws, rng)))
    typical = is_typical(found, settings)
    if before is not None:
        order_N = _kept(before, image_ids, spots)
    else:
        most = most or most_drawn(settings.draws, len(seen.class_ids))
        order_N = _order(found, doubts, typical=typical, most=most, settings=settings, rng=rng)
    asked = _with_audits(order_N, typical, spots, settings=settings, rng=rng)
    rows, tops = ranking_rows.told(asked, image_ids, x_NR, layer, doubts, spots, seen)
    golden, more = ranking_rows.told(ranking_rows.golden(spots), image_ids, x_NR, layer, doubts, spots, seen)
    predicted = predicting.predict(image_ids, layer, found.likeliest, found.out_N, found.bad_N, seen)
    return Ranking(
        ranking_rows.mixed(rows, golden), _counts(seen, spots) | found.figures, found.calibrated, False,
        len(spots.open_N), layer.class_directions(), tops | more, predicted,
    )  # fmt: skip


def taught(
    prepared: last_layer.Prepared, seen: Snapshot, spots: Spots, *, rng: np.random.Generator
) -> tuple[last_layer.LastLayer, dict[str, Any], bool]:
    """The last layer fitted on every label and tempered on the holdout, what that says of it, whether it is calibrated."""
    return ranking_holdout.measure(_fit(prepared, seen, spots, rng), prepared.x_NR, spots)


def most_drawn(draws: int, classes: int) -> int:
    """How many images get posterior draws."""
    return int(np.clip(DRAWN_VALUES // max(1, draws * classes), FEWEST_DRAWN, MOST_DRAWN))


def _counts(seen: Snapshot, spots: Spots) -> dict[str, Any]:
    return {
        "labels": len(seen.labelled),
        "classes": seen.classes_seen,
        "rejected": len(seen.rejected),
        "n": len(spots.held_N),
    }


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


def is_typical(found: Fitted, settings: Settings) -> bool:
    """Whether the head is chosen for being typical."""
    few = len(found.spots.labelled_N) < automatic.COLD_LABELS_PER_CLASS * len(found.seen.class_ids)
    return settings.strategy == "typical" or (settings.strategy == "auto" and few)


def _order(
    found: Fitted, doubts: Doubts, *, typical: bool, most: int, settings: Settings, rng: np.random.Generator
) -> Ints:
    """Rows of the open images, best first; the doubts about those that were drawn are kept.

    Behind the head small margins come first, what is likely to be rejected later, and what is probably a bad picture last.
    """
    spots, x_NR = found.spots, doubts.x_NR
    classes = len(found.seen.class_ids)
    open_N, last_N = _fine(spots.open_N, found.bad_N)
    margin_N = found.likeliest.margin_M[open_N]
    near_N = open_N[_smallest(margin_N, most)]
    draws_NSK = doubts.draw(x_NR[near_N])
    alone = settings.strategy in acquisition.NEEDS_NOTHING and (typical or settings.strategy != "auto")
    among_N = open_N if alone else near_N  # who needs no posterior chooses among all
    wanted = settings.queue_length if settings.strategy == "random" else HEAD
    context = acquisition.situation(
        x_NR,
        labelled=spots.labelled_N,
        labels=spots.labels_N,
        rejected=spots.rejected_N,
        candidates=among_N,
        num_classes=classes,
        rng=rng,
        rank_by=found.rank_by,
        out_N=found.out_N,
    )
    head_N = among_N[
        acquisition.select(
            settings.strategy,
            log_probs_NSK=None if alone else draws_NSK,
            embeddings_ND=x_NR[among_N],
            labelled_ND=x_NR[spots.labelled_N],
            count=min(wanted, len(among_N)),
            rng=rng,
            context=context,
        )
    ]
    waits_N = automatic.waits(found.out_N[among_N], len(spots.rejected_N) - len(spots.bad_N))
    waits_N = waits_N[np.searchsorted(among_N, near_N)] if alone else waits_N
    unsure = uncertainty.decompose(draws_NSK, with_mean=False)
    doubts.keep(near_N, unsure)
    rest_N = near_N[np.lexsort((unsure.margin_N, waits_N))]
    rest_N = rest_N[~np.isin(rest_N, head_N)]
    return _with_leased(np.concatenate([head_N, rest_N, last_N])[: settings.queue_length], spots)


def _smallest(cost_N: Floats, most: int) -> Ints:
    """Positions of the `most` smallest, ascending."""
    near_N = np.argpartition(cost_N, most - 1)[:most] if 0 < most < len(cost_N) else np.arange(len(cost_N))
    return np.asarray(near_N[np.lexsort((near_N, cost_N[near_N]))])


def _kept(before: list[int], image_ids: Ints, spots: Spots) -> Ints:
    rows = np.searchsorted(image_ids, np.array(before, np.int64))
    return _with_leased(rows[np.isin(rows, spots.open_N)], spots)


def _with_leased(order_N: Ints, spots: Spots) -> Ints:
    """The order, and behind it what people are looking at."""
    return np.concatenate([order_N, np.setdiff1d(spots.leased_N, order_N)])


def _with_audits(
    order_N: Ints, typical: bool, spots: Spots, *, settings: Settings, rng: np.random.Generator
) -> list[Asked]:
    """The order of rows with random audits in between."""
    at_N = np.searchsorted(spots.open_N, order_N)
    held_N = np.searchsorted(spots.open_N, spots.leased_N)
    mixed, chances = auditing.mix(at_N, len(spots.open_N), rate=settings.audit_rate, held=held_N, rng=rng)
    head = set(at_N[:HEAD].tolist())
    return [
        Asked(
            int(spots.open_N[at]),
            "audit" if at in chances else "typical" if typical and at in head else "uncertain",
            chances.get(at),
        )
        for at in mixed
    ]


def _cold(
    image_ids: Ints, x_NR: Floats, bad_N: Floats, spots: Spots, *, settings: Settings, rng: np.random.Generator
) -> list[QueueRow]:
    """Before labels of two classes: by the strategy if it needs no posterior, else typical images; nothing suggested."""
    order_N, last_N = _fine(spots.open_N, bad_N)
    if len(order_N):
        order_N = order_N[
            acquisition.select(
                settings.strategy if settings.strategy in acquisition.NEEDS_NOTHING else "typical",
                log_probs_NSK=None,
                embeddings_ND=x_NR[order_N],
                # what was rejected was asked too; who else will be is not guessed: beside one class all new looks so
                labelled_ND=x_NR[np.concatenate([spots.labelled_N, spots.rejected_N])],
                count=settings.queue_length,
                rng=rng,
                context=None,
            )
        ]
    order_N = np.concatenate([order_N, last_N])[: settings.queue_length]
    return [
        QueueRow(
            position=position,
            image_id=int(image_ids[each.row]),
            reason="audit" if each.reason == "audit" else "typical",
            propensity=each.propensity,
        )
        for position, each in enumerate(_with_audits(order_N, True, spots, settings=settings, rng=rng))
    ]
