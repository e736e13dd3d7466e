"""The frozen records of accounts; times are unix seconds, hashes are SHA-256 in hexadecimal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class User:
    """An annotator who may log in; `password_hash` is None until an invitation is redeemed. Not to be shown."""

    annotator_id: int
    name: str
    role: str
    active: bool
    added_at: float
    password_hash: str | None = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Member:
    """A user as others may see him or her; `invited`: no password yet; `seen_at` of the sessions that are kept."""

    name: str
    role: str
    active: bool
    invited: bool
    added_at: float
    seen_at: float | None


@dataclass(frozen=True, kw_only=True)
class Session:
    """A session of an active user."""

    annotator_id: int
    name: str
    role: str
    seen_at: float


@dataclass(frozen=True, kw_only=True)
class ApiToken:
    """An API token; `role` is its owner's, `scopes` what it was made for."""

    id: int
    annotator_id: int
    owner: str
    role: str
    active: bool
    name: str
    scopes: tuple[str, ...]
    made_at: float
    used_at: float | None
    expires_at: float | None
    revoked_at: float | None


@dataclass(frozen=True, kw_only=True)
class Act:
    """Something that somebody did to somebody's account."""

    id: int
    at: float
    actor: str
    act: str
    subject: str
    details: dict[str, Any]
