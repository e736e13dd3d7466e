"""A study's terms: which of a person's images come with suggestion and with map, in blocks whose order is drawn by lot.

A person's images in a study have places 0, 1, 2, ...; a block is so many places in a row under one condition, and each
group of blocks holds every condition once, in an order drawn from study, person and group. Where an image stands is
written into its lease's reason and from there into the answer's queue_reason: it outlives reloads, undo and export, and
no estimate takes it for one of its own. What was agreed on is kept in the database's settings, study by study.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from store import gold, queue, settings, studied
from store.records import Lease

KEY = "studies"
ASKED = ("uncertain", "typical", gold.GOLD)  # what is asked blind or in passing is no part of a study


class Condition(NamedTuple):
    """What a person is shown beside the image."""

    suggestion: bool
    map: bool


@dataclasses.dataclass(frozen=True)
class Study:
    """`images` in a block, which of `suggestion` and `map` are hidden in half of the blocks, the share of `gold` images."""

    number: int
    begun_at: float
    watermark: int  # the newest label event when it began
    images: int
    suggestion: bool
    map: bool
    gold: float
    ended_at: float | None = None

    @property
    def conditions(self) -> list[Condition]:
        """Two or four; what is not studied is always shown."""
        shown = [[True, False] if varied else [True] for varied in (self.suggestion, self.map)]
        return [Condition(suggestion, map_) for suggestion in shown[0] for map_ in shown[1]]

    def at(self, annotator_id: int, place: int) -> tuple[int, Condition]:
        """(group of blocks, condition) of one place of a person's order."""
        order = self.conditions
        group, block = divmod(place // self.images, len(order))
        random.Random(f"{self.number}/{self.begun_at}/{annotator_id}/{group}").shuffle(order)
        return group, order[block]


def all_(tx: Connection) -> list[Study]:
    """Every study, oldest first."""
    return [Study(**each) for each in settings.get_setting(tx, KEY, [])]


def running(tx: Connection) -> Study | None:
    """The study that goes on now."""
    studies = all_(tx)
    return studies[-1] if studies and studies[-1].ended_at is None else None


def keep(tx: Connection, studies: Sequence[Study]) -> None:
    """Write them all."""
    settings.set_setting(tx, KEY, [dataclasses.asdict(each) for each in studies])


def gold_rate(tx: Connection, rate: float) -> float:
    """The share of gold images: the setting's, or the running study's where that is more."""
    study = running(tx)
    return max(rate, study.gold) if study else rate


def assign(tx: Connection, leases: Sequence[Lease], now: float) -> list[Lease]:
    """Give the leases that were made just now their places in the running study, as far as they have what it shows.

    Places follow the order in which a reload lists the leases, so that blocks stay whole; they are returned in it."""
    study, current = running(tx), queue.current(tx)
    fresh = [lease for lease in leases if lease.leased_at == now and not lease.blind and lease.reason in ASKED]
    if study is None or current is None or not fresh:
        return list(leases)
    rows = queue.rows_for(tx, current.id, [lease.image_id for lease in fresh])
    place = studied.next_place(tx, study.number, fresh[0].annotator_id, after=study.watermark)
    given = {}
    for lease in sorted(fresh, key=_order):
        row = rows.get(lease.image_id)
        if row and row.suggestions and (row.overlays or not study.map):
            given[lease.token] = dataclasses.replace(lease, reason=studied.reason(study.number, place))
            studied.ask(tx, lease.token, given[lease.token].reason)
            place += 1
    found = [given.get(lease.token, lease) for lease in leases]
    return sorted(found, key=lambda lease: (lease.leased_at, *_order(lease)))


def terms(tx: Connection, leases: Sequence[Lease]) -> dict[str, Condition]:
    """The conditions of those of the leases that a study asks, by token and image."""
    found = {_key(lease): place for lease in leases if (place := studied.read_reason(lease.reason))}
    studies = {each.number: each for each in all_(tx)} if found else {}
    return {
        _key(lease): studies[place[0]].at(lease.annotator_id, place[1])[1]
        for lease in leases
        if (place := found.get(_key(lease))) and place[0] in studies
    }


def condition(conditions: dict[str, Condition], lease: Lease) -> Condition | None:
    """That of one lease among those of `terms`."""
    return conditions.get(_key(lease))


def _order(lease: Lease) -> tuple[bool, int, int]:
    return lease.position is None, lease.position or 0, lease.image_id


def _key(lease: Lease) -> str:
    return f"{lease.token}/{lease.image_id}"
