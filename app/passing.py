"""Passing an image to a named person ("ask Anna"): who may be asked, and the words in which it is asked."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from app import accounts, errors
from store import annotators, draw, users
from store.database import Database
from store.records import Event, Lease

UNSAID = "the note is not shown, the image is asked blind"


def others(db: Database, annotator: str) -> list[str]:
    """The names of the people whom this one may ask, by name: with accounts who may label, else everybody who is known."""
    with db.read() as tx:
        names = {member.name for member in users.all_(tx) if member.active and "label" in accounts.SCOPES[member.role]}
        if not names and not users.any_(tx):
            names = {each.name for each in annotators.all_(tx) if each.name not in accounts.RESERVED}
    return sorted(names - {annotator}, key=str.casefold)


def asked(tx: Connection, event: dict[str, Any], asker: int) -> int | None:
    """The annotator whom a skip names as `asked`, None where it names nobody; raises BadRequest for who cannot be asked."""
    name = event.get("asked")
    if name is None:
        return None
    if event.get("kind") != "skip":
        raise errors.BadRequest(f"only a skip passes an image to somebody: a {event.get('kind')} cannot ask {name!r}")
    found = _person(tx, name) if isinstance(name, str) and accounts.storable(name) else None
    if found is None:
        raise errors.BadRequest(f"nobody who labels here is called {name!r}: GET /api/v1/others lists whom you may ask")
    if found == asker:
        raise errors.BadRequest(f"{name!r} is yourself: an image can be passed to others only")
    return found


def why(told: str, lease: Lease, asker: tuple[str, str | None] | None) -> str:
    """Why an image is asked that `asker` (name, note) passed to this annotator; `told` where nobody did.

    A note may hint at the class, so it is not shown beside an image that is asked blind.
    """
    if asker is None:
        return told
    name, note = asker
    question = f"{name} asks you: what is it?"
    if lease.blind:
        return f"{question} ({told}{f'; {UNSAID}' if note else ''})"
    return f"{question} “{note}”" if note else question


def askers(tx: Connection, leases: Sequence[Lease]) -> dict[int, tuple[str, str | None]]:
    """The leased images that somebody passed to their annotator: (who asks, the note with it)."""
    if not leases:
        return {}
    return draw.askers(tx, leases[0].annotator_id, [lease.image_id for lease in leases])


def name_of(tx: Connection, event: Event) -> str | None:
    """Whom this answer asked, None where it is no pass."""
    if event.asked_id is None:
        return None
    return next(each.name for each in annotators.all_(tx) if each.id == event.asked_id)


def _person(tx: Connection, name: str) -> int | None:
    if users.any_(tx):
        user = users.by_name(tx, name)
        may = user is not None and user.active and "label" in accounts.SCOPES[user.role]
        return user.annotator_id if user is not None and may else None
    found = annotators.by_name(tx, name)
    return None if found is None or found.name in accounts.RESERVED else found.id
