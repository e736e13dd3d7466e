"""Logging in and out: small pages of our own, without Gradio; they work without JavaScript."""

import html
import math
import string
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import anyio
from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from app import accounts, errors
from app.web import door, guests, headers, place

PARTS = Path(__file__).parent / "entry"
LONGEST_FORM = 10_000  # bytes
AT_ONCE = 2  # passwords that are checked at the same time: each takes 64 MB and a core for a moment
MOST_WAITING = 50
TITLES = {"login": "Log in", "invite": "Welcome", "again": "You are logged in"}

router = APIRouter()


class Counter:
    """Lets few passwords be checked at once; the others wait outside the threads that serve the page."""

    def __init__(self) -> None:
        self.limiter = anyio.CapacityLimiter(AT_ONCE)

    async def take(self, check: Callable[[], str]) -> str:
        if self.limiter.statistics().tasks_waiting >= MOST_WAITING:
            raise errors.TooManyTries("too many people log in at once: wait 5 s and try again", 5.0)
        return await to_thread.run_sync(check, limiter=self.limiter)


@router.get("/login")
async def login_page(request: Request, again: str = "") -> Response:
    """The form; on a page without accounts there is nothing to log in to."""
    if await _guests(request).open_to_all():
        return _home(request)
    return _page(request, "login", {"again": again, "focus_name": "autofocus"})


@router.post("/login")
async def login(request: Request) -> Response:
    """Name and password for a session."""
    if await _guests(request).open_to_all():
        return _home(request)
    form = await _form(request)
    name, state = form.get("name", "").strip(), request.app.state
    address = request.client.host if request.client else ""
    shown = {"name": name, "again": form.get("again", ""), "focus_password": "autofocus"}
    try:
        token = await state.counter.take(
            lambda: accounts.login(state.db, name, form.get("password", ""), address=address, now=time.time())
        )
    except errors.TooManyTries as problem:
        wait = {"Retry-After": str(math.ceil(problem.seconds))}
        return _page(request, "login", {**shown, "problem": str(problem)}, status=429, more=wait)
    except errors.LoginRefused as problem:
        return _page(request, "login", {**shown, "problem": str(problem)}, status=401)
    return await _enter(request, token, again=bool(form.get("again")))


@router.get("/invite")
def invite_page(request: Request) -> Response:
    """Where an invitation's link leads."""
    return _page(request, "invite", {}, script="invite.js")


@router.post("/invite")
async def redeem(request: Request) -> Response:
    """The invitation's code and a new password for a session."""
    form, state = await _form(request), request.app.state
    given, password = form.get("token", "").strip(), form.get("password", "")
    if password != form.get("repeated"):
        return _invited(request, 400, "the two passwords differ: type the same one twice", given)
    try:
        token = await state.counter.take(lambda: accounts.redeem(state.db, given, password, now=time.time()))
    except errors.TooManyTries as problem:
        return _invited(request, 429, str(problem), given)
    except errors.AppError as problem:  # used, expired or unknown; or a password that is too easy
        return _invited(request, 400, str(problem), given)
    return await _enter(request, token, again=False)


@router.post("/logout")
async def logout(request: Request) -> Response:
    """End this session, here and in the store; pictures that the browser kept are dropped, unsent answers are not."""
    token = guests.session_token(request.scope)
    if token:
        await to_thread.run_sync(lambda: accounts.logout(request.app.state.db, token, now=time.time()))
    _guests(request).forget()
    answer = JSONResponse({"done": True}, headers={"Clear-Site-Data": '"cache"', "Cache-Control": "no-store"})
    guests.take(answer, request.scope)
    return answer


@router.get("/api/v1/me")
def me(request: Request) -> dict[str, Any]:
    """Who asks and what he or she may do; `accounts` is false on a page where everybody may do everything."""
    asking = door.person(request)
    return {
        "accounts": asking.via != "local",
        "name": asking.name or None,
        "role": asking.role,
        "scopes": sorted(asking.scopes),
        "via": asking.via,
    }


async def _enter(request: Request, token: str, *, again: bool) -> Response:
    before = guests.session_token(request.scope)
    if before:
        await to_thread.run_sync(lambda: accounts.logout(request.app.state.db, before, now=time.time()))
    _guests(request).forget()
    answer = _page(request, "again", {}) if again else _home(request)
    guests.give(answer, request.scope, token)
    return answer


async def _form(request: Request) -> dict[str, str]:
    body = bytearray()
    async for piece in request.stream():
        body.extend(piece)
        if len(body) > LONGEST_FORM:
            raise errors.BadRequest(f"the form is longer than {LONGEST_FORM} bytes: send name and password only")
    try:
        fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=20)
    except ValueError as problem:
        raise errors.BadRequest("the form has too many fields: send name and password only") from problem
    return {name: values[0].replace("\0", "") for name, values in fields.items()}


def _invited(request: Request, status: int, problem: str, token: str) -> Response:
    return _page(request, "invite", {"problem": problem, "token": token}, status=status, script="invite.js")


def _page(
    request: Request,
    part: str,
    told: dict[str, str],
    *,
    status: int = 200,
    script: str = "",
    more: dict[str, str] | None = None,
) -> Response:
    """One of the small pages; everything in `told` enters as text."""
    fields = dict.fromkeys(("problem", "name", "again", "token", "focus_name", "focus_password"), "") | told
    safe = {name: html.escape(value, quote=True) for name, value in fields.items()}
    safe["root"] = html.escape(place.root(request.scope))
    body = string.Template(_read(f"{part}.html")).substitute(safe)
    ran = f"<script>{_read(script)}</script>" if script else ""
    whole = string.Template(_read("page.html")).substitute(safe, title=TITLES[part], body=body, script=ran)
    sent = {"Cache-Control": "no-store", **(more or {})}
    sent["Content-Security-Policy"] = headers.small_policy(whole.encode())
    return HTMLResponse(whole, status_code=status, headers=sent)


def _read(name: str) -> str:
    return (PARTS / name).read_text(encoding="utf-8")


def _home(request: Request) -> Response:
    return RedirectResponse(f"{place.root(request.scope)}/", status_code=303, headers={"Cache-Control": "no-store"})


def _guests(request: Request) -> guests.Guests:
    known: guests.Guests = request.app.state.guests
    return known
