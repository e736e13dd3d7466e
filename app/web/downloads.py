"""The way out for the labels: a CSV to download, an ImageFolder written into the workspace."""

import json
import secrets
import time
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from app import errors
from app.exchange import certified, imagefolder, labels_csv

router = APIRouter()


@router.get("/api/v1/export")
def export(request: Request, format: str = "csv", certified_wrong: float | None = None) -> StreamingResponse:
    """The settled labels as CSV; with `certified_wrong` the model's certified ones too, the promise in a header."""
    if format != "csv":
        raise errors.BadRequest(f"only csv can be downloaded, not {format!r}; POST here for an ImageFolder")
    headers = {"Content-Disposition": 'attachment; filename="labels.csv"', "Cache-Control": "no-store"}
    if certified_wrong is not None:
        state = request.app.state
        found = certified.collect(state.db, state.settings.workspace, certified_wrong, now=time.time())
        headers["Content-Disposition"] = 'attachment; filename="labels-certified.csv"'
        headers["X-RAUM-Promise"] = json.dumps(found.promise)
        return StreamingResponse(certified.lines(found), media_type="text/csv; charset=utf-8", headers=headers)
    return StreamingResponse(
        labels_csv.lines(request.app.state.db), media_type="text/csv; charset=utf-8", headers=headers
    )


@router.post("/api/v1/export")
def export_folder(request: Request) -> dict[str, Any]:
    """Copy the settled images into a new folder of the workspace, one folder per class; returns where and how many."""
    exports = request.app.state.settings.workspace / "exports"
    folder = exports / f"{time.strftime('imagefolder-%Y-%m-%d-%H%M%S')}-{secrets.token_hex(2)}"
    done = imagefolder.export(request.app.state.db, folder)
    return {"folder": str(folder), "labelled": done.labelled, "rejected": done.rejected, "missing": len(done.missing)}
