"""The page process: REST routes, pictures, and Gradio mounted at /, served by uvicorn. Never imports torch."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from app import artifact_keeping, browse, clock, counted, errors, labelling, mode_board
from app.settings import Settings
from app.web import (
    browse_routes,
    class_routes,
    door,
    downloads,
    early,
    entry,
    evidence_routes,
    guests,
    headers,
    import_routes,
    mode_routes,
    overview_routes,
    people_routes,
    pictures,
    quick_gradio,
    review_routes,
    routes,
    surface_files,
    upload_routes,
)
from store import database, queue
from store import errors as store_errors

IDLE_SECONDS = 0.5
ROOMS = (
    entry, routes, mode_routes, evidence_routes, browse_routes, overview_routes, review_routes, class_routes, people_routes,
    pictures, downloads, upload_routes, import_routes, surface_files,
)  # fmt: skip
STATUS = {
    errors.BadRequest: 400,
    errors.NotFound: 404,
    store_errors.Unknown: 404,
    store_errors.Busy: 503,
    store_errors.CannotOpen: 503,  # damaged: answers wait in the browser until a backup is restored
    store_errors.CannotWrite: 507,
}


def create_app(settings: Settings) -> FastAPI:
    """The whole page over one workspace; its database is opened here and closed when the server stops."""
    db = database.open(settings.database, settings.workspace)
    labelling.ask_several(db, overlap=settings.overlap, overlap_rate=settings.overlap_rate)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        db.close()

    app = FastAPI(title="RAUM", openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    alone = isinstance(settings.database, Path)  # on a server other pages may serve this workspace
    import_routes.clear(settings.workspace, older_than=0.0 if alone else 3600.0)
    app.state.settings, app.state.db = settings, db
    app.state.board = mode_board.Board(settings.workspace)
    app.state.browser = browse.Browser(db, settings.workspace, app.state.board.reader)
    app.state.lease_clock = _lease_clock(db, settings.lease_seconds)
    app.state.counts = counted.Counted()
    app.state.guests, app.state.counter = guests.Guests(db), entry.Counter()
    for router in (r.router for r in ROOMS):
        app.include_router(router)
    app.add_exception_handler(errors.AppError, _refused)
    app.add_exception_handler(store_errors.StoreError, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _not_served)
    app.add_exception_handler(Exception, _broken)
    asyncio.run(_mount_gradio(app))
    app.add_middleware(early.EarlyHead, head=surface_files.head)
    app.add_middleware(door.Door, host=settings.host, known=app.state.guests)
    return app


def _lease_clock(db: database.Database, lease_seconds: float) -> clock.Steady:
    """Goes on where the page before left off, also where the machine's clock was set back meanwhile."""
    with db.read() as tx:
        renewed = [lease.expires_at - lease_seconds for lease in queue.live_leases(tx, 0.0)]
    return clock.Steady(at_least=max(renewed, default=0.0))


def serve(settings: Settings) -> None:
    """Serve until the process is told to stop."""
    import uvicorn

    app = create_app(settings)
    gc.freeze()
    gc.enable()
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        ssl_certfile=settings.tls_cert or None,
        ssl_keyfile=settings.tls_key or None,
        root_path=settings.root_path,
        forwarded_allow_ips=settings.trusted_proxies,
        server_header=False,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=3,
    )
    with artifact_keeping.bringing(settings):
        uvicorn.Server(config).run()


async def _mount_gradio(app: FastAPI) -> None:
    """A coroutine because Gradio makes locks: where no event loop runs it opens one for each and closes none."""
    gradio = quick_gradio.load()
    from app.web import page

    with quick_gradio.unserved():
        blocks = page.build()
    # No event of this page goes through Gradio's queue; looking into it every millisecond costs 6 % of a core.
    blocks._queue.sleep_when_free = blocks._queue.progress_update_sleep_when_free = IDLE_SECONDS
    gradio.mount_gradio_app(
        app,
        blocks,
        path="/",
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        mcp_server=False,
        ssr_mode=False,
        allowed_paths=[],
        max_file_size="1kb",
        show_error=False,
        app_kwargs={"openapi_url": None, "docs_url": None, "redoc_url": None},
        theme=page.theme(),
        css=page.css(),
    )


async def _refused(request: Request, problem: Exception) -> JSONResponse:
    status = next((code for kind, code in STATUS.items() if isinstance(problem, kind)), 409)
    return JSONResponse({"error": _short(str(problem))}, status_code=status)


def _short(sentence: str) -> str:
    """At most 500 characters: what was sent may be quoted in it."""
    return sentence if len(sentence) <= 500 else f"{sentence[:300]} … {sentence[-150:]}"


async def _malformed(request: Request, problem: Exception) -> JSONResponse:
    first = problem.errors()[0] if isinstance(problem, RequestValidationError) else {}
    where = ".".join(str(part) for part in first.get("loc", ()))
    said = str(first.get("msg", "the request is malformed")).removeprefix("Value error, ")
    return JSONResponse(
        {"error": _short(f"{where} cannot be taken: {said}; mend it and send it again")}, status_code=422
    )


async def _not_served(request: Request, problem: Exception) -> JSONResponse:
    assert isinstance(problem, HTTPException)
    where = f"{request.method} {request.url.path}"[:200]
    mend = "send JSON" if problem.status_code == 400 else "see the README for what is"
    return JSONResponse({"error": f"{where}: {problem.detail}; {mend}"}, status_code=problem.status_code)


async def _broken(request: Request, problem: Exception) -> JSONResponse:
    """What nobody foresaw; it is answered outside the door, and logged by uvicorn."""
    said = {"error": "the server failed at this request; its log says why"}
    return JSONResponse(said, status_code=500, headers=headers.ALWAYS)
