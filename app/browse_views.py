"""From what a person asks to see to the rows that hold it, in order: filters are masks, an order is a list of row numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from app import browse_index, errors, pool_view
from store import browse

Rows = browse_index.Rows
Mask = browse_index.Mask

ORDERS = ("newest", "oldest", "name", "sure", "unsure", "odd", "bad")
STATES = ("all", "open", "labelled", "rejected", "skipped", "flagged", "quarantined", "holdout")
NEEDS_MODEL = ("sure", "unsure", "odd", "bad")
MAP_SIDE = 1000  # a lasso's coordinates run from 0 to this, on both axes
_STEPS = np.uint16(65535)  # of a probability in an order: what differs by less keeps its place
_DRAWN = 1024  # cells of the lasso's mask a side


@dataclasses.dataclass(frozen=True)
class Query:
    """What is asked for. Classes and people are ids; `near` rows come nearest first; `lasso` x and y in turn, on the map."""

    state: str = "all"
    said: int | None = None
    suggested: int | None = None
    low: float = 0.0
    high: float = 1.0
    person: int | None = None
    round_id: int | None = None
    text: str = ""
    order: str = "newest"
    like: int | None = None
    lasso: tuple[int, ...] = ()
    viewer: int | None = None

    @property
    def filters_model(self) -> bool:
        """Whether only some of what the model says is wanted."""
        return self.suggested is not None or self.low > 0 or self.high < 1

    @property
    def asks_model(self) -> bool:
        """Whether any of it is about what the model says."""
        return self.filters_model or self.order in NEEDS_MODEL


class Model:
    """What the view `of` a publication says of every row of the index; class -1 where it says nothing."""

    def __init__(self, of: pool_view.View, index: browse_index.Index) -> None:
        self.of, self.publication, self.size, found = of, of.publication, len(index), of
        rows, known = index.rows_of(found.image_ids_N)
        rows = rows[known]
        self.top_N = np.full(self.size, -1, np.int32)
        self.confidence_N = np.zeros(self.size, np.float32)
        self.odd_N = np.zeros(self.size, np.float32)
        self.bad_N = np.zeros(self.size, np.float32)
        self.top_N[rows] = found.top_class_N[known]
        self.confidence_N[rows] = found.confidence_N[known]
        self.odd_N[rows] = found.out_of_class_N[known]
        if found.bad_image_N is not None:
            self.bad_N[rows] = found.bad_image_N[known]
        self._orders: dict[str, Rows] = {}

    def order(self, name: str) -> Rows:
        """All rows in this order, found once."""
        if name not in self._orders:
            values = {"odd": self.odd_N, "bad": self.bad_N}.get(name, self.confidence_N)
            steps_N = np.round(values * _STEPS).astype(np.uint16)  # sorted by their digits: eight times as fast
            order = np.argsort(steps_N if name == "unsure" else _STEPS - steps_N, kind="stable")
            self._orders[name] = order.astype(np.int32)
        return self._orders[name]


def find(
    query: Query,
    index: browse_index.Index,
    model: Model | None,
    merged: dict[int, int],
    near: Rows | None = None,
    drawn: tuple[Rows, NDArray[np.uint16]] | None = None,
) -> Rows:
    """Row numbers in their order. `merged` maps every class to the one that stands for it; `near` are the only rows
    that are wanted, in their order (the nearest, or by name); `drawn` the rows of the map and their places (0..65535)."""
    _check(query, model)
    keep_N = _state(query.state, index.marks_N)
    if query.said is not None or query.person is not None or query.round_id is not None:
        keep_N &= ~index.hidden_from(query.viewer)
    if query.said is not None:
        keep_N &= (index.marks_N & browse.LABELLED) > 0
        keep_N &= _among(index.class_N, [each for each, now in merged.items() if now == query.said])
    if query.person is not None:
        keep_N &= index.said_by(query.person)
    if query.round_id is not None:
        keep_N &= index.round_N == query.round_id
    if query.text.strip():
        keep_N &= index.names.holding(query.text.strip())
    if query.filters_model and model is not None:
        keep_N &= _suggested(index, model)
        if query.suggested is not None:
            keep_N &= _among(model.top_N, [each for each, now in merged.items() if now == query.suggested])
        if query.low > 0 or query.high < 1:
            keep_N &= (model.confidence_N >= query.low) & (model.confidence_N <= query.high)
    if query.lasso:
        keep_N &= _inside(query.lasso, len(index), drawn)
    if query.like is not None:
        keep_N &= ~index.measuring()
    return _ordered(query, keep_N, index, model, near)


def _check(query: Query, model: Model | None) -> None:
    if query.state not in STATES:
        raise errors.BadRequest(f"state must be one of {', '.join(STATES)}, not {query.state!r}")
    if query.order not in ORDERS:
        raise errors.BadRequest(f"order must be one of {', '.join(ORDERS)}, not {query.order!r}")
    if not 0 <= query.low <= query.high <= 1:
        raise errors.BadRequest(f"the probabilities must be 0 <= low <= high <= 1, not {query.low} and {query.high}")
    if query.asks_model and model is None:
        raise errors.BadRequest("no model yet: label a few images of two classes, then its suggestions can be browsed")


def _state(name: str, marks_N: NDArray[np.uint8]) -> Mask:
    usable_N: Mask = (marks_N & browse.QUARANTINED) == 0
    if name == "quarantined":
        return ~usable_N
    bits = {
        "labelled": browse.LABELLED,
        "rejected": browse.REJECTED,
        "flagged": browse.FLAGGED,
        "holdout": browse.HOLDOUT,
    }
    if name in bits:
        return np.logical_and(usable_N, (marks_N & bits[name]) > 0)
    if name == "all":
        return usable_N
    open_N: Mask = usable_N & ((marks_N & browse.SETTLED) == 0)
    return np.logical_and(open_N, (marks_N & browse.SKIPPED) > 0) if name == "skipped" else open_N


def states(index: browse_index.Index) -> dict[str, int]:
    """How many images each state holds."""
    tally = np.bincount(index.marks_N, minlength=256)
    every = np.arange(256, dtype=np.uint8)
    return {name: int(tally[_state(name, every)].sum()) for name in STATES}


def _among(values_N: NDArray[np.int32], wanted: Sequence[int]) -> Mask:
    found_N = np.zeros(len(values_N), np.bool_)
    for value in wanted:
        found_N |= values_N == value
    return found_N


def _inside(lasso: tuple[int, ...], size: int, drawn: tuple[Rows, NDArray[np.uint16]] | None) -> Mask:
    if drawn is None:
        raise errors.BadRequest("there is no map yet: open it first, then draw around its points")
    rows, places_M2 = drawn
    scale = _DRAWN / MAP_SIDE
    mask = Image.new("1", (_DRAWN, _DRAWN))
    corners = [(lasso[at] * scale, lasso[at + 1] * scale) for at in range(0, len(lasso), 2)]
    ImageDraw.Draw(mask).polygon(corners, fill=1, outline=1)
    cells = places_M2 // np.uint16(65536 // _DRAWN)
    found_N = np.zeros(size, np.bool_)
    found_N[rows] = np.asarray(mask)[cells[:, 1], cells[:, 0]]
    return found_N


def _ordered(query: Query, keep_N: Mask, index: browse_index.Index, model: Model | None, near: Rows | None) -> Rows:
    if near is not None:
        order = np.asarray(near, np.int32)
        return order[keep_N[order]]
    rows = np.flatnonzero(keep_N).astype(np.int32)
    if query.order not in NEEDS_MODEL or model is None:
        return rows if query.order == "oldest" else rows[::-1]
    told_N, order = _suggested(index, model), model.order(query.order)
    quiet = rows[~told_N[rows]][::-1]  # last, in an order that the model has no part in
    return np.concatenate([order[(keep_N & told_N)[order]], quiet])


def _suggested(index: browse_index.Index, model: Model) -> Mask:
    """Rows about which the model says something to everybody."""
    return ~index.unsuggested() & (model.top_N >= 0)
