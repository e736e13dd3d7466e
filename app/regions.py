"""The evidence region: a box that a person drew on an image, kept in its event as JSON in shares of the image."""

import json
import math
from collections.abc import Iterable
from typing import Any

from app import errors
from store.records import Event

SIDES = ("x", "y", "w", "h")
SLACK = 1e-6  # of a box that ends at the image's border


def checked(value: Any) -> str | None:
    """The text that an event stores for a box {x, y, w, h}, given as an object or as its JSON; None stays None.

    x, y is the upper left corner, w, h the size, all in 0..1 of the upright image. Raises BadRequest saying what is wrong.
    """
    if value is None:
        return None
    box = _parsed(value)
    if not isinstance(box, dict) or set(box) != set(SIDES):
        raise errors.BadRequest(f"region must be a box with x, y, w and h in shares of the image, not {value!r}")
    sides = [box[side] for side in SIDES]
    if not all(_is_share(side) for side in sides):
        raise errors.BadRequest(f"region: x, y, w and h must be numbers from 0 to 1, not {value!r}")
    x, y, w, h = sides
    if not (w > 0 and h > 0 and x + w <= 1 + SLACK and y + h <= 1 + SLACK):
        raise errors.BadRequest(f"region must be a box that lies within the image and is not empty, not {value!r}")
    return json.dumps(box, sort_keys=True)


def read(text: str | None) -> dict[str, float] | None:
    """The box of an event's text; None where there is none or it is of another kind."""
    try:
        box = _parsed(text) if text else None
        return None if box is None or checked(box) is None else box
    except errors.BadRequest:
        return None


def latest(events: Iterable[Event]) -> dict[str, float] | None:
    """The box drawn last that still stands, of one image's events, oldest first."""
    found = list(events)
    gone = {event.target_seq for event in found}
    boxes = [read(event.region) for event in found if event.region and event.seq not in gone]
    return next((box for box in reversed(boxes) if box), None)


def _parsed(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if len(value) <= 400 else None
    except (ValueError, RecursionError):
        return None


def _is_share(side: Any) -> bool:
    return isinstance(side, (int, float)) and not isinstance(side, bool) and math.isfinite(side) and 0.0 <= side <= 1.0
