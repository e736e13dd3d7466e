"""The way out for the labels: a CSV to download, an ImageFolder written into the workspace."""

import time
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from app import errors
from app.exchange import imagefolder, labels_csv

router = APIRouter()


@router.get("/api/v1/export")
def export(request: Request, format: str = "csv") -> StreamingResponse:
    """The settled labels as CSV."""
    if format != "csv":
        raise errors.BadRequest(f"only csv can be downloaded, not {format!r}; POST here for an ImageFolder")
    headers = {"Content-Disposition": 'attachment; filename="labels.csv"', "Cache-Control": "no-store"}
    return StreamingResponse(
        labels_csv.lines(request.app.state.db), media_type="text/csv; charset=utf-8", headers=headers
    )


@router.post("/api/v1/export")
def export_folder(request: Request) -> dict[str, Any]:
    """Copy the settled images into a new folder of the workspace, one folder per class; returns where and how many."""
    exports = request.app.state.settings.workspace / "exports"
    folder = exports / time.strftime("imagefolder-%Y-%m-%d-%H%M%S")
    done = imagefolder.export(request.app.state.db, folder)
    return {"folder": str(folder), "labelled": done.labelled, "rejected": done.rejected, "missing": len(done.missing)}
