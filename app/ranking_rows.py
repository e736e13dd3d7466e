"""Rows of the queue: what the model says of each image that is asked, and the labelled images it looks like."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.ranking_spots import Spots
from app.snapshot import Snapshot
from model import last_layer, neighbours, uncertainty
from store import gold
from store.records import QueueRow

Ints = NDArray[np.int64]
Floats = NDArray[np.floating]
SUGGESTED = 9
COMPARED = 3  # top classes that get neighbours, and neighbours for each


class Asked(NamedTuple):
    """A row of the pool that is asked: why, and an audit's propensity."""

    row: int
    reason: str
    propensity: float | None


def told(
    asked: Sequence[Asked],
    image_ids: Ints,
    x_NR: Floats,
    layer: last_layer.LastLayer,
    draw: Callable[[Floats], Floats],
    spots: Spots,
    seen: Snapshot,
) -> tuple[list[QueueRow], dict[int, list[int]]]:
    """Rows in the order of `asked` -> (rows, likely class indices of each image, best first)."""
    if not asked:
        return [], {}
    rows_M = np.array([each.row for each in asked], np.int64)
    mean_MK, unsure = layer.log_probs_at(x_NR[rows_M]), uncertainty.decompose(draw(x_NR[rows_M]), with_mean=False)
    top_MJ = np.argsort(-mean_MK, axis=1, kind="stable")[:, :SUGGESTED]
    compared = _compared(x_NR, spots, rows_M, top_MJ[:, :COMPARED])
    rows = [
        QueueRow(
            position=at,
            image_id=int(image_ids[each.row]),
            reason=each.reason,
            total=float(unsure.total_N[at]),
            aleatoric=float(unsure.aleatoric_N[at]),
            epistemic=float(unsure.epistemic_N[at]),
            margin=float(unsure.margin_N[at]),
            propensity=each.propensity,
            suggestions=[(seen.class_ids[k], round(float(np.exp(mean_MK[at, k])), 4)) for k in top_MJ[at]],
            neighbours=[(seen.class_ids[k], ids) for k, ids in compared[at] if ids],
        )
        for at, each in enumerate(asked)
    ]
    return rows, {row.image_id: top_J.tolist() for row, top_J in zip(rows, top_MJ, strict=True)}


def golden(spots: Spots) -> list[Asked]:
    """The gold images, told as any other."""
    return [Asked(int(row), gold.GOLD, None) for row in spots.gold_N]


def mixed(rows: list[QueueRow], golden: list[QueueRow]) -> list[QueueRow]:
    """Both, the second spread over the first, numbered anew; nobody is asked those in passing, only by lot."""
    if not golden:
        return rows
    step = max(1, len(rows) // len(golden))
    out = [each for at, row in enumerate(rows) for each in [row, *(golden[at // step :][:1] if at % step == 0 else [])]]
    out += golden[len(out) - len(rows) :]
    return [dataclasses.replace(row, position=position) for position, row in enumerate(out)]


def _compared(x_NR: Floats, spots: Spots, rows_M: Ints, classes_MJ: Ints) -> list[list[tuple[int, list[int]]]]:
    """For each of `rows_M` and its likely classes, the ids of the nearest labelled images, in the last layer's space."""
    found = neighbours.nearest_per_class(
        x_NR[rows_M], x_NR[spots.labelled_N], spots.labels_N, classes_MJ.tolist(), per_class=COMPARED
    )
    return [[(k, [spots.labelled[position] for position in positions]) for k, positions in each] for each in found]
