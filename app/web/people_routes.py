"""The People card's requests: who may log in, with which role; invitations, ends of sessions, and who did what."""

import dataclasses
import time
from typing import Any

from fastapi import APIRouter, Request

from app import accounts, errors
from app.web import door, guests, plain
from store.database import Database

LATEST = 50

router = APIRouter()
Json = dict[str, Any]


@router.get("/api/v1/users")
def users(request: Request) -> Json:
    """Everybody who may log in."""
    return {"users": [_plain(each) for each in accounts.people(_db(request))]}


@router.post("/api/v1/users")
def add(request: Request, body: plain.Object) -> Json:
    """A new person without a password, and the one-time invitation that lets him or her choose one."""
    return _invited(request, _text(body, "name"), _text(body, "role"))


@router.post("/api/v1/users/invite")
def invite(request: Request, body: plain.Object) -> Json:
    """Another invitation for somebody who is there already: the first expired, or the password is forgotten."""
    return _invited(request, _text(body, "name"), None)


@router.post("/api/v1/users/role")
def role(request: Request, body: plain.Object) -> Json:
    """Another role; it holds from the next request on."""
    accounts.set_role(_db(request), _text(body, "name"), _text(body, "role"), actor=_actor(request), now=time.time())
    return _done(request)


@router.post("/api/v1/users/active")
def active(request: Request, body: plain.Object) -> Json:
    """Lock somebody out, or let him or her in again; what was labelled stays."""
    change = accounts.reactivate if body.get("active") is True else accounts.deactivate
    change(_db(request), _text(body, "name"), actor=_actor(request), now=time.time())
    return _done(request)


@router.post("/api/v1/users/logout")
def logout(request: Request, body: plain.Object) -> Json:
    """End every session of somebody, on all devices."""
    accounts.end_all_sessions(_db(request), _text(body, "name"), actor=_actor(request), now=time.time())
    return _done(request)


@router.get("/api/v1/acts")
def acts(request: Request, limit: int = 20) -> Json:
    """The latest administrative acts, newest first."""
    if not 1 <= limit <= LATEST:
        raise errors.BadRequest(f"limit must be between 1 and {LATEST}, not {limit}")
    return {"acts": [_plain(each) for each in accounts.acts(_db(request), limit)]}


def _invited(request: Request, name: str, role: str | None) -> Json:
    token = accounts.invite(_db(request), name, role, actor=_actor(request), now=time.time())
    known: guests.Guests = request.app.state.guests
    known.forget()
    return {"name": name, "invite": f"/invite#{token}"}


def _done(request: Request) -> Json:
    known: guests.Guests = request.app.state.guests
    known.forget()
    return {"done": True}


def _actor(request: Request) -> str:
    """Whose act it is. The first admin comes from the command line: a page without accounts cannot say who asks."""
    asking = door.person(request)
    if asking.via == "local":
        raise errors.BadRequest("there are no accounts yet: add the first with launch.py user add NAME --role admin")
    return asking.name


def _text(body: Json, key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value.strip():
        raise errors.BadRequest(f"{key} must be a text, not {value!r}")
    return value.strip()


def _plain(record: Any) -> Json:
    return dataclasses.asdict(record)


def _db(request: Request) -> Database:
    db: Database = request.app.state.db
    return db
