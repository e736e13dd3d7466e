"""Puts images that belong together into one group, and draws the holdout by group, batch after batch."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from app import ingest_read, ingest_similar
from store import records

HOLDOUT_SHARE = 0.2
HOLDOUT_MOST = 400
RECALLED_AT_ONCE = 10_000


@dataclass(frozen=True)
class Place:
    """Where a new image goes; holdout 0 no, 1 calibration half, 2 test half."""

    group_id: int
    holdout: int


@dataclass
class Grouping:
    """The groups of one database while ingest runs.

    A group never has two sides: a later image takes its group's. An image that belongs to groups on both sides (it lies
    between pictures that were no neighbours without it) goes to the pool and is counted in `straddling`.
    """

    index: ingest_similar.Index
    rng: np.random.Generator
    straddling: int = 0
    groups: list[int] = field(default_factory=list)  # by number in the index
    sides: dict[int, int] = field(default_factory=dict)
    held: list[int] = field(default_factory=lambda: [0, 0, 0])  # images by side
    _newest: int = 0

    def recall(self, images: Iterable[records.Image]) -> None:
        """Take in the images that are stored already, some thousand at a time."""
        without, stored = [], iter(images)
        while some := list(itertools.islice(stored, RECALLED_AT_ONCE)):
            self.index.add([ingest_similar.Seen(each.path, each.digest, each.phash, each.taken_at) for each in some])
            for image in some:
                if image.group_id is None:
                    without.append((len(self.groups), image.holdout))
                self._newest = max(self._newest, image.group_id or 0)
                self._enter(image.group_id or 0, image.holdout)
        for number, side in without:
            self.groups[number] = self._new_group()
            self.sides[self.groups[number]] = side

    def place(self, readings: Sequence[ingest_read.Reading], *, to_come: int) -> list[Place]:
        """Groups and sides of new images, which count as stored from now on; about `to_come` more will follow."""
        first = len(self.groups)
        links = self.index.add(
            [ingest_similar.Seen(r.found.name, r.digest, r.phash, r.taken_at, r.signature) for r in readings]
        )
        places: dict[int, Place] = {}
        strangers: list[list[int]] = []
        for members in together(links, first):
            known = sorted({self.groups[number] for row in members for number in links[row] if number < first})
            if known:
                group = min(known, key=lambda group: (self.sides[group], group))
                self.straddling += len({self.sides[group] for group in known}) > 1
                places.update((row, Place(group, self.sides[group])) for row in members)
            else:
                strangers.append(members)
        joined = [0, 0, 0]
        for place in places.values():
            joined[place.holdout] += 1
        places.update(self._draw(strangers, joined, to_come))
        for row in range(len(readings)):
            self._enter(places[row].group_id, places[row].holdout)
        return [places[row] for row in range(len(readings))]

    def _draw(self, strangers: list[list[int]], joined: list[int], to_come: int) -> dict[int, Place]:
        """New groups and their sides: so many of this batch that in the end the holdout has its size.

        Groups come in random order and one that does not fit any more stays in the pool, so that drawing
        never takes the holdout over its share of what is stored; the emptier half gets the next group.
        """
        held = [count + more for count, more in zip(self.held, joined, strict=True)]
        batch = sum(map(len, strangers))
        stored = sum(held) + batch
        wanted = min(HOLDOUT_SHARE * (stored + to_come), HOLDOUT_MOST) - held[1] - held[2]
        share = round(wanted * batch / max(batch + to_come, 1))
        room = min(share, int(HOLDOUT_SHARE * stored) - held[1] - held[2])
        places: dict[int, Place] = {}
        for turn in self.rng.permutation(len(strangers)):
            members = strangers[turn]
            side = 0
            if len(members) <= room:
                side = 1 if held[1] < held[2] or (held[1] == held[2] and self.rng.random() < 0.5) else 2
                room -= len(members)
                held[side] += len(members)
            group = self._new_group()
            self.sides[group] = side
            places.update((row, Place(group, side)) for row in members)
        return places

    def _enter(self, group: int, side: int) -> None:
        self.groups.append(group)
        self.sides.setdefault(group, side)
        self.held[side] += 1

    def _new_group(self) -> int:
        self._newest += 1
        return self._newest


def together(links: list[list[int]], first: int) -> list[list[int]]:
    """Rows of a batch that are linked, directly, by each other or by one stored image; row r is number first + r."""
    parent = list(range(len(links)))

    def top(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    via: dict[int, int] = {}
    for row, numbers in enumerate(links):
        for number in numbers:
            other = number - first if number >= first else via.setdefault(number, row)
            parent[top(row)] = top(other)
    parts: dict[int, list[int]] = {}
    for row in range(len(links)):
        parts.setdefault(top(row), []).append(row)
    return list(parts.values())
