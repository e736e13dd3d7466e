"""The grid and yes/no modes' requests as JSON; times enter here."""

import time
from typing import Any

from fastapi import APIRouter, Request

from app import errors, labelling, modes
from app.web import door, plain

router = APIRouter()
Json = dict[str, Any]


@router.get("/api/v1/modes")
def at_hand(request: Request, annotator: str = "", mode: str = "single") -> Json:
    """The classes that the modes hold images of, and the mode that would cost this person fewer seconds, if any."""
    state = request.app.state
    return modes.at_hand(state.db, state.board, annotator=door.speaker(request, annotator), mode=mode)


@router.post("/api/v1/modes/grid")
def page(request: Request, body: plain.Object) -> Json:
    """A page of images that the model holds for one class, leased to the tab."""
    return modes.page(**_asked(request, body), named=body.get("named") is True)


@router.post("/api/v1/modes/yesno")
def questions(request: Request, body: plain.Object) -> Json:
    """The tab's images to be asked by yes or no, topped up."""
    return {"images": modes.questions(**_asked(request, body))}


@router.post("/api/v1/modes/confirm")
def confirm(request: Request, body: plain.Object) -> Json:
    """A page's answers, all or none; when this returns, they are on disk."""
    return modes.confirm(request.app.state.db, door.spoken(request, body), now=time.time())


@router.post("/api/v1/modes/undo")
def take_back(request: Request, body: plain.Object) -> Json:
    """Take back a whole page."""
    state = request.app.state
    seconds, lease_now = state.settings.lease_seconds, float(state.lease_clock())
    return modes.take_back(
        state.db, door.spoken(request, body), now=time.time(), lease_now=lease_now, lease_seconds=seconds
    )


def _asked(request: Request, body: Json) -> Json:
    state, count = request.app.state, labelling.integer(body, "count")
    if count is None:
        raise errors.BadRequest("count is missing: say how many images the tab wants")
    asked = {"class_id": labelling.integer(body, "class_id"), "count": count, "now": float(state.lease_clock())}
    return asked | {
        "db": state.db,
        "board": state.board,
        "tab": modes.read_tab(door.spoken(request, body)),
        "lease_seconds": state.settings.lease_seconds,
    }
