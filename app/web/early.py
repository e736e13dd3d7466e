"""Puts the surface's own head into Gradio's first answer: images are fetched and shown while Gradio still loads."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class EarlyHead:
    """ASGI wrapper: inserts `head` before </head> of the page at /.

    Gradio adds its `head` parameter from JavaScript, after its own bundle: a second before the first image.
    """

    def __init__(self, app: ASGIApp, head: str) -> None:
        self.app = app
        self.head = head.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] != "/" or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        plain = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        await self.app({**scope, "headers": plain}, receive, self._inserting(send))

    def _inserting(self, send: Send) -> Send:
        start: list[Message] = []
        body = bytearray()

        async def insert(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.append(message)
                return
            body.extend(message.get("body", b""))
            if message.get("more_body", False):
                return
            whole = bytes(body).replace(b"</head>", self.head + b"</head>", 1)
            headers = MutableHeaders(raw=start[0]["headers"])
            headers["content-length"] = str(len(whole))
            headers["cache-control"] = "no-store"
            await send(start[0])
            await send({"type": "http.response.body", "body": whole})

        return insert
