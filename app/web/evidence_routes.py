"""The evidence grid's requests as JSON; times enter here."""

import time
from typing import Any

from fastapi import APIRouter, Request

from app import errors, labelling, modes, proposals
from app.web import door, plain

router = APIRouter()
Json = dict[str, Any]


@router.post("/api/v1/evidence")
def page(request: Request, body: plain.Object) -> Json:
    """Images of one class with the boxes that are proposed as their evidence."""
    state, count = request.app.state, labelling.integer(body, "count")
    if count is None:
        raise errors.BadRequest("count is missing: say how many images the tab wants")
    tab, class_id = modes.read_tab(door.spoken(request, body)), labelling.integer(body, "class_id")
    named = body.get("named") is True
    return proposals.page(state.db, state.settings.workspace, tab, class_id=class_id, named=named, count=count)


@router.post("/api/v1/evidence/confirm")
def confirm(request: Request, body: plain.Object) -> Json:
    """A page's boxes, all or none; when this returns, they are on disk."""
    return proposals.confirm(request.app.state.db, door.spoken(request, body), now=time.time())


@router.post("/api/v1/evidence/undo")
def take_back(request: Request, body: plain.Object) -> Json:
    """Take back a whole page."""
    return proposals.take_back(request.app.state.db, door.spoken(request, body), now=time.time())
