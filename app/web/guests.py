"""Who asks: the person behind a session cookie or an API token, remembered for some seconds so that a request costs no read."""

import hashlib
import hmac
import time
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Scope

from app import accounts
from app.web import place
from store.database import Database

SESSION, CSRF = "raum_session", "raum_csrf"
REMEMBERED = 5.0  # seconds; what the command line revokes ends within them, what this page revokes ends at once
ALONE = 2.0  # seconds for which "there are no users" is believed
MOST = 4096
COOKIE_SECONDS = 400 * 86400  # what browsers allow: the server decides when a session ends
EVERYBODY = accounts.Person(
    annotator_id=0, name="", role="admin", scopes=frozenset({"read", "label", "review", "manage"}), via="local"
)


class Guests:
    """Finds persons; holds what it found by the hash of the credential, never the credential."""

    def __init__(self, db: Database, *, clock: Callable[[], float] = time.time) -> None:
        self.db, self.clock = db, clock
        self.known: dict[bytes, tuple[accounts.Person, float]] = {}
        self.accounts = False  # once there are users they stay
        self.looked = -ALONE

    async def open_to_all(self) -> bool:
        """Whether this workspace has no users: then everybody who reaches the page may do everything, as on a desk."""
        if not self.accounts and time.monotonic() - self.looked >= ALONE:
            self.accounts = await run_in_threadpool(accounts.any_users, self.db)
            self.looked = time.monotonic()
        return not self.accounts

    async def person(self, scope: Scope) -> accounts.Person | None:
        """Whoever asks; None when nobody is logged in. An API token goes before a cookie."""
        if await self.open_to_all():
            return EVERYBODY
        headers = Headers(scope=scope)
        kind, _, given = headers.get("authorization", "").partition(" ")
        if given:
            return await self._found("token", given.strip()) if kind.lower() == "bearer" else None
        token = session_token(scope)
        return await self._found("session", token) if token else None

    async def _found(self, kind: str, secret: str) -> accounts.Person | None:
        look = accounts.bearer if kind == "token" else accounts.who
        key = hashlib.sha256(f"{kind} {secret}".encode("utf-8", "surrogateescape")).digest()
        person, until = self.known.get(key, (None, 0.0))
        if person is not None and time.monotonic() < until:
            return person
        found = await run_in_threadpool(look, self.db, secret, now=self.clock())
        self.known.pop(key, None)
        if found is not None:
            if len(self.known) >= MOST:
                self.known.clear()
            self.known[key] = (found, time.monotonic() + REMEMBERED)
        return found

    def forget(self) -> None:
        """Look everybody up again: somebody's rights have changed."""
        self.known.clear()
        self.looked = -ALONE


def session_token(scope: Scope) -> str:
    """The session cookie's value, or an empty text."""
    return HTTPConnection(scope).cookies.get(SESSION, "")


def csrf(token: str) -> str:
    """What a page of this session sends along with everything that changes something; other sites cannot read it."""
    return hmac.new(token.encode("utf-8", "surrogateescape"), b"raum csrf", hashlib.sha256).hexdigest()


def give(response: Response, scope: Scope, token: str) -> None:
    """Set the cookies of a new session; only the second can be read by the page's scripts."""
    for name, value, hidden in ((SESSION, token, True), (CSRF, csrf(token), False)):
        response.set_cookie(
            name, value, max_age=COOKIE_SECONDS, path=place.root(scope) or "/", secure=scope["scheme"] == "https",
            httponly=hidden, samesite="lax",
        )  # fmt: skip


def take(response: Response, scope: Scope) -> None:
    """Remove the cookies."""
    for name in (SESSION, CSRF):
        response.delete_cookie(name, path=place.root(scope) or "/")
