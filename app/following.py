"""How far suggestions steer people: agreement with the suggestion in sight against agreement with it hidden by lot."""

from collections.abc import Iterable
from typing import Any

from model import shares
from store import classes, following
from store.database import Database
from store.records_work import Following

FEWEST = 5  # hidden suggestions from which a difference is told
CLASSES = 8  # most that are told


def steering(db: Database) -> dict[str, Any]:
    """{"people": [row + "name"], "classes": [row + "name"], "all": row}; a row:

    {"shown", "hidden": [answers, of them the suggested class], "difference", "low", "high": of the two shares with its
    95 % interval, None under 5 hidden ones; "wrong": [shown suggestions that somebody else settled otherwise, of them
    said all the same]}. Which images come without a suggestion is drawn by lot, so the difference is what seeing it does.
    """
    with db.read() as tx:
        rows = following.counts(tx)
        names = {each.id: each.name for each in classes.ever(tx)}
    people = sorted({row.name for row in rows})
    by_class = {row.class_id for row in rows}
    told = [{"name": names[each], **_row(row for row in rows if row.class_id == each)} for each in by_class]
    told.sort(key=lambda each: (-each["wrong"][1], -each["shown"][0]))
    return {
        "people": [{"name": name, **_row(row for row in rows if row.name == name)} for name in people],
        "classes": told[:CLASSES],
        "all": _row(rows),
    }


def _row(rows: Iterable[Following]) -> dict[str, Any]:
    sums = {True: [0, 0, 0, 0], False: [0, 0, 0, 0]}
    for row in rows:
        sums[row.shown] = [a + b for a, b in zip(sums[row.shown], row[3:], strict=True)]
    shown, hidden = sums[True][:2], sums[False][:2]
    enough = shown[0] > 0 and hidden[0] >= FEWEST
    difference, low, high = shares.difference((shown[1], shown[0]), (hidden[1], hidden[0])) if enough else (None,) * 3
    told = {"difference": difference, "low": low, "high": high}
    return {"shown": shown, "hidden": hidden, **told, "wrong": sums[True][2:]}
