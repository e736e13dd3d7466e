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


class Doubts:
    """How uncertain rows of the pool are by draws of the posterior; `columns`, (4, M), keeps those of the rows `known_M`."""

    def __init__(self, x_NR: Floats, draw: Callable[[Floats], Floats]) -> None:
        self.x_NR, self.draw = x_NR, draw
        self.known_M, self.columns = np.empty(0, np.int64), np.empty((4, 0))

    def keep(self, rows_M: Ints, found: uncertainty.Uncertainty) -> None:
        """They were drawn already."""
        order_M = np.argsort(rows_M)
        self.known_M, self.columns = rows_M[order_M], _columns(found)[:, order_M]

    def of(self, rows_M: Ints) -> NDArray[np.float64]:
        """Total, aleatoric, epistemic and margin of each, (4, M)."""
        at_M = np.searchsorted(self.known_M, rows_M)
        known_M = np.isin(rows_M, self.known_M)
        out = np.empty((4, len(rows_M)))
        out[:, known_M] = self.columns[:, at_M[known_M]]
        if not known_M.all():
            drawn = self.draw(self.x_NR[rows_M[~known_M]])
            out[:, ~known_M] = _columns(uncertainty.decompose(drawn, with_mean=False))
        return out


def _columns(found: uncertainty.Uncertainty) -> NDArray[np.float64]:
    return np.stack([found.total_N, found.aleatoric_N, found.epistemic_N, found.margin_N])


def told(
    asked: Sequence[Asked],
    image_ids: Ints,
    x_NR: Floats,
    layer: last_layer.LastLayer,
    doubts: Doubts,
    spots: Spots,
    seen: Snapshot,
) -> tuple[list[QueueRow], dict[int, list[int]]]:
    """Rows in the order of `asked` -> (rows, likely class indices of each image, best first)."""
    if not asked:
        return [], {}
    rows_M = np.array([each.row for each in asked], np.int64)
    mean_MK, (total_M, aleatoric_M, epistemic_M, margin_M) = layer.log_probs_at(x_NR[rows_M]), doubts.of(rows_M)
    top_MJ = np.argsort(-mean_MK, axis=1, kind="stable")[:, :SUGGESTED]
    ids, likely = np.array(seen.class_ids)[top_MJ].tolist(), np.exp(np.take_along_axis(mean_MK, top_MJ, axis=1))
    chances = np.round(likely.astype(np.float64), 4).tolist()
    compared = _compared(x_NR, spots, rows_M, top_MJ[:, :COMPARED])
    rows = [
        QueueRow(
            position=at,
            image_id=int(image_ids[each.row]),
            reason=each.reason,
            total=float(total_M[at]),
            aleatoric=float(aleatoric_M[at]),
            epistemic=float(epistemic_M[at]),
            margin=float(margin_M[at]),
            propensity=each.propensity,
            suggestions=list(zip(ids[at], chances[at], strict=True)),
            neighbours=[(seen.class_ids[k], near) for k, near in compared[at] if near],
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
