"""What a person who browses sees: a window of the pool in any order, one image with its history, what can be filtered by."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from app import background, browse_index, browse_like, browse_map, browse_views, errors, pool_view
from store import annotators, browse, classes, images, labels, queue
from store.database import Database
from store.records import Event, Publication

MOST = 200  # images of one window
KEPT_VIEWS = 12  # 4 bytes an image each
PATIENCE_S = 2.0  # a request's, for what is made once
QUIET = "The model keeps quiet about this image: blind answers to it measure the model."
STILL_BLIND = "Others have answered; you may be asked it yourself, blind."


class View(NamedTuple):
    """An answered question: rows in order, by what is known under `token`."""

    token: str
    rows: browse_views.Rows


class Browser:
    """State with a lifetime, one for the page process: the index, the model's opinions, the sketch, the map, recent views."""

    def __init__(self, db: Database, workspace: Path, reader: pool_view.Reader) -> None:
        self.db, self.workspace, self.reader = db, workspace, reader
        self.index = browse_index.Index()
        self.model: browse_views.Model | None = None
        self.map = browse_map.Maps(workspace)
        self._views: OrderedDict[str, View] = OrderedDict()
        self._begin = threading.Lock()
        self._first: background.Work[bool] | None = None
        self._sketch: background.Work[browse_like.Sketch] | None = None
        self._sketch_of: pool_view.Embeddings | None = None

    def fresh(self) -> Publication | None:
        """Bring index and model up to date; returns the publication that is shown. Raises background.Later."""
        with self._begin:
            if self._first is None or self._first.failed:
                self._first = background.Work("reading the list of images", self._read_all)
        self._first.result(PATIENCE_S)
        with self.index.lock:
            self.index.update(self.db)
            with self.db.read() as tx:
                shown = queue.current(tx)
                rows, there = self.index.rows_of(browse.blind(tx, shown.id if shown else None))
            self.index.blind_rows = rows[there]
            found = self.reader.view(shown)
            known = self.model
            if known is None or known.of is not found or known.size != len(self.index):
                self.model = None if found is None else browse_views.Model(found, self.index)
        return shown

    def sketch(self, shown: Publication | None) -> browse_like.Sketch:
        """The sketch of the embeddings that are shown; raises background.Later, and NotFound where there are none."""
        of = self.reader.embeddings(shown)
        if of is None or not len(of.image_ids_N):
            raise errors.NotFound("the model has not looked at the images yet; try again in a while")
        with self._begin:
            if self._sketch is None or self._sketch_of is not of or self._sketch.failed:
                self._sketch_of = of
                self._sketch = background.Work("comparing the images", lambda tell: browse_like.Sketch(of, tell))
            work = self._sketch
        return work.result(PATIENCE_S)

    def view(self, query: browse_views.Query, token: str | None = None) -> tuple[View, bool, Publication | None]:
        """The rows asked for -> (view, whether more is known by now than in it, the publication shown).

        While `token` is remembered its rows stay as they were, so that nothing moves while a person scrolls.
        """
        shown = self.fresh()
        if query.lasso and self.map.shown is None:
            self.map.of(self.reader.embeddings(shown))
        with self.index.lock:
            now = self._token(query, shown)
            for known in (token or now, now):
                if known in self._views:
                    self._views.move_to_end(known)
                    return self._views[known], known != now, shown
        near = self._near(query.like, shown) if query.like is not None else None
        with self.index.lock:
            if query.order == "name" and near is None:
                near = self.index.by_name(self.db)
            with self.db.read() as tx:
                merged = classes.resolve(tx)
            drawn = self.map.rows(self.index) if query.lasso else None
            found = View(now, browse_views.find(query, self.index, self.model, merged, near, drawn))
            self._views[now] = found
            while len(self._views) > KEPT_VIEWS:
                self._views.popitem(last=False)
        return found, False, shown

    def _near(self, image_id: int, shown: Publication | None) -> browse_views.Rows:
        row, known = self.index.rows_of([image_id])
        if not known[0]:
            raise errors.NotFound(f"no image has id {image_id}")
        if self.index.measuring()[row[0]]:
            raise errors.BadRequest(f"image {image_id} is kept for blind answers: the model keeps quiet about it")
        rows, known = self.index.rows_of(self.sketch(shown).nearest(image_id))
        return rows[known]

    def _token(self, query: browse_views.Query, shown: Publication | None) -> str:
        model = self.model.publication if self.model and query.asks_model else 0
        embeddings = self.reader.embeddings(shown) if query.like is not None else None
        drawn = self.map.shown if query.lasso else None
        known = (query, self.index.newest, self.index.watermark, model, id(embeddings), id(drawn))
        return f"{hash(known) & (2**64 - 1):016x}"

    def _read_all(self, tell: Any) -> bool:
        with self.index.lock:
            return self.index.update(self.db, tell)


def window(
    browser: Browser, query: browse_views.Query, *, start: int, count: int, token: str | None = None
) -> dict[str, Any]:
    """`count` images from place `start` of the order, with how many there are; `stale`: asked anew it would differ."""
    if not 0 < count <= MOST or start < 0:
        raise errors.BadRequest(f"count must be between 1 and {MOST} and start at least 0, not {count} and {start}")
    view, stale, shown = browser.view(query, token)
    model = browser.model
    with browser.index.lock:
        cards = _cards(browser, view.rows[start : start + count], query.viewer)
    return {
        "ready": True,
        "view": view.token,
        "stale": stale,
        "total": len(view.rows),
        "start": start,
        "images": cards,
        "publication": model.publication if model else None,
        "older": bool(model and shown and model.publication != shown.id),
        "calibrated": bool(shown and shown.calibrated),
    }


