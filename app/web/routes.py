"""The page's requests as JSON: each route is one call of a use case; times and randomness enter here."""

import time
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import APIRouter, Request

from app import (
    answered,
    archives,
    errors,
    evidence_file,
    finishing,
    ingest_files,
    labelling,
    passing,
    progress,
    receipts,
    remote,
    review,
    settings,
    taxonomy,
)
from app.web import door, plain
from store import commands as orders
from store import database

COMMANDS = ("train", "stop", "roll_back", "pause", "resume", "refresh", "ingest", "demo", "backup")
RELOAD_SECONDS = 10.0

router = APIRouter()
Json = dict[str, Any]


@router.get("/healthz")
def healthz() -> Json:
    """Whether the page serves."""
    return {"ok": True}


@router.post("/api/v1/next")
def next_images(request: Request, client: plain.Tab, annotator: str = "", count: int = 6) -> Json:
    """This tab's leased images, topped up to `count`."""
    chosen = _settings(request)
    items = labelling.next_images(
        _db(request),
        annotator=door.speaker(request, annotator),
        client=client,
        count=count,
        now=_lease_clock(request),
        rng=np.random.default_rng(),
        lease_seconds=chosen.lease_seconds,
        holdout_rate=chosen.holdout_rate,
        gold_rate=chosen.gold_rate,
        hidden_rate=chosen.hidden_rate,
    )
    return {"images": items}


@router.post("/api/v1/events")
def events(request: Request, event: plain.Object) -> Json:
    """One answer; when this returns, it is on disk."""
    said = {**event, "annotator": door.speaker(request, event.get("annotator"))}
    return labelling.submit(_db(request), said, now=time.time())


@router.post("/api/v1/undo")
def undo(request: Request, body: plain.Object) -> Json:
    """Take back this annotator's last answer."""
    annotator, client = _person(request, body)
    return labelling.undo(
        _db(request),
        uuid=str(body.get("uuid")),
        annotator=annotator,
        client=client,
        now=time.time(),
        lease_now=_lease_clock(request),
        target=body.get("target"),
        only=bool(body.get("only")),
        lease_seconds=_settings(request).lease_seconds,
        hidden_rate=_settings(request).hidden_rate,
    )


@router.get("/api/v1/answers")
def own_answers(
    request: Request, annotator: plain.Tab | None = None, count: int = 20, before: plain.Tab | None = None
) -> Json:
    """This annotator's own last answers that stand, newest first."""
    found = answered.own(
        _db(request),
        annotator=door.speaker(request, annotator),
        count=count,
        before=before,
        hidden_rate=_settings(request).hidden_rate,
    )
    return {"answers": found}


@router.get("/api/v1/others")
def others(request: Request, annotator: plain.Tab | None = None) -> Json:
    """Whom this annotator may pass an image to."""
    return {"others": passing.others(_db(request), str(door.speaker(request, annotator) or ""))}


@router.get("/api/v1/receipts")
def receipt_list(request: Request, annotator: plain.Tab | None = None, count: int = 20) -> Json:
    """What this annotator's latest answers changed among the suggestions, refresh by refresh, newest first."""
    return {"receipts": receipts.listed(_db(request), annotator=door.speaker(request, annotator), count=count)}


@router.post("/api/v1/renew")
def renew(request: Request, body: plain.Object) -> Json:
    """Keep this tab's images."""
    annotator, client = _person(request, body)
    seconds = _settings(request).lease_seconds
    return labelling.renew(
        _db(request), annotator=annotator, client=client, now=_lease_clock(request), lease_seconds=seconds
    )


@router.post("/api/v1/release")
def release(request: Request, body: plain.Object) -> Json:
    """The tab went away: its images are free a moment later, so that a reload gets its own ones back."""
    annotator, client = _person(request, body)
    return labelling.renew(
        _db(request), annotator=annotator, client=client, now=_lease_clock(request), lease_seconds=RELOAD_SECONDS
    )


