"""The api_tokens table: what scripts show instead of a session. Revoked ones stay, so that their use can be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import errors, schema
from store.records_accounts import ApiToken

_T, _U, _A = schema.api_tokens, schema.users, schema.annotators
_TOKENS = (
    sa.select(
        _T.c.id, _T.c.annotator_id, _A.c.name.label("owner"), _A.c.role, _U.c.active, _T.c.name, _T.c.scopes,
        _T.c.made_at, _T.c.used_at, _T.c.expires_at, _T.c.revoked_at,
    )
    .join_from(_T, _U, _T.c.annotator_id == _U.c.annotator_id)
    .join(_A, _A.c.id == _U.c.annotator_id)
)  # fmt: skip


def add(
    tx: Connection,
    annotator_id: int,
    token_hash: str,
    *,
    name: str,
    scopes: Sequence[str],
    now: float,
    expires_at: float | None,
) -> int:
    """Store a token; returns its id."""
    values = {"annotator_id": annotator_id, "token_hash": token_hash, "name": name, "scopes": ",".join(scopes)}
    values |= {"made_at": now, "expires_at": expires_at}
    return int(tx.execute(sa.insert(_T).values(values).returning(_T.c.id)).scalar_one())


def find(tx: Connection, token_hash: str, now: float) -> ApiToken | None:
    """The token of an active user that is neither revoked nor expired."""
    live = (_T.c.revoked_at.is_(None), _U.c.active, sa.or_(_T.c.expires_at.is_(None), _T.c.expires_at > now))
    row = tx.execute(_TOKENS.where(_T.c.token_hash == token_hash, *live)).mappings().one_or_none()
    return None if row is None else _token(row)


def get(tx: Connection, token_id: int) -> ApiToken:
    """Read one token, live or not; raises errors.UnknownToken."""
    row = tx.execute(_TOKENS.where(_T.c.id == token_id)).mappings().one_or_none()
    if row is None:
        raise errors.UnknownToken(f"no API token has id {token_id}")
    return _token(row)


def all_(tx: Connection) -> list[ApiToken]:
    """List every token there ever was, by id."""
    return [_token(row) for row in tx.execute(_TOKENS.order_by(_T.c.id)).mappings()]


def use(tx: Connection, token_id: int, now: float) -> None:
    """Write down when a token was last used."""
    tx.execute(sa.update(_T).where(_T.c.id == token_id).values(used_at=now))


def revoke(tx: Connection, token_id: int, now: float) -> None:
    """End a token; one that has ended already keeps its time."""
    tx.execute(sa.update(_T).where(_T.c.id == token_id, _T.c.revoked_at.is_(None)).values(revoked_at=now))


def revoke_all(tx: Connection, annotator_id: int, now: float) -> int:
    """End every live token of a person; returns how many there were."""
    live = (_T.c.annotator_id == annotator_id, _T.c.revoked_at.is_(None))
    return tx.execute(sa.update(_T).where(*live).values(revoked_at=now)).rowcount


def _token(row: Any) -> ApiToken:
    return ApiToken(**dict(row) | {"scopes": tuple(row["scopes"].split(","))})
