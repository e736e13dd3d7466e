"""The Browse tab's requests as JSON: windows of the pool in an order, one image, the map, and actions about many images."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import JSONResponse

from app import background, browse, browse_bulk, browse_map, browse_views, errors
from app.web import door, plain

router = APIRouter()
Json = dict[str, Any]
MOST_CORNERS = 200


def _asked(
    request: Request,
    annotator: plain.Tab = "",
    state: str = "all",
    said: int | None = None,
    suggested: int | None = None,
    low: float = 0.0,
    high: float = 1.0,
    person: int | None = None,
    round: int | None = None,
    text: Annotated[str, Query(max_length=200)] = "",
    order: str = "newest",
    like: int | None = None,
    lasso: Annotated[str, Query(max_length=4000)] = "",
) -> browse_views.Query:
    viewer = browse.viewer_id(request.app.state.db, door.speaker(request, annotator))
    return browse_views.Query(
        state=state, said=said, suggested=suggested, low=low, high=high, person=person, round_id=round, text=text,
        order=order, like=like, lasso=_corners(lasso), viewer=viewer,
    )  # fmt: skip


Asked = Annotated[browse_views.Query, Depends(_asked)]


@router.get("/api/v1/browse")
def window(request: Request, asked: Asked, start: int = 0, count: int = 100, view: plain.Tab | None = None) -> Json:
    """`count` images from place `start`; `view` is the token of an answer whose order is to stay as it was."""
    browser: browse.Browser = request.app.state.browser
    return _or_later(lambda: browse.window(browser, asked, start=start, count=count, token=view))


@router.get("/api/v1/browse/ids")
def ids(request: Request, asked: Asked, start: int = 0, count: int = 1000, view: plain.Tab | None = None) -> Json:
    """The image ids of a stretch of the order."""
    count = max(0, min(count, browse_bulk.MOST))
    browser: browse.Browser = request.app.state.browser
    return _or_later(
        lambda: {"ready": True, "image_ids": browse.ids(browser, asked, start=max(0, start), count=count, token=view)}
    )


@router.get("/api/v1/browse/choices")
def choices(request: Request, annotator: plain.Tab = "") -> Json:
    """What can be filtered by, with numbers."""
    state = request.app.state
    return _or_later(
        lambda: browse.choices(state.browser, browse.viewer_id(state.db, door.speaker(request, annotator)))
    )


@router.get("/api/v1/browse/image/{image_id}")
def image(request: Request, image_id: plain.Id, annotator: plain.Tab = "") -> Json:
    """One image and who said what about it."""
    state = request.app.state
    return _or_later(
        lambda: browse.one(state.browser, image_id, browse.viewer_id(state.db, door.speaker(request, annotator)))
    )


@router.get("/api/v1/browse/map")
def map_(request: Request, annotator: plain.Tab = "") -> Response:
    """The map's points as bytes, their number and the pool's in headers; or, while it is laid out, JSON that says so."""
    state = request.app.state
    browser: browse.Browser = state.browser
    viewer = browse.viewer_id(state.db, door.speaker(request, annotator))
    try:
        shown = browser.fresh()
        found = browser.map.of(browser.reader.embeddings(shown))
    except background.Later as later:
        return JSONResponse(_later(later), status_code=202)
    with browser.index.lock:
        told = browse_map.points(found, browser.index, browser.model.top_N if browser.model else None, viewer)
    headers = {
        "X-RAUM-Points": str(told["count"]),
        "X-RAUM-Images": str(found.total),
        "X-RAUM-Drawn": str(len(found.image_ids_M)),
        "X-RAUM-Map": found.name,
        "Cache-Control": "no-store",
    }
    return Response(told["body"], media_type="application/octet-stream", headers=headers)


@router.post("/api/v1/browse/act")
def act(request: Request, body: plain.Object) -> Json:
    """Say the same of many images; when this returns, it is on disk."""
    said = {**body, "annotator": door.speaker(request, body.get("annotator"))}
    return _or_later(lambda: browse_bulk.act(request.app.state.browser, said, now=time.time()))


@router.post("/api/v1/browse/undo")
def undo(request: Request, body: plain.Object) -> Json:
    """Take back a whole action."""
    return browse_bulk.undo(
        request.app.state.db,
        uuid=str(body.get("uuid")),
        annotator=str(door.speaker(request, body.get("annotator")) or ""),
        target=str(body.get("target")),
        now=time.time(),
    )


def _or_later(answer: Any) -> Json:
    try:
        found: Json = answer()
    except background.Later as later:
        return _later(later)
    return found


def _later(later: background.Later) -> Json:
    return {"ready": False, "sentence": str(later), "share": round(later.share, 3)}


def _corners(lasso: str) -> tuple[int, ...]:
    """ "x,y,x,y,...": at least three corners, each 0 to MAP_SIDE."""
    if not lasso:
        return ()
    try:
        found = tuple(int(each) for each in lasso.split(","))
    except ValueError:
        found = ()
    if (
        len(found) % 2
        or not 6 <= len(found) <= 2 * MOST_CORNERS
        or not all(0 <= v <= browse_views.MAP_SIDE for v in found)
    ):
        raise errors.BadRequest(
            f"lasso must be 3 to {MOST_CORNERS} corners as x,y,x,y,... from 0 to {browse_views.MAP_SIDE}, not {lasso[:60]!r}"
        )
    return found
