"""What other models said of images: predictions and soft labels that came with an import. Suggested, never trained on.

They lie in the settings table, so that they travel with the labels: CHUNK images in a row, written some rows at a time.
"""

from __future__ import annotations

import array
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import Connection

from store import settings
from store.database import Database

CHUNK = 500  # images, by id, in one row of the table
ROWS = 20  # rows of the table in one transaction
PREFIX = "imported-predictions:"
SOFT = "soft labels"  # the source of a soft label, where that of a prediction is its model
MOST_KEPT = 9  # classes of one image: the likeliest


class Imported(NamedTuple):
    """What one model says of one image, likeliest class first: (class id, probability) pairs."""

    number: int  # of the import it came with
    model: str
    shares: list[tuple[int, float]]

    @property
    def soft(self) -> bool:
        """A soft label: several people's word rather than a model's."""
        return self.model == SOFT


@dataclass
class Guesses:
    """What a file holds of it, some 30 bytes each; class codes are positions in the list of classes of the file."""

    images: array.array[int] = field(default_factory=lambda: array.array("q"))
    models: array.array[int] = field(default_factory=lambda: array.array("i"))
    ends: array.array[int] = field(default_factory=lambda: array.array("q"))
    codes: array.array[int] = field(default_factory=lambda: array.array("i"))
    probs: array.array[float] = field(default_factory=lambda: array.array("f"))
    names: dict[str, int] = field(default_factory=dict)  # of models

    def __len__(self) -> int:
        return len(self.images)

    def add(self, image_id: int, model: str, shares: Iterable[tuple[int, float]]) -> None:
        """Take one in."""
        best = sorted(shares, key=lambda each: -each[1])[:MOST_KEPT]
        self.images.append(image_id)
        self.models.append(self.names.setdefault(model, len(self.names)))
        self.codes.extend(code for code, _ in best)
        self.probs.extend(p for _, p in best)
        self.ends.append(len(self.codes))

    def each(self, class_ids: Sequence[int | None]) -> Iterator[tuple[int, str, list[tuple[int, float]]]]:
        """Image, model and shares by image id; a class that is not there yet has the id -1."""
        models = list(self.names)
        for at in sorted(range(len(self)), key=self.images.__getitem__):
            part = range(self.ends[at - 1] if at else 0, self.ends[at])
            shares = [(class_ids[self.codes[k]] or -1, round(self.probs[k], 6)) for k in part]
            yield self.images[at], models[self.models[at]], shares


def fresh(tx: Connection, guesses: Guesses, class_ids: Sequence[int | None]) -> int:
    """How many of them are not there yet."""
    count = 0
    for _, group in _chunks(guesses, class_ids):
        known = of(tx, {image_id for image_id, _, _ in group})
        count += sum((model, shares) not in [each[1:] for each in known.get(i, [])] for i, model, shares in group)
    return count


def keep(db: Database, number: int, guesses: Guesses, class_ids: Sequence[int | None]) -> None:
    """Store them as those of an import; of an image's soft labels, and of its predictions, the newest stands.

    Done in several transactions: cut short, the same file imported again stores the rest.
    """
    chunks = _chunks(guesses, class_ids)
    while some := list(itertools.islice(chunks, ROWS)):
        with db.write() as tx:
            for chunk, group in some:
                known = _read(tx, chunk)
                for image_id, model, shares in group:
                    new = Imported(number, model, shares)
                    old = known.get(image_id, [])
                    if (model, shares) not in [each[1:] for each in old]:
                        known[image_id] = [each for each in old if each.soft != new.soft] + [new]
                settings.set_setting(tx, f"{PREFIX}{chunk}", known)


def forget(db: Database, number: int) -> None:
    """Take those of an import away."""
    with db.read() as tx:
        chunks = [key.removeprefix(PREFIX) for key in settings.with_prefix(tx, PREFIX)]
    for some in (chunks[at : at + ROWS] for at in range(0, len(chunks), ROWS)):
        with db.write() as tx:
            for chunk in some:
                known = _read(tx, int(chunk))
                left = {i: [each for each in said if each.number != number] for i, said in known.items()}
                settings.set_setting(tx, f"{PREFIX}{chunk}", {i: said for i, said in left.items() if said})


def of(tx: Connection, image_ids: Iterable[int]) -> dict[int, list[Imported]]:
    """What is known of these images."""
    wanted = set(image_ids)
    found = (_read(tx, chunk) for chunk in {image_id // CHUNK for image_id in wanted})
    return {image_id: said for part in found for image_id, said in part.items() if image_id in wanted}


def all_(tx: Connection) -> dict[int, list[Imported]]:
    """What is known of every image."""
    return {
        int(image_id): [Imported(*each) for each in said]
        for part in settings.with_prefix(tx, PREFIX).values()
        for image_id, said in part.items()
    }


def _chunks(
    guesses: Guesses, class_ids: Sequence[int | None]
) -> Iterator[tuple[int, list[tuple[int, str, list[tuple[int, float]]]]]]:
    grouped = itertools.groupby(guesses.each(class_ids), key=lambda each: each[0] // CHUNK)
    return ((chunk, list(group)) for chunk, group in grouped)


def _read(tx: Connection, chunk: int) -> dict[int, list[Imported]]:
    told = settings.get_setting(tx, f"{PREFIX}{chunk}", {})
    return {
        int(image_id): [Imported(n, model, [(k, p) for k, p in shares]) for n, model, shares in said]
        for image_id, said in told.items()
    }
