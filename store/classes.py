"""The classes table: what may be said. Ids are for ever; names may change, classes may be merged or retired."""

from __future__ import annotations

import hashlib
import unicodedata

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import errors, records, schema

LONGEST_NAME = 255
_CONTROLS = ("Cc", "Cs", "Zl", "Zp")
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # direction overrides and embeddings

_T = schema.classes
_COLUMNS = (_T.c.id, _T.c.name, _T.c.position, _T.c.status, _T.c.merged_into, _T.c.added_at)


def add(tx: Connection, name: str, now: float) -> records.LabelClass:
    """Add a class at the end; raises errors.BadName when no name, errors.NameTaken when an active one has the name."""
    name, key = _checked(tx, name)
    position = tx.scalar(sa.select(sa.func.coalesce(sa.func.max(_T.c.position) + 1, 0)))
    values = {"name": name, "key": key, "position": position, "status": "active", "added_at": now}
    return get(tx, tx.execute(sa.insert(_T).values(values).returning(_T.c.id)).scalar_one())


def get(tx: Connection, class_id: int) -> records.LabelClass:
    """Read one class, whatever its status; raises errors.UnknownClass."""
    row = tx.execute(sa.select(*_COLUMNS).where(_T.c.id == class_id)).mappings().one_or_none()
    if row is None:
        raise errors.UnknownClass(f"no class has id {class_id}")
    return _class(row)


def all_(tx: Connection) -> list[records.LabelClass]:
    """List the active classes by position."""
    query = sa.select(*_COLUMNS).where(_T.c.status == "active").order_by(_T.c.position, _T.c.id)
    return [_class(row) for row in tx.execute(query).mappings()]


def names(tx: Connection) -> dict[int, str]:
    """Map the active classes' ids to their names; a third of the time that all_() takes."""
    rows = tx.execute(sa.select(_T.c.id, _T.c.name).where(_T.c.status == "active"))
    return {class_id: name for class_id, name in rows}


def edition(tx: Connection) -> str:
    """Twelve hexadecimal digits that change with any change of the classes."""
    rows = tx.execute(sa.select(_T).order_by(_T.c.id)).all()
    return hashlib.sha256(repr(rows).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def ever(tx: Connection) -> list[records.LabelClass]:
    """List every class there ever was, by id."""
    return [_class(row) for row in tx.execute(sa.select(*_COLUMNS).order_by(_T.c.id)).mappings()]


def by_name(tx: Connection, name: str) -> records.LabelClass | None:
    """Find the active class of this name, whatever its case."""
    row = tx.execute(sa.select(*_COLUMNS).where(_T.c.key == _key(name))).mappings().one_or_none()
    return None if row is None else _class(row)


def rename(tx: Connection, class_id: int, name: str) -> records.LabelClass:
    """Give a class another name; its labels stay. Raises like add()."""
    get(tx, class_id)
    name, key = _checked(tx, name, besides=class_id)
    tx.execute(sa.update(_T).where(_T.c.id == class_id).values(name=name, key=key))
    return get(tx, class_id)


def retire(tx: Connection, class_id: int) -> None:
    """Take a class out of what may be said; what was said stays."""
    get(tx, class_id)
    tx.execute(sa.update(_T).where(_T.c.id == class_id, _T.c.status == "active").values(status="retired", key=None))


def merge(tx: Connection, src: int, dst: int) -> None:
    """Let `dst` take over `src` and all that was merged into it; events keep what was said.

    Raises errors.BadMerge when they are the same or `dst` is not active.
    """
    get(tx, src)
    if src == dst or get(tx, dst).status != "active":
        raise errors.BadMerge(f"class {src} cannot be merged into {dst}: choose another, active class")
    tx.execute(sa.update(_T).where(_T.c.merged_into == src).values(merged_into=dst))
    tx.execute(sa.update(_T).where(_T.c.id == src).values(status="merged", merged_into=dst, key=None))


def resolve(tx: Connection) -> dict[int, int]:
    """Map every class id to the one that stands for it now (itself unless merged)."""
    return {row.id: row.merged_into or row.id for row in tx.execute(sa.select(_T.c.id, _T.c.merged_into))}


def spelled(name: str) -> str:
    """The name with what no name may hold (line breaks, controls, direction overrides) written out, as in \\x1b."""
    return "".join(char.encode("unicode_escape").decode() if _is_control(char) else char for char in name)


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in _CONTROLS or char in _TURNS


def _checked(tx: Connection, name: str, *, besides: int | None = None) -> tuple[str, str]:
    name = unicodedata.normalize("NFC", name).strip()
    if not name:
        raise errors.BadName("a class needs a name")
    if len(name) > LONGEST_NAME or spelled(name) != name:
        raise errors.BadName(
            f"a class name has at most {LONGEST_NAME} characters, none of them a line break, a control or a direction "
            f"override, unlike {spelled(name)[:60]!r}: give it another name"
        )
    taken = by_name(tx, name)
    if taken is not None and taken.id != besides:
        raise errors.NameTaken(f"class {taken.id} is already called {taken.name!r}")
    return name, _key(name)


def _key(name: str) -> str:
    """Fold a name for comparison: Unicode form, space and case."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _class(row: sa.RowMapping) -> records.LabelClass:
    return records.LabelClass(**row)
