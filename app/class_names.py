"""The classes as they are called now, for what an older publication says: merged ones count for the class that took over."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from store import classes

COMPARED = 3  # nearest images shown of one class


@dataclass(frozen=True)
class Names:
    """`active` names what may be said; `stands_for` maps every class there ever was to the one that counts for it."""

    active: dict[int, str]
    stands_for: dict[int, int]

    def suggestions(self, rows: Iterable[tuple[int, float]]) -> list[dict[str, Any]]:
        """Suggested classes, the likeliest first; a merged one gives its probability to the class that took over."""
        shares: dict[int, float] = {}
        for class_id, probability in rows:
            final = self.stands_for.get(class_id, class_id)
            if final in self.active:
                shares[final] = shares.get(final, 0.0) + probability
        order = sorted(shares.items(), key=lambda each: -each[1])
        return [{"class_id": k, "name": self.active[k], "probability": round(p, 4)} for k, p in order]

    def neighbours(self, rows: Iterable[tuple[int, Sequence[int]]]) -> list[dict[str, Any]]:
        """The nearest labelled images by class, in the order given."""
        near: dict[int, list[int]] = {}
        for class_id, image_ids in rows:
            final = self.stands_for.get(class_id, class_id)
            if final in self.active:
                near.setdefault(final, []).extend(each for each in image_ids if each not in near.get(final, []))
        return [{"class_id": k, "name": self.active[k], "image_ids": ids[:COMPARED]} for k, ids in near.items()]

    def final(self, class_id: int | None) -> int | None:
        """The class that counts for one that was said."""
        return None if class_id is None else self.stands_for.get(class_id, class_id)


def now(tx: Connection) -> Names:
    """Read them."""
    return Names(classes.names(tx), classes.resolve(tx))


def late(tx: Connection, said: Iterable[int | None]) -> dict[str, str]:
    """{"note": a sentence} where an answer names a class that was retired or merged since it was shown, else nothing.

    Such an answer is stored as it was said: it counts for the class that took over, or once its class is restored."""
    for class_id in sorted({each for each in said if each is not None}):
        known = classes.get(tx, class_id)
        counts = known if known.merged_into is None else classes.get(tx, known.merged_into)
        merged = "" if counts is known else f"{known.name!r} was merged into {counts.name!r} meanwhile"
        if counts.status != "active":
            gone = f"{merged}, which is retired" if merged else f"{known.name!r} was retired meanwhile"
            return {
                "note": f"{gone}: your answer is kept and counts once {counts.name!r} is restored on the Classes tab"
            }
        if merged:
            return {"note": f"{merged}: your answer counts there"}
    return {}
