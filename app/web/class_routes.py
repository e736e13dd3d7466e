"""The requests of the Classes tab and the class card as JSON: each route is one call of a use case."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from app import class_views, labelling, taxonomy
from app.web import door, plain

router = APIRouter()
Json = dict[str, Any]
Number = Annotated[int, Query(ge=0, le=plain.LARGEST)]


@router.get("/api/v1/taxonomy")
def overview(request: Request) -> Json:
    """Every class with its counts, those out of use, the newest change."""
    return class_views.overview(request.app.state.db, request.app.state.settings.workspace)


@router.get("/api/v1/taxonomy/history")
def history(request: Request, count: Number = 50, class_id: Number | None = None, before: Number | None = None) -> Json:
    """What was changed, by whom, the newest first."""
    found = class_views.history(request.app.state.db, count=count, class_id=class_id, before=before)
    return {"acts": found}


@router.post("/api/v1/taxonomy/undo")
def undo(request: Request, body: plain.Object) -> Json:
    """Undo one change, or one's own newest."""
    seq, name = labelling.integer(body, "seq"), str(door.speaker(request, body.get("annotator")) or "")
    return taxonomy.undo(request.app.state.db, seq, name, now=time.time())


@router.post("/api/v1/classes/{class_id}")
def change(class_id: plain.Id, request: Request, body: plain.Object) -> Json:
    """Rename, merge, retire, restore, move, or give a note, a key, reference images."""
    return taxonomy.change(request.app.state.db, class_id, door.spoken(request, body), now=time.time())


@router.get("/api/v1/classes/{class_id}/preview")
def preview(class_id: plain.Id, request: Request, act: str, into: Number | None = None) -> Json:
    """What a merge or a retirement would do."""
    return class_views.preview(request.app.state.db, class_id, act, into)


@router.get("/api/v1/classes/{class_id}/card")
def card(class_id: plain.Id, request: Request) -> Json:
    """What the class looks like."""
    return class_views.card(request.app.state.db, class_id)


@router.get("/api/v1/classes/{class_id}/images")
def images(class_id: plain.Id, request: Request, count: Number = 60) -> Json:
    """Labelled images of the class, to choose reference images from."""
    return {"image_ids": class_views.candidates(request.app.state.db, class_id, count)}
