"""The page's door: requests for this host and from this page only; who asks, and whether he or she may."""

import hmac
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import accounts
from app.web import door_table, guests, headers, place
from store import errors

LOCAL = ("localhost", "127.0.0.1", "::1")
SAFE = ("GET", "HEAD")
OWN_SITE = ("same-origin", "none")
ROLES = {"review": "reviewer", "manage": "admin"}


class Door:
    """ASGI wrapper: puts who asks into scope["state"]["person"], refuses the rest, adds the headers to every answer."""

    def __init__(self, app: ASGIApp, host: str, known: guests.Guests) -> None:
        """`host` is where the server listens; on a loopback address without accounts only loopback names are served."""
        self.app, self.known = app, known
        self.local = host in LOCAL

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "no websocket is served"})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers.add(message, scope)
            await send(message)

        try:
            refusal = await self._refusal(scope)
        except errors.StoreError as problem:  # nobody can be looked up: pages keep their answers meanwhile
            refusal = refused(503, str(problem)[:500])
        await (refusal or self.app)(scope, receive, dressed)

    async def _refusal(self, scope: Scope) -> Response | None:
        sent = Headers(scope=scope)
        alone = await self.known.open_to_all()
        foreign = self._foreign(scope, sent, alone)
        if foreign is not None:
            return foreign
        path = place.path(scope)
        needed = door_table.needed(scope["method"], path)
        if needed is None:
            return refused(404, f"{scope['method']} {path[:200]} is not served")
        if needed == door_table.OPEN:
            return None
        person = await self.known.person(scope)
        if person is None:
            return self._stranger(scope, path)
        scope.setdefault("state", {})["person"] = person
        return _unasked(scope, sent, person) or _forbidden(person, needed)

    def _foreign(self, scope: Scope, sent: Headers, alone: bool) -> Response | None:
        """Other names of this machine (DNS rebinding) and scripts or forms of other sites."""
        host = sent.get("host", "")
        if alone and self.local and urlsplit(f"//{host}").hostname not in LOCAL:
            return refused(403, f"this page answers on this machine only, not as {host!r}; open http://127.0.0.1")
        origin = sent.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return refused(403, f"requests from {origin!r} are refused; use the page itself")
        if scope["method"] not in SAFE and sent.get("sec-fetch-site", "none") not in OWN_SITE:
            return refused(403, "requests of other sites are refused; use the page itself")
        return None

    def _stranger(self, scope: Scope, path: str) -> Response:
        if path == "/":
            return RedirectResponse(
                f"{place.root(scope)}/login", status_code=303, headers={"Cache-Control": "no-store"}
            )
        return out("log in again", {"WWW-Authenticate": "Bearer"})


def refused(status: int, sentence: str) -> Response:
    """A refusal as every route gives it."""
    return JSONResponse({"error": sentence}, status_code=status, headers={"Cache-Control": "no-store"})


def out(sentence: str, more: dict[str, str] | None = None) -> Response:
    """Nobody, or somebody else, is logged in: the page keeps its answers and offers the login."""
    held = {"Cache-Control": "no-store", **(more or {})}
    return JSONResponse({"error": sentence, "login": True}, status_code=401, headers=held)


def person(request: HTTPConnection) -> accounts.Person:
    """Who asks, as the door found out."""
    found: accounts.Person = request.state.person
    return found


def speaker(request: HTTPConnection, given: Any) -> Any:
    """The annotator of a request: with accounts who is logged in, whatever the request says."""
    asking = person(request)
    return given if asking.via == "local" else asking.name


def spoken(request: HTTPConnection, body: dict[str, Any]) -> dict[str, Any]:
    """The body with its annotator as `speaker` has it."""
    return {**body, "annotator": speaker(request, body.get("annotator"))}


def _unasked(scope: Scope, sent: Headers, asking: accounts.Person) -> Response | None:
    """With a session: what another site made the browser send, and what a page of another person sends after a change of
    login. Both are told as "log in again", so that an answer on its way is kept and never counted as somebody else's."""
    if asking.via != "session":
        return None
    meant = sent.get("x-raum-person")
    if meant is not None and meant != str(asking.annotator_id):
        return out(f"{asking.name} is logged in in this browser now")
    expected = guests.csrf(guests.session_token(scope))
    if scope["method"] not in SAFE and not hmac.compare_digest(sent.get("x-raum-csrf", "").encode(), expected.encode()):
        return out("this request lacks its X-RAUM-CSRF header; load the page again")
    return None


def _forbidden(asking: accounts.Person, needed: str) -> Response | None:
    if needed in asking.scopes:
        return None
    if asking.via == "token":
        return refused(403, f"this API token may not {needed}: make one with the scope {needed!r}")
    return refused(403, f"this needs the role {ROLES.get(needed, 'annotator')}: ask an admin for it")
