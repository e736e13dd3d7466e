"""The classes table: what may be said. Ids are for ever; names may change, classes may be merged or retired."""

from __future__ import annotations

import unicodedata

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import class_acts, class_order, errors, records, schema

LONGEST_NAME = 255
LONGEST_NOTE = 4000
MOST_IMAGES = 24  # reference images of one class
SHORTCUTS = "123456789abcdefghijklmnopqrstuvwxyz"
_CONTROLS = ("Cc", "Cs", "Zl", "Zp")
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # direction overrides and embeddings

_T = schema.classes
_COLUMNS = tuple(column for column in _T.c if column.name != "key")


def add(tx: Connection, name: str, now: float, *, by: str = "", parent_id: int | None = None) -> records.LabelClass:
    """Add a class at the end; raises errors.BadName when no name, errors.NameTaken when an active one has the name."""
    name, key = _checked(tx, name)
    class_order.check_parent(tx, None, parent_id)
    position = tx.scalar(sa.select(sa.func.coalesce(sa.func.max(_T.c.position) + 1, 0)))
    values = {"name": name, "key": key, "position": position, "status": "active", "parent_id": parent_id, "note": ""}
    class_id = tx.execute(sa.insert(_T).returning(_T.c.id), {**values, "added_at": now}).scalar_one()
    class_acts.added(tx, class_id, values, now=now, by=by)
    return records.LabelClass(
        id=class_id,
        name=name,
        position=position or 0,
        status="active",
        merged_into=None,
        added_at=now,
        parent_id=parent_id,
    )


def get(tx: Connection, class_id: int) -> records.LabelClass:
    """Read one class, whatever its status; raises errors.UnknownClass."""
    row = tx.execute(sa.select(*_COLUMNS).where(_T.c.id == class_id)).mappings().one_or_none()
    if row is None:
        raise errors.UnknownClass(f"no class has id {class_id}")
    return _class(row)


def all_(tx: Connection) -> list[records.LabelClass]:
    """List the active classes in their order: each ahead of those under it, by position among those of one parent."""
    query = sa.select(*_COLUMNS).where(_T.c.status == "active").order_by(_T.c.position, _T.c.id)
    return class_order.ordered([_class(row) for row in tx.execute(query).mappings()])


def names(tx: Connection) -> dict[int, str]:
    """Map the active classes' ids to their names; a third of the time that all_() takes."""
    rows = tx.execute(sa.select(_T.c.id, _T.c.name).where(_T.c.status == "active"))
    return {class_id: name for class_id, name in rows}


def ever(tx: Connection) -> list[records.LabelClass]:
    """List every class there ever was, by id."""
    return [_class(row) for row in tx.execute(sa.select(*_COLUMNS).order_by(_T.c.id)).mappings()]


def by_name(tx: Connection, name: str) -> records.LabelClass | None:
    """Find the active class of this name, whatever its case."""
    row = tx.execute(sa.select(*_COLUMNS).where(_T.c.key == _key(name))).mappings().one_or_none()
    return None if row is None else _class(row)


def rename(tx: Connection, class_id: int, name: str, *, now: float, by: str = "") -> records.LabelClass:
    """Give an active class another name; its labels stay. Raises like add(), and NotActive."""
    active(tx, class_id)
    name, key = _checked(tx, name, besides=class_id)
    class_acts.change(tx, "rename", class_id, {class_id: {"name": name, "key": key}}, now=now, by=by)
    return get(tx, class_id)


def retire(tx: Connection, class_id: int, *, now: float, by: str = "") -> None:
    """Take a class out of what may be said; what was said stays. Classes under it move up. Raises errors.NotActive."""
    known = active(tx, class_id)
    values = class_order.moved_up(tx, class_id, known.parent_id)
    values[class_id] = {"status": "retired", "key": None, "shortcut": None}
    class_acts.change(tx, "retire", class_id, values, now=now, by=by)


def merge(tx: Connection, src: int, dst: int, *, now: float, by: str = "") -> None:
    """Let `dst` take over `src`, all that was merged into it and the classes under it; events keep what was said.

    Raises errors.BadMerge when they are the same or one is not active.
    """
    known, target = get(tx, src), get(tx, dst)
    if src == dst or known.status == "merged" or target.status != "active":
        raise errors.BadMerge(f"{_told(known)} cannot be merged into {_told(target)}: choose another, active class")
    values = class_order.moved_up(tx, src, dst)
    if dst in class_order.above_and_below(tx, src)[1]:  # a class that takes over one above it moves up to its place
        values = class_order.moved_up(tx, src, known.parent_id)
    for class_id in tx.scalars(sa.select(_T.c.id).where(_T.c.merged_into == src)):
        values[class_id] = {"merged_into": dst}
    values[src] = {"status": "merged", "merged_into": dst, "key": None, "shortcut": None}
    class_acts.change(tx, "merge", src, values, now=now, by=by)


def restore(tx: Connection, class_id: int, *, now: float, by: str = "") -> records.LabelClass:
    """Let a retired or merged class be said again, with all labels that name it. Raises errors.NameTaken, NotActive."""
    known = get(tx, class_id)
    if known.status == "active":
        raise errors.NotActive(f"{known.name!r} is in use already")
    _, key = _checked(tx, known.name, besides=class_id)
    above = None if known.parent_id is None else get(tx, known.parent_id)
    values: dict[str, object] = {"status": "active", "merged_into": None, "key": key}
    if above is None or above.status != "active":
        values["parent_id"] = None
    class_acts.change(tx, "restore", class_id, {class_id: values}, now=now, by=by)
    return get(tx, class_id)


