"""The order of the classes and which stands under which: positions count among the classes of one parent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import errors, records, schema

_T = schema.classes
STEP = 1024  # between two positions, so that a class can be put between others without moving them

Values = dict[int, dict[str, Any]]


def ordered(classes: Sequence[records.LabelClass]) -> list[records.LabelClass]:
    """Put each class ahead of those under it; `classes` come by position. One whose parent is missing counts as having none."""
    known, under = {each.id for each in classes}, dict[int | None, list[records.LabelClass]]()
    for each in classes:
        under.setdefault(each.parent_id if each.parent_id in known else None, []).append(each)
    found: list[records.LabelClass] = []
    waiting = under.get(None, [])[::-1]
    while waiting:
        found.append(waiting.pop())
        waiting += under.get(found[-1].id, [])[::-1]
    return found


def check_parent(tx: Connection, class_id: int | None, parent_id: int | None) -> None:
    """Raise errors.BadParent where a class (None: a new one) cannot stand under that one."""
    if parent_id is None:
        return
    parents, names = _parents(tx)
    if parent_id not in parents:
        raise errors.BadParent(f"class {parent_id} is not in use: choose another parent")
    if class_id is not None and class_id in _above(parents, parent_id):
        own = "itself" if parent_id == class_id else f"{names[parent_id]!r}, which stands under it"
        raise errors.BadParent(f"{names[class_id]!r} cannot stand under {own}")


def check_all(tx: Connection) -> None:
    """Raise errors.BadParent where an active class stands under itself or under one that is gone."""
    parents, names = _parents(tx)
    for class_id, parent_id in parents.items():
        if parent_id is not None and parent_id not in parents:
            raise errors.BadParent(f"{names[class_id]!r} would stand under a class that is gone: move it first")
        if parent_id is not None and class_id in _above(parents, parent_id):
            raise errors.BadParent(f"{names[class_id]!r} would stand under itself: move it first")


def above_and_below(tx: Connection, class_id: int) -> tuple[list[int], list[int]]:
    """List the active classes above a class, the nearest first, and all below it."""
    parents, _ = _parents(tx)
    start = parents.get(class_id)
    above = [] if start is None else _above(parents, start)
    return above, [
        each for each, parent in parents.items() if parent is not None and class_id in _above(parents, parent)
    ]


def moved_up(tx: Connection, class_id: int, parent_id: int | None) -> Values:
    """Give the classes right under one another parent, as changed values."""
    rows = tx.scalars(sa.select(_T.c.id).where(_T.c.parent_id == class_id, _T.c.status == "active"))
    return {each: {"parent_id": parent_id} for each in rows}


def placed(tx: Connection, class_id: int, parent_id: int | None, before: int | None) -> Values:
    """Tell what changes where a class is put ahead of `before` (None: last) among those under `parent_id`."""
    under = _T.c.parent_id.is_(None) if parent_id is None else _T.c.parent_id == parent_id
    query = sa.select(_T.c.id, _T.c.position).where(_T.c.status == "active", under, _T.c.id != class_id)
    rows = [(row.id, row.position) for row in tx.execute(query.order_by(_T.c.position, _T.c.id))]
    ids = [each for each, _ in rows]
    if before is not None and before not in ids:
        raise errors.BadParent("the class that it was to stand ahead of has moved meanwhile: look at the order again")
    at = len(ids) if before is None else ids.index(before)
    low = rows[at - 1][1] if at else None
    high = rows[at][1] if at < len(rows) else None
    free = _between(low, high)
    if free is not None:
        return {class_id: {"parent_id": parent_id, "position": free}}
    ids.insert(at, class_id)
    anew: Values = {each: {"position": STEP * (place + 1)} for place, each in enumerate(ids)}
    anew[class_id]["parent_id"] = parent_id
    return anew


def _between(low: int | None, high: int | None) -> int | None:
    """A free position, None where there is no room."""
    if low is None or high is None:
        return 0 if low is None and high is None else high - STEP if low is None else low + STEP  # type: ignore[operator]
    return (low + high) // 2 if high - low > 1 else None


def _parents(tx: Connection) -> tuple[dict[int, int | None], dict[int, str]]:
    rows = tx.execute(sa.select(_T.c.id, _T.c.parent_id, _T.c.name).where(_T.c.status == "active")).all()
    return {row.id: row.parent_id for row in rows}, {row.id: row.name for row in rows}


def _above(parents: dict[int, int | None], class_id: int) -> list[int]:
    """A class and those above it, the nearest first; ends where it comes round."""
    chain, at = list[int](), class_id if class_id in parents else None
    while at is not None and at in parents and at not in chain:
        chain.append(at)
        at = parents[at]
    return chain
