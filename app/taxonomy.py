"""What the classes are: the list that may be said, and adding to it while people label."""

from typing import Any

from app import errors
from store import classes
from store import errors as store_errors
from store.database import Database


def add(db: Database, name: str, *, now: float) -> dict[str, Any]:
    """Add the class `name`; returns {"class_id", "name"}. Raises BadRequest when it is empty or already there."""
    try:
        with db.write(durable=True) as tx:
            added = classes.add(tx, name, now)
    except (store_errors.Unknown, store_errors.Refused) as problem:
        raise errors.BadRequest(str(problem)) from problem
    return {"class_id": added.id, "name": added.name}


def all_(db: Database) -> list[dict[str, Any]]:
    """Every active class in its order, as {"class_id", "name"}."""
    with db.read() as tx:
        return [{"class_id": each.id, "name": each.name} for each in classes.all_(tx)]