def annotate(tx: Connection, class_id: int, act: str, value: object, *, now: float, by: str = "") -> records.LabelClass:
    """Set the `note` (a text), `shortcut` (one of 1-9 a-z, or None) or `images` (ids, in their order) of a class.

    Raises errors.BadShortcut, BadReference, BadName for a note that is none, NotActive.
    """
    active(tx, class_id)
    checks = {"note": _checked_note, "shortcut": _checked_shortcut, "images": _checked_images}
    class_acts.change(tx, act, class_id, {class_id: {act: checks[act](tx, class_id, value)}}, now=now, by=by)
    return get(tx, class_id)


def move(tx: Connection, class_id: int, *, parent_id: int | None, before: int | None, now: float, by: str = "") -> None:
    """Put a class under another (or none) and there ahead of the class `before` (None: at the end).

    Raises errors.BadParent for a place under itself or under no active class, NotActive."""
    known = active(tx, class_id)
    class_order.check_parent(tx, class_id, parent_id)
    values = class_order.placed(tx, class_id, parent_id, before)
    act = "move" if known.parent_id == parent_id else "parent"
    class_acts.change(tx, act, class_id, values, now=now, by=by)


def undo(tx: Connection, seq: int, *, now: float, by: str = "") -> int:
    """Undo one change, whatever came after it elsewhere; returns the seq of the new change.

    Raises like class_acts.undo(), NameTaken and BadShortcut where another class has the name or the key by now, and
    BadParent where classes no longer fit under one another.
    """
    for class_id, values in class_acts.get(tx, seq).before.items():
        for column, kind in (("key", errors.NameTaken), ("shortcut", errors.BadShortcut)):
            wanted = (values or {}).get(column)
            other = tx.scalar(sa.select(_T.c.name).where(_T.c[column] == wanted, _T.c.id != class_id))
            if wanted is not None and other is not None:
                what = "name" if column == "key" else f"key {wanted}"
                raise kind(f"the {what} is {other!r}'s by now: give that one another first")
    done = class_acts.undo(tx, seq, now=now, by=by)
    class_order.check_all(tx)
    return done


def active(tx: Connection, class_id: int) -> records.LabelClass:
    """Read a class that may be said; raises errors.UnknownClass, or NotActive saying what became of it and by whom."""
    known = get(tx, class_id)
    if known.status == "active":
        return known
    last = next((act for act in class_acts.latest(tx, 20, class_id=class_id) if act.act in ("merge", "retire")), None)
    who = f" by {last.actor}" if last and last.actor else ""
    became = "retired" if known.merged_into is None else f"merged into {get(tx, known.merged_into).name!r}"
    raise errors.NotActive(f"{known.name!r} was {became}{who}: restore it first")


def resolve(tx: Connection) -> dict[int, int]:
    """Map every class id to the one that stands for it now (itself unless merged)."""
    return {row.id: row.merged_into or row.id for row in tx.execute(sa.select(_T.c.id, _T.c.merged_into))}


def spelled(name: str) -> str:
    """The name with what no name may hold (line breaks, controls, direction overrides) written out, as in \\x1b."""
    return "".join(char.encode("unicode_escape").decode() if _is_control(char) else char for char in name)


def storable(tx: Connection, name: str) -> str:
    """The name as add() would store it; raises like add()."""
    return _checked(tx, name)[0]


def folded(name: str) -> str:
    """The name as by_name() compares it."""
    return _key(name)


def _told(known: records.LabelClass) -> str:
    return repr(known.name) if known.status == "active" else f"{known.name!r}, which is {known.status},"


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


def _checked_note(_tx: Connection, _class_id: int, value: object) -> str:
    text = value.strip() if isinstance(value, str) else None
    if text is None or len(text) > LONGEST_NOTE:
        raise errors.BadName(f"a note is a text of at most {LONGEST_NOTE:,} characters")
    return text


def _checked_shortcut(tx: Connection, class_id: int, value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) != 1 or value not in SHORTCUTS:
        raise errors.BadShortcut(f"a class is pinned to one of the keys 1 to 9 or a to z, not to {value!r}")
    other = tx.scalar(sa.select(_T.c.name).where(_T.c.shortcut == value, _T.c.id != class_id))
    if other is not None:
        raise errors.BadShortcut(f"the key {value} is {other!r}'s: give that one another first")
    return value


def _checked_images(tx: Connection, _class_id: int, value: object) -> list[int]:
    if not isinstance(value, list) or len(value) > MOST_IMAGES or not all(type(each) is int for each in value):
        raise errors.BadReference(f"name at most {MOST_IMAGES} images by their ids")
    known = set(tx.scalars(sa.select(schema.images.c.id).where(schema.images.c.id.in_(value))))
    wrong = next((each for at, each in enumerate(value) if each not in known or each in value[:at]), None)
    if wrong is not None:
        raise errors.BadReference(f"no image has id {wrong}" if wrong not in known else f"image {wrong} comes twice")
    return list(value)


def _key(name: str) -> str:
    """Fold a name for comparison: Unicode form, space and case."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _class(row: sa.RowMapping) -> records.LabelClass:
    return records.LabelClass(**row)
