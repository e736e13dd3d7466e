"""`replay`: the labels as they were at any past moment, from the events alone, in any export format."""

from __future__ import annotations

from pathlib import Path

from app import clock, errors
from app.exchange import formats
from app.settings import Settings
from store import class_acts, database, labels


def replay(settings: Settings, at: str, to: Path, *, format: str) -> str:
    """Write the labels as they were at `at` to `to`; returns a sentence.

    `at` is a time (2026-11-25, 2026-11-25T14:30, with +02:00 or Z where it is not this machine's time) or the number of
    an event, as the exports give it: then everything up to and with that event counts. Classes are named and merged as
    they were then. Raises BadRequest for neither.
    """
    if not settings.exists:
        raise errors.BadRequest(f"there is no workspace at {settings.workspace}: name it with --workspace")
    db = database.open(settings.database, settings.workspace)
    try:
        with db.read() as tx:
            newest, time = labels.watermark(tx), None if at.isdecimal() else clock.moment(at)
            event = min(int(at), newest) if time is None else labels.watermark_at(tx, time)
            up_to = class_acts.moment(tx, event, time)
        told = formats.export(db, to, name=format, up_to=up_to)
    finally:
        db.close()
    return f"as of event {up_to:,} of {newest:,}: {told}"
