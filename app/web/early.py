"""Puts the surface's own head into Gradio's first answer, so that images are fetched while Gradio still loads; and its policy."""

import html
import json
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.web import headers, place


class EarlyHead:
    """ASGI wrapper: inserts `head(root path)` before </head> of the page at /, with who is logged in.

    Gradio adds its `head` parameter from JavaScript, after its own bundle: a second before the first image.
    """

    def __init__(self, app: ASGIApp, head: Callable[[str], str]) -> None:
        self.app = app
        self.head = head

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or place.path(scope) != "/" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        plain = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        await self.app({**scope, "headers": plain}, receive, self._inserting(scope, send))

    def _inserting(self, scope: Scope, send: Send) -> Send:
        start: list[Message] = []
        body = bytearray()
        head = (_who(scope) + self.head(place.root(scope))).encode()

        async def insert(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.append(message)
                return
            if message["type"] != "http.response.body":
                await send(message)
                return
            body.extend(message.get("body", b""))
            if message.get("more_body", False):
                return
            whole = bytes(body).replace(b"</head>", head + b"</head>", 1)
            sent = MutableHeaders(raw=start[0]["headers"])
            sent["content-length"] = str(len(whole))
            sent["cache-control"] = "no-store"
            sent["content-security-policy"] = headers.policy(whole)
            await send(start[0])
            await send({"type": "http.response.body", "body": whole})

        return insert


def _who(scope: Scope) -> str:
    """The person who is logged in, for the surface; nothing on a page without accounts."""
    person = scope.get("state", {}).get("person")
    if person is None or person.via == "local":
        return ""
    told = {"id": person.annotator_id, "name": person.name, "role": person.role, "scopes": sorted(person.scopes)}
    return f'<meta name="raum-person" content="{html.escape(json.dumps(told), quote=True)}">\n'
