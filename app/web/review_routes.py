"""The Review tab's requests as JSON: what is in doubt, decisions about it, and how well each annotator does."""

import time
from typing import Any

from fastapi import APIRouter, Request

from app import review
from app.web import door, plain

router = APIRouter()
Json = dict[str, Any]


@router.get("/api/v1/review")
def items(request: Request, annotator: str = "", kind: str = "suspected", count: int = 40) -> Json:
    """The first open images of one list, and how many each list holds."""
    state = request.app.state
    reviewer = door.speaker(request, annotator)
    return review.items(state.db, state.settings.workspace, kind=kind, count=count, reviewer=reviewer)


@router.post("/api/v1/review")
def decide(request: Request, event: plain.Object) -> Json:
    """One decision; when this returns, it is on disk."""
    said = {**event, "annotator": door.speaker(request, event.get("annotator"))}
    return review.decide(request.app.state.db, said, now=time.time())


@router.post("/api/v1/review/undo")
def undo(request: Request, body: plain.Object) -> Json:
    """Take back this reviewer's decision."""
    name, target = str(door.speaker(request, body.get("annotator")) or ""), body.get("target")
    return review.undo(request.app.state.db, uuid=str(body.get("uuid")), annotator=name, target=target, now=time.time())


@router.get("/api/v1/people")
def people(request: Request) -> Json:
    """The annotators' quality with intervals, as far as it was measured."""
    return review.people(request.app.state.db, request.app.state.settings.workspace)