def ids(browser: Browser, query: browse_views.Query, *, start: int, count: int, token: str | None) -> list[int]:
    """The image ids of a stretch of the order: to select it whole."""
    view, _, _ = browser.view(query, token)
    return [int(each) for each in browser.index.ids_N[view.rows[start : start + count]]]


def choices(browser: Browser, viewer: int | None) -> dict[str, Any]:
    """What can be filtered by: states with their numbers, classes that were said or suggested, people, rounds."""
    browser.fresh()
    index, model = browser.index, browser.model
    with browser.index.lock, browser.db.read() as tx:
        merged = classes.resolve(tx)
        told_N = index.class_N[~index.hidden_from(viewer)]
        said = _tally(told_N, merged)
        suggested = _tally(model.top_N[~index.unsuggested()], merged) if model else {}
        spoken = {int(part) for saying in index.sayings for part in saying.split(",") if part}
        return {
            "ready": True,
            "states": browse_views.states(index),
            "classes": [
                {"class_id": each.id, "name": each.name, "said": said.get(each.id, 0), "suggested": suggested.get(each.id, 0)}
                for each in classes.ever(tx)
                if each.status == "active" or (merged[each.id] == each.id and said.get(each.id))
            ],
            "people": [
                {"annotator_id": each.id, "name": each.name} for each in annotators.all_(tx) if each.id in spoken
            ],
            "rounds": sorted({int(each) for each in np.unique(index.round_N) if each}),
            "model": model is not None,
        }  # fmt: skip


def one(browser: Browser, image_id: int, viewer: int | None) -> dict[str, Any]:
    """One image large, with who said what when, the latest first; nothing that a person asked blind should not know."""
    browser.fresh()
    with browser.index.lock, browser.db.read() as tx:
        row, known = browser.index.rows_of([image_id])
        if not known[0]:
            raise errors.NotFound(f"no image has id {image_id}")
        image = images.get(tx, image_id)
        card = _cards(browser, row, viewer)[0]
        events = [] if card["hidden"] else labels.of_image(tx, image_id)
        names = {each.id: each.name for each in classes.ever(tx)}
        people = {each.id: each.name for each in annotators.all_(tx)}
        numbers = {each.id: each.round_id for each in queue.publications(tx)} if events else {}
    gone = {event.target_seq for event in events}
    told = [_told(event, names, people, numbers, gone) for event in reversed(events)]
    measuring = bool(browser.index.measuring()[row[0]])
    quiet = STILL_BLIND if card["hidden"] else QUIET if measuring else None
    return {**card, "ready": True, "path": "/".join(Path(image.path).parts[-2:]), "history": told, "quiet": quiet}


def viewer_id(db: Database, name: str) -> int | None:
    """Who looks, None for somebody who has never answered."""
    with db.read() as tx:
        found = annotators.by_name(tx, name)
    return None if found is None else found.id


def _told(
    event: Event, names: dict[int, str], people: dict[int, str], numbers: dict[int, int | None], gone: set[int | None]
) -> dict[str, Any]:
    shown = event.round_id or numbers.get(event.publication_id or 0)
    return {
        "event_id": event.seq,
        "annotator": people.get(event.annotator_id, "?"),
        "kind": event.kind,
        "class": names.get(event.class_id) if event.class_id is not None else None,
        "reason": event.reason,
        "note": event.note,
        "asked": None if event.asked_id is None else people.get(event.asked_id, "?"),
        "at": event.received_at,
        "round": shown,
        "bulk": event.input_mode == "bulk",
        "taken_back": event.seq in gone,
    }


def _tally(class_N: Any, merged: dict[int, int]) -> dict[int, int]:
    counted: dict[int, int] = {}
    found, numbers = np.unique(class_N[class_N >= 0], return_counts=True)
    for class_id, number in zip(found.tolist(), numbers.tolist(), strict=True):
        final = merged.get(class_id, class_id)
        counted[final] = counted.get(final, 0) + number
    return counted


def _cards(browser: Browser, rows: browse_views.Rows, viewer: int | None) -> list[dict[str, Any]]:
    """What the grid shows of each row."""
    index, model = browser.index, browser.model
    hidden_N, quiet_N = index.hidden_from(viewer), index.unsuggested()
    with browser.db.read() as tx:
        found = images.get_many(tx, [int(each) for each in index.ids_N[rows]])
        names = {each.id: each.name for each in classes.ever(tx)}
        merged = classes.resolve(tx)
    cards = []
    for row, image in zip(rows.tolist(), found, strict=True):
        marks, hidden = int(index.marks_N[row]), bool(hidden_N[row])
        class_id = None if hidden or index.class_N[row] < 0 else merged.get(int(index.class_N[row]))
        suggestion = None
        if model is not None and not quiet_N[row] and model.top_N[row] >= 0:
            top = merged.get(int(model.top_N[row]), int(model.top_N[row]))
            probability = round(float(model.confidence_N[row]), 4)
            suggestion = {"class_id": top, "name": names.get(top, "?"), "probability": probability}
        cards.append(
            {
                "image_id": image.id,
                "name": Path(image.path).name,
                "width": image.width,
                "height": image.height,
                "state": _state_of(marks, hidden),
                "class_id": class_id,
                "class": names.get(class_id) if class_id is not None else None,
                "skipped": bool(marks & browse.SKIPPED),
                "flagged": bool(marks & browse.FLAGGED),
                "holdout": bool(marks & browse.HOLDOUT),
                "hidden": hidden,
                "suggestion": suggestion,
            }
        )
    return cards


def _state_of(marks: int, hidden: bool) -> str:
    if marks & browse.QUARANTINED:
        return "quarantined"
    if hidden:
        return "answered"
    return "labelled" if marks & browse.LABELLED else "rejected" if marks & browse.REJECTED else "open"
