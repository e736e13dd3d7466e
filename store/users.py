"""The users table: annotators who may log in. Once there is one, the workspace has accounts for good."""

from __future__ import annotations

import unicodedata

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import errors, schema
from store.records_accounts import Member, User

_T, _A, _S = schema.users, schema.annotators, schema.sessions
_USERS = sa.select(
    _T.c.annotator_id, _A.c.name, _A.c.role, _T.c.active, _T.c.added_at, _T.c.password_hash
).join_from(_T, _A, _T.c.annotator_id == _A.c.id)  # fmt: skip


def key(name: str) -> str:
    """The name as it is compared: without case, the many spellings of one letter taken as one."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name.strip()).casefold())


def any_(tx: Connection) -> bool:
    """Say whether the workspace has accounts."""
    return tx.execute(sa.select(_T.c.annotator_id).limit(1)).first() is not None


def add(tx: Connection, annotator_id: int, name: str, now: float) -> None:
    """Let an annotator log in, as soon as there is a password; raises errors.NameTaken."""
    taken = by_name(tx, name)
    if taken is not None:
        raise errors.NameTaken(f"there is a user {taken.name!r} already")
    values = {"annotator_id": annotator_id, "key": key(name), "active": True, "added_at": now}
    tx.execute(sa.insert(_T).values(values))


def by_name(tx: Connection, name: str) -> User | None:
    """Find a user, whatever the case of the name."""
    row = tx.execute(_USERS.where(_T.c.key == key(name))).mappings().one_or_none()
    return None if row is None else User(**row)


def get(tx: Connection, annotator_id: int) -> User:
    """Read one user; raises errors.UnknownUser."""
    row = tx.execute(_USERS.where(_T.c.annotator_id == annotator_id)).mappings().one_or_none()
    if row is None:
        raise errors.UnknownUser(f"no user has id {annotator_id}")
    return User(**row)


def all_(tx: Connection) -> list[Member]:
    """List everybody who may or might log in, by name."""
    seen = sa.select(sa.func.max(_S.c.seen_at)).where(_S.c.annotator_id == _T.c.annotator_id)
    rows = tx.execute(_USERS.add_columns(seen.scalar_subquery().label("seen_at")).order_by(_T.c.key))
    return [
        Member(
            name=row.name, role=row.role, active=row.active, invited=row.password_hash is None,
            added_at=row.added_at, seen_at=row.seen_at,
        )
        for row in rows
    ]  # fmt: skip


def others(tx: Connection, role: str, annotator_id: int) -> int:
    """Count the active users of this role who have a password, `annotator_id` left out."""
    mine = (_A.c.role == role, _T.c.active, _T.c.password_hash.is_not(None), _T.c.annotator_id != annotator_id)
    count = sa.select(sa.func.count()).select_from(_T).join(_A, _T.c.annotator_id == _A.c.id).where(*mine)
    return int(tx.scalar(count) or 0)


def set_password(tx: Connection, annotator_id: int, password_hash: str) -> None:
    """Store the hash of a new password."""
    tx.execute(sa.update(_T).where(_T.c.annotator_id == annotator_id).values(password_hash=password_hash))


def set_active(tx: Connection, annotator_id: int, active: bool) -> None:
    """Lock a user out, or let him or her in again."""
    tx.execute(sa.update(_T).where(_T.c.annotator_id == annotator_id).values(active=active))
