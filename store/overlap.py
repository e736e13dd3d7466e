"""How many people are to answer an image: one, or several for a random share of the images, fixed by their draw rank."""

from __future__ import annotations

import json
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import schema

_T = schema.settings
DRAWS = 1 << 31  # draw ranks run from 0 to below this


class Overlap(NamedTuple):
    """`answers` different people answer a share `rate` of the images, one person the others."""

    answers: int = 1
    rate: float = 0.0

    def wanted(self, draw: int) -> int:
        """Say how many people are to answer the image of this draw rank."""
        return self.answers if draw < self.rate * DRAWS else 1

    @property
    def share(self) -> float:
        """The share of all wanted answers that are second ones or later: how often a claim looks for such an image."""
        more = self.rate * (self.answers - 1)
        return more / (1.0 + more)


def several(answers: int, rate: float) -> Overlap:
    """What a person asked for; with one answer for each image there is no share."""
    return Overlap(answers, rate) if answers > 1 else Overlap()


def read(tx: Connection) -> Overlap:
    """Read what counts now; one answer for every image until something else was set."""
    text = tx.scalar(sa.select(_T.c.value).where(_T.c.key == schema.OVERLAP))
    return Overlap() if text is None else Overlap(*json.loads(text))


def write(tx: Connection, overlap: Overlap) -> bool:
    """Keep what counts from now on; False when it counted already. The states are not folded anew here."""
    if read(tx) == overlap:
        return False
    text = json.dumps(list(overlap))
    if tx.execute(sa.update(_T).where(_T.c.key == schema.OVERLAP).values(value=text)).rowcount == 0:
        tx.execute(sa.insert(_T).values(key=schema.OVERLAP, value=text))
    return True
