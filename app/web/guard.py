"""What the page's door lets in: requests for this host, from this page; of Gradio only what the page uses."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOCAL = ("localhost", "127.0.0.1", "::1")
CLOSED = (
    "/gradio_api/upload",
    "/gradio_api/file",
    "/gradio_api/proxy",
    "/gradio_api/component_server",
    "/gradio_api/runs",
    "/gradio_api/mcp",
    "/gradio_api/info",
    "/gradio_api/openapi.json",
    "/gradio_api/stream",
    "/gradio_api/deep_link",
    "/gradio_api/vibe",
    "/monitoring",
    "/docs",
    "/redoc",
    "/openapi.json",
)


class Guard:
    """ASGI wrapper: refuses foreign hosts (DNS rebinding), foreign origins (other sites' scripts) and closed paths."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        """`host` is where the server listens; on a loopback address only loopback names are served."""
        self.app = app
        self.names = LOCAL if host in LOCAL else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] == "http" else None
        if refusal is None:
            await self.app(scope, receive, send)
            return
        status, sentence = refusal
        await JSONResponse({"error": sentence}, status_code=status)(scope, receive, send)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self.names is not None and urlsplit(f"//{host}").hostname not in self.names:
            return 403, f"this page answers on this machine only, not as {host!r}; open http://127.0.0.1"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, f"requests from {origin!r} are refused; use the page itself"
        if any(scope["path"].startswith(closed) for closed in CLOSED):
            return 404, f"{scope['path']} is not served"
        return None
