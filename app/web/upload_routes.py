"""Images that a browser sends: begin, one request a file, finish; then the worker reads them like any folder."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import AfterValidator
from starlette.concurrency import run_in_threadpool

from app import archives, errors, ingest_files, uploads
from app.web import plain
from store import commands

PIECE = 1 << 20  # bytes that are gathered before they are written
Name = Annotated[str, Query(max_length=1000), AfterValidator(plain.checked)]

router = APIRouter()
Json = dict[str, Any]


@router.post("/api/v1/uploads")
def begin(request: Request) -> Json:
    """A name under which the files that follow lie together."""
    return {"upload": uploads.begin(time.time())}


@router.put("/api/v1/uploads/{upload}")
async def receive(upload: str, request: Request, name: Name) -> Json:
    """One file, as the request's body; `name` may hold folders. Half a file is never kept."""
    suffix = name.lower().rpartition("/")[2]
    if not archives.is_archive_name(suffix) and not ingest_files.is_image_name(suffix):
        raise errors.BadRequest(f"{name!r} is neither an image nor a zip or tar file: it was not taken")
    wanted = await run_in_threadpool(uploads.target, request.app.state.settings.workspace, upload, name)
    receiver = await run_in_threadpool(uploads.Receiver, wanted)
    try:
        held = bytearray()
        async for chunk in request.stream():
            held += chunk
            if len(held) >= PIECE:
                await run_in_threadpool(receiver.take, bytes(held))
                held.clear()
        await run_in_threadpool(receiver.take, bytes(held))
        await run_in_threadpool(receiver.done)
    except BaseException:
        await run_in_threadpool(receiver.dropped)
        raise
    return {"bytes": receiver.bytes}


@router.post("/api/v1/uploads/{upload}/finish")
def finish(upload: str, request: Request, body: plain.Object) -> Json:
    """All files have come: the worker is asked to read them; `classes` and `labels_from_folders` as for a folder."""
    folder = uploads.folder(request.app.state.settings.workspace, upload)
    if not folder.is_dir():
        raise errors.BadRequest(f"no file has come for the upload {upload}")
    names = body.get("classes") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise errors.BadRequest("classes must be a list of names")
    payload = {
        "folder": str(folder.resolve()),
        "classes": [name.strip() for name in names if name.strip()],
        "labels_from_folders": bool(body.get("labels_from_folders")),
    }
    with request.app.state.db.write() as tx:
        return {"command_id": commands.ask(tx, "ingest", payload, time.time())}