@router.get("/api/v1/status")
def status(request: Request, annotator: str | None = None, edition: plain.Tab | None = None) -> Json:
    """What the page shows about counts, worker and round; without the classes where `edition` is that of the newest list."""
    told = progress.status(
        _db(request),
        now=time.time(),
        annotator=door.speaker(request, annotator) or None,
        edition=edition,
        counts=request.app.state.counts,
    )
    with _db(request).read() as tx:
        more = {"review": review.counts(tx, _settings(request).workspace)}
    return {**told, **more, "evidence": evidence_file.count(_settings(request).workspace)}


@router.get("/api/v1/history")
def history(request: Request) -> Json:
    """Accuracy and calibration on the holdout, round by round."""
    db = _db(request)
    return {"rounds": progress.history(db), "calibration": progress.calibration(db)}


@router.get("/api/v1/finish")
def finish(request: Request, wrong: float = 0.02) -> Json:
    """What may be exported with at most this share wrong; the accuracy, the forecast and the stop advice."""
    return finishing.finish(_settings(request).workspace, wrong=wrong)


@router.get("/api/v1/classes")
def classes(request: Request) -> Json:
    """All classes in their order."""
    return {"classes": taxonomy.all_(_db(request))}


@router.post("/api/v1/classes")
def add_class(request: Request, body: plain.Object) -> Json:
    """A new class."""
    name = body.get("name")
    if not isinstance(name, str):
        raise errors.BadRequest(f"name must be a text, not {name!r}")
    who, parent = str(door.speaker(request, body.get("annotator")) or "") or None, labelling.integer(body, "parent_id")
    return taxonomy.add(_db(request), name, now=time.time(), annotator=who, parent_id=parent)


@router.get("/api/v1/quarantine")
def quarantine(request: Request) -> Json:
    """Files that could not be used, and why."""
    return {"images": progress.quarantine(_db(request))}


@router.post("/api/v1/commands")
def commands(request: Request, body: plain.Object) -> Json:
    """Ask the worker for something; it takes it when it comes by."""
    kind, payload = body.get("kind"), body.get("payload") or {}
    if kind not in COMMANDS:
        raise errors.BadRequest(f"kind must be one of {', '.join(COMMANDS)}, not {kind!r}")
    if not isinstance(payload, dict):
        raise errors.BadRequest("payload must be an object")
    if kind == "ingest":
        payload = _checked_ingest(payload)
    with _db(request).write() as tx:
        return {"command_id": orders.ask(tx, kind, payload, time.time())}


def _checked_ingest(payload: Json) -> Json:
    text = payload.get("folder")
    if not isinstance(text, str) or not text.strip():
        raise errors.BadRequest("type the path of a folder with images on this machine")
    if remote.is_address(text.strip()):
        raise errors.BadRequest(
            "images at an address are read with this machine's credentials: name it where the program is started, "
            f"launch.py serve --images {ingest_files.shown(text.strip())}"
        )
    try:
        named = Path(text.strip()).expanduser().absolute()
        folder = named if archives.is_archive(named) and named.is_file() else ingest_files.root(named)
    except ingest_files.IngestError as problem:
        raise errors.BadRequest(str(problem)) from problem
    names = payload.get("classes") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise errors.BadRequest("classes must be a list of names")
    told: Json = {"folder": str(folder), "classes": [name.strip() for name in names if name.strip()]}
    boxes = str(payload.get("boxes") or "").strip()
    if boxes:
        file = Path(boxes).expanduser().absolute()
        if not file.is_file():
            raise errors.BadRequest(f"there is no file {boxes!r} on this machine: give MegaDetector's or COCO's JSON")
        told["boxes"] = {"file": str(file)}
    return {**payload, "boxes": None, **told}


def _person(request: Request, body: Json) -> tuple[str, str]:
    return str(door.speaker(request, body.get("annotator")) or ""), str(body.get("client") or "")


def _lease_clock(request: Request) -> float:
    return float(request.app.state.lease_clock())


def _db(request: Request) -> database.Database:
    db: database.Database = request.app.state.db
    return db


def _settings(request: Request) -> settings.Settings:
    chosen: settings.Settings = request.app.state.settings
    return chosen
