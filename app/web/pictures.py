"""Images, thumbnails and maps by id: the only files of this machine that the page can see."""

import re
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse

from app import errors
from app.web import display, plain
from store import images, records

FOREVER = {
    "Cache-Control": "private, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",  # a file that is a picture and a page at once is a picture
    "Content-Security-Policy": "default-src 'none'; sandbox",
}
SOME_TIME = {**FOREVER, "Cache-Control": "private, max-age=3600"}  # boxes may be added to a scene
KIND = re.compile(r"[a-z0-9_-]{1,32}")

router = APIRouter()


@router.get("/image/{image_id}")
def image(image_id: plain.Id, request: Request) -> FileResponse:
    """The picture as large as the page needs it."""
    path, media_type = display.picture(_workspace(request), _image(request, image_id))
    return FileResponse(path, media_type=media_type, headers=FOREVER)


@router.get("/thumb/{image_id}")
def thumb(image_id: plain.Id, request: Request) -> FileResponse:
    """The picture at 256 px."""
    path, media_type = display.thumbnail(_workspace(request), _image(request, image_id))
    return FileResponse(path, media_type=media_type, headers=FOREVER)


@router.get("/scene/{image_id}")
def scene(image_id: plain.Id, request: Request) -> FileResponse:
    """The whole picture that a box is in, with its outline and those of the other boxes there."""
    image = _image(request, image_id)
    with request.app.state.db.read() as tx:
        there = images.of_scene(tx, image.file) if image.box else []
    others = [each.box for each in there if each.box and each.id != image.id]
    path, media_type = display.scene(_workspace(request), image, others)
    return FileResponse(path, media_type=media_type, headers=SOME_TIME)


@router.get("/overlay/{publication}/{image_id}")
def overlay(publication: plain.Id, image_id: plain.Id, request: Request, kind: str) -> FileResponse:
    """One map as a grey PNG on the network's own grid."""
    if not KIND.fullmatch(kind):
        raise errors.BadRequest(f"kind must be a short lower-case word, not {kind!r}")
    path = _workspace(request) / "overlays" / str(publication) / f"{image_id}-{kind}.png"
    if not path.is_file():
        raise errors.NotFound(f"publication {publication} has no map {kind!r} of image {image_id}")
    return FileResponse(path, media_type="image/png", headers=FOREVER)


def _workspace(request: Request) -> Path:
    workspace: Path = request.app.state.settings.workspace
    return workspace


def _image(request: Request, image_id: int) -> records.Image:
    with request.app.state.db.read() as tx:
        return images.get(tx, image_id)
