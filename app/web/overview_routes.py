"""The Progress tab's requests for those who lead the work: pace, rounds, confusions, the queue's health, the log."""

import time
from typing import Any

from fastapi import APIRouter, Request

from app import errors, following, overview, study
from app.web import plain
from store import commands, images

router = APIRouter()
Json = dict[str, Any]


@router.get("/api/v1/pace")
def pace(request: Request) -> Json:
    """Answers by person and hour, and how full and fresh the queue is."""
    now = time.time()
    return {
        **overview.people(request.app.state.db, now=now),
        "queue": overview.queue_health(request.app.state.db, now=now),
    }


@router.get("/api/v1/rounds")
def rounds(request: Request) -> Json:
    """Every round with what it reached, newest first."""
    return overview.history(request.app.state.db, request.app.state.settings)


@router.get("/api/v1/confusion")
def confusion(request: Request) -> Json:
    """What the model takes for what, on the answered holdout."""
    return overview.confusion(request.app.state.db, request.app.state.settings.workspace)


@router.get("/api/v1/steering")
def steering(request: Request) -> Json:
    """How far suggestions steer people, by person and class."""
    return following.steering(request.app.state.db)


@router.get("/api/v1/study")
def latest_study(request: Request) -> Json:
    """What the last study found out, while it goes on or after."""
    return study.latest(request.app.state.db)


@router.post("/api/v1/study")
def order_study(request: Request, body: plain.Object) -> Json:
    """Begin a study ({"action": "begin", "images", "suggestion", "map", "gold"}) or end the one that goes on."""
    if body.get("action") not in ("begin", "end"):
        raise errors.BadRequest(f"action must be begin or end, not {body.get('action')!r}")
    if body["action"] == "end":
        return study.end(request.app.state.db, now=time.time())
    return study.begin(request.app.state.db, body, now=time.time())


@router.get("/api/v1/log")
def log(request: Request) -> Json:
    """The last lines of the worker's log."""
    return {"lines": overview.log_tail(request.app.state.settings.log_dir)}


@router.get("/api/v1/commands/{command_id}")
def asked(command_id: plain.Id, request: Request) -> Json:
    """What became of something that was asked of the worker: {"finished", "error"}."""
    with request.app.state.db.read() as tx:
        command = commands.get(tx, command_id)
    return {"finished": command.finished_at is not None, "error": command.error}


@router.get("/api/v1/duplicates")
def duplicates(request: Request) -> Json:
    """The largest groups of near-duplicates: {"count" of groups, "images" in them, "groups": [[image_id]]}."""
    with request.app.state.db.read() as tx:
        count, total, groups = images.groups(tx, largest=50, members=12)
    return {"count": count, "images": total, "groups": groups}
