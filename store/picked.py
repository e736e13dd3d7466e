"""Leases of images that the model picked out for a page of one class, instead of the queue's order."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import fold, queue, records, schema

_Q, _L, _S, _E = schema.queue, schema.leases, schema.image_state, schema.label_events
REASONS = ("grid", "yesno")  # why such an image is asked
BROWSED = "browse"  # nobody asked: a person picked it out of the pool
_CHUNK = 200  # candidates looked up at a time: most are free, so the first chunk is nearly always enough


def claim(
    tx: Connection,
    candidates: Sequence[int],
    *,
    annotator_id: int,
    client: str,
    count: int,
    now: float,
    lease_seconds: float,
    reason: str,
    publication_id: int | None,
    keep: Collection[int] | None = None,
    seen: float | None = None,
) -> list[records.Lease]:
    """Lease up to `count` of the candidates in their order, never one that is asked blind.

    Given are open images of the pool that nobody has skipped and no other client holds, and no audit of the current
    queue. What this client held before and neither gets again nor names in `keep` goes back to everybody (None: nothing).
    Leases younger than `seen` stay, and are not given again: the client did not know of them when it asked. In a write
    that goes alone, not in a shared one.
    """
    mine = (_L.c.annotator_id == annotator_id, _L.c.client == client)
    unknown: set[int] = set()
    if keep is not None and seen is not None:
        unknown = set(tx.scalars(sa.select(_L.c.image_id).where(*mine, _L.c.leased_at > seen)))
        candidates = [each for each in candidates if each not in unknown]
    found = _free(tx, candidates, annotator_id=annotator_id, client=client, count=count, now=now)
    if keep is not None:
        tx.execute(sa.delete(_L).where(*mine, _L.c.image_id.not_in([*keep, *unknown, *found])))
    queue.renew(tx, annotator_id, client, now, lease_seconds)
    live = sa.select(_L).where(*mine, _L.c.expires_at > now, _L.c.image_id.in_(found))
    kept = {row.image_id: records.Lease(**row._asdict()) for row in tx.execute(live)}
    new = [
        records.Lease(
            image_id=image_id,
            slot=0,
            annotator_id=annotator_id,
            client=client,
            token=secrets.token_hex(16),
            publication_id=publication_id,
            position=None,
            reason=reason,
            blind=False,
            propensity=None,
            leased_at=now,
            expires_at=now + lease_seconds,
        )
        for image_id in found
        if image_id not in kept
    ]
    leases = kept | {lease.image_id: lease for lease in queue.put_leases(tx, new, now)}
    return [leases[image_id] for image_id in found]


def held(tx: Connection, annotator_id: int, client: str, now: float) -> list[int]:
    """List the images that this client holds, the longest held first."""
    query = sa.select(_L.c.image_id).where(_L.c.annotator_id == annotator_id, _L.c.client == client)
    return list(tx.scalars(query.where(_L.c.expires_at > now).order_by(_L.c.leased_at, _L.c.image_id)))


def give_back(tx: Connection, annotator_id: int, image_ids: Collection[int]) -> int:
    """End this annotator's leases of these images; returns how many there were."""
    mine = (_L.c.annotator_id == annotator_id, _L.c.image_id.in_(image_ids))
    return tx.execute(sa.delete(_L).where(*mine)).rowcount


def closed_after(tx: Connection, image_id: int) -> list[int]:
    """List the images with a greater id that cannot be picked: settled, skipped, held out or unusable."""
    closed = sa.or_(_S.c.lane != schema.POOL, _S.c.skips > 0)
    return list(tx.scalars(sa.select(_S.c.image_id).where(closed, _S.c.image_id > image_id)))


def open_since(tx: Connection, watermark: int) -> dict[int, bool]:
    """Map the images about which something was said after a watermark to whether they can be picked now."""
    said = sa.select(_E.c.image_id).where(_E.c.seq > watermark)
    open_ = sa.and_(_S.c.lane == schema.POOL, _S.c.skips == 0)
    return {i: bool(free) for i, free in tx.execute(sa.select(_S.c.image_id, open_).where(_S.c.image_id.in_(said)))}


def settled_by_model_choice(tx: Connection) -> set[int]:
    """Find the settled images that were answered because the model was sure of their class, or a person picked them."""
    query = sa.select(_S.c.image_id).join_from(_S, _E, _E.c.seq == _S.c.event_seq)
    return set(tx.scalars(query.where(_E.c.queue_reason.in_((*REASONS, BROWSED)))))


def times(tx: Connection, annotator_id: int, latest: int = 1000) -> list[tuple[str, float]]:
    """List (input mode, milliseconds) of this annotator's `latest` answers that say both, newest first."""
    query = sa.select(_E.c.input_mode, _E.c.shown_ms).where(
        _E.c.annotator_id == annotator_id,
        _E.c.kind.in_(fold.ANSWERS),
        _E.c.input_mode.is_not(None),
        _E.c.shown_ms.is_not(None),
    )
    return [(mode, shown_ms) for mode, shown_ms in tx.execute(query.order_by(_E.c.seq.desc()).limit(latest))]


def _free(
    tx: Connection, candidates: Sequence[int], *, annotator_id: int, client: str, count: int, now: float
) -> list[int]:
    shown = queue.current(tx)
    others = sa.or_(_L.c.annotator_id != annotator_id, _L.c.client != client)
    held_ = sa.exists().where(_L.c.image_id == _S.c.image_id, _L.c.expires_at > now, others)
    audits = (_Q.c.image_id == _S.c.image_id, _Q.c.publication_id == (shown.id if shown else 0))
    audit = sa.exists().where(*audits, _Q.c.reason == "audit")
    # lane and skips are looked at here: in the query they tempt SQLite to walk the index of the whole pool
    query = sa.select(_S.c.image_id, _S.c.lane, _S.c.skips).where(~held_, ~audit)
    found: list[int] = []
    for start in range(0, len(candidates), _CHUNK):
        part = candidates[start : start + _CHUNK]
        rows = tx.execute(query.where(_S.c.image_id.in_(part)))
        free = {image_id for image_id, lane, skips in rows if lane == schema.POOL and not skips}
        found += [image_id for image_id in part if image_id in free]
        if len(found) >= count:
            break
    return found[:count]
