"""The queue: publishing it whole, and leasing its images so that no two people hold the same one."""

from __future__ import annotations

import dataclasses
import itertools
import json
import secrets
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from store import draw, errors, gold, overlap, queue_rows, records, schema

_P, _Q, _L, _S, _E = schema.publications, schema.queue, schema.leases, schema.image_state, schema.label_events
KEEP = 3  # publications whose whole queue stays readable
BLIND = ("audit", "holdout", "again")  # reasons asked without suggestion, map or neighbours


ready = queue_rows.ready


class Uniform(Protocol):
    """What a claim needs of a generator: random.Random and numpy's Generator both have it."""

    def random(self) -> float:
        """Draw from [0, 1)."""


def publish(
    tx: Connection,
    new: records.NewPublication,
    rows: Sequence[records.QueueRow] | queue_rows.Ready,
    based_on_round: int | None = None,
) -> int:
    """Make a new queue the current one, whole; returns the publication id.

    People wait while it is written: `ready()` does beforehand what needs no lock.
    `based_on_round` is the round whose network ranked it (default: new.round_id). Raises errors.Superseded when what
    is shown comes from a newer round, and errors.BadQueue for repeated images or numbers that are not finite.
    """
    shown = current(tx)
    base = based_on_round if based_on_round is not None else new.round_id
    if shown is not None and (shown.round_id or 0) > (base or 0):
        raise errors.Superseded(f"publication {shown.id} is of round {shown.round_id}, this one of {base}: dropped")
    values = rows if isinstance(rows, queue_rows.Ready) else queue_rows.ready(rows)
    publication_id = _insert(tx, new)
    if values:
        tx.execute(sa.insert(_Q), [row | {"publication_id": publication_id} for row in values])
    _prune(tx)
    return publication_id


def start_over(tx: Connection, now: float) -> int:
    """Show an empty queue of no network, whatever was shown: images come in random order until the next refresh."""
    return _insert(tx, records.NewPublication(kind="cold", watermark=0, created_at=now))


def current(tx: Connection) -> records.Publication | None:
    """Return the publication shown, None before the first."""
    row = tx.execute(sa.select(_P).order_by(_P.c.id.desc()).limit(1)).one_or_none()
    return None if row is None else queue_rows.to_publication(row)


def publication(tx: Connection, publication_id: int) -> records.Publication | None:
    """Return one publication, shown or past."""
    row = tx.execute(sa.select(_P).where(_P.c.id == publication_id)).one_or_none()
    return None if row is None else queue_rows.to_publication(row)


def publications(tx: Connection) -> list[records.Publication]:
    """List all publications, oldest first."""
    return [queue_rows.to_publication(row) for row in tx.execute(sa.select(_P).order_by(_P.c.id))]


def latest(tx: Connection, count: int) -> list[records.Publication]:
    """List the last `count` publications, newest first."""
    rows = tx.execute(sa.select(_P).order_by(_P.c.id.desc()).limit(count))
    return [queue_rows.to_publication(row) for row in rows]


def rows_for(tx: Connection, publication_id: int, image_ids: Iterable[int]) -> dict[int, records.QueueRow]:
    """Map those of the images that a publication's queue holds to their rows."""
    query = sa.select(_Q).where(_Q.c.publication_id == publication_id, _Q.c.image_id.in_(list(image_ids)))
    return {row.image_id: queue_rows.to_row(row) for row in tx.execute(query)}


def row(tx: Connection, publication_id: int, image_id: int) -> records.QueueRow | None:
    """Return an image's row in a publication's queue."""
    return rows_for(tx, publication_id, [image_id]).get(image_id)


def head(tx: Connection, publication_id: int, count: int | None = None) -> list[records.QueueRow]:
    """List the first rows of a publication's queue in asking order (default: all that are kept)."""
    query = sa.select(_Q).where(_Q.c.publication_id == publication_id).order_by(_Q.c.position).limit(count)
    return [queue_rows.to_row(row) for row in tx.execute(query)]


def left(tx: Connection, publication_id: int) -> int:
    """Count the rows of a publication's queue whose image is still open."""
    query = sa.select(sa.func.count()).select_from(_Q).join(_S, _S.c.image_id == _Q.c.image_id)
    return int(tx.scalar(query.where(_Q.c.publication_id == publication_id, _S.c.lane != schema.CLOSED)) or 0)


def claim(
    tx: Connection,
    *,
    annotator_id: int,
    client: str,
    count: int,
    now: float,
    lease_seconds: float,
    rng: Uniform,
    holdout_rate: float = 0.1,
    gold_rate: float = 0.0,
    exclude: Collection[int] = (),
) -> list[records.Lease]:
    """Lease up to `count` images: first the client's own live ones, renewed, then new ones.

    Each new one is with probability `holdout_rate` a holdout image, else the next of the queue, else (drained, or none
    published) of the random pool order; then what others skipped, and last what this annotator skipped. Where several
    people are to answer (overlap.py), their share of the new ones are images that others have answered, asked "again"
    and blind; a share `gold_rate` are gold images of the queue (gold.py). Other images that are settled, held by as many
    as are to answer, or `exclude`d are never given, nor any that this annotator has answered.
    """
    me = sa.select(schema.annotators.c.id).where(schema.annotators.c.id == annotator_id)
    tx.execute(me.with_for_update(key_share=True))  # a person's tabs take turns
    renew(tx, annotator_id, client, now, lease_seconds)
    own = _own(tx, annotator_id, client, now=now, exclude=exclude)[:count]
    wanted = count - len(own)
    if wanted <= 0:
        return own
    shown = current(tx)
    publication_id = shown.id if shown else None
    several = overlap.read(tx)
    search = draw.Draw(tx, shown, annotator_id=annotator_id, now=now, several=several, exclude=exclude)
    lanes = [_lane(rng, holdout_rate, several.share, gold_rate) for _ in range(wanted)]
    new = [
        records.Lease(
            image_id=found.image_id,
            slot=0,
            annotator_id=annotator_id,
            client=client,
            token=secrets.token_hex(16),
            publication_id=publication_id,
            position=found.position,
            reason=found.reason,
            blind=found.reason in BLIND,
            propensity=found.propensity,
            leased_at=now,
            expires_at=now + lease_seconds,
        )
        for found in search.images(lanes)
    ]
    return own + put_leases(tx, new, now)


def renew(tx: Connection, annotator_id: int, client: str, now: float, lease_seconds: float) -> int:
    """Prolong the client's live leases; returns how many there are."""
    mine = (_L.c.annotator_id == annotator_id, _L.c.client == client, _L.c.expires_at > now)
    return tx.execute(sa.update(_L).where(*mine).values(expires_at=now + lease_seconds)).rowcount


def release(tx: Connection, annotator_id: int, client: str) -> int:
    """Give the client's images back at once; returns how many."""
    return tx.execute(sa.delete(_L).where(_L.c.annotator_id == annotator_id, _L.c.client == client)).rowcount


def lease_for(
    tx: Connection,
    image_id: int,
    annotator_id: int,
    client: str,
    *,
    now: float,
    lease_seconds: float,
    reason: str | None = None,
    publication_id: int | None = None,
) -> records.Lease:
    """Lease one image again, for an undo, as it was asked; while somebody else holds it, the lease has already run out.

    Reason, publication, rank and propensity default to those of the annotator's last event on it.
    """
    tx.execute(sa.select(_S.c.image_id).where(_S.c.image_id == image_id).with_for_update())  # against claims beside it
    said = draw.last_said(tx, image_id, annotator_id)
    free = gold.decided_by_another(tx, image_id, annotator_id)  # any number may hold it at once
    held = not free and _held_by_others(tx, image_id, annotator_id, client, now)
    if tx.scalar(sa.select(schema.images.c.holdout).where(schema.images.c.id == image_id)):
        reason = "holdout"
    reason = reason or (said.queue_reason if said else None) or "random"
    lease = records.Lease(
        image_id=image_id,
        slot=0,
        annotator_id=annotator_id,
        client=client,
        token=secrets.token_hex(16),
        publication_id=publication_id or (said.publication_id if said else None),
        position=said.queue_rank if said else None,
        reason=reason,
        blind=reason in BLIND,
        propensity=said.propensity if said else None,
        leased_at=now,
        expires_at=now if held else now + lease_seconds,
    )
    return lease if held else put_leases(tx, [lease], now)[0]


def live_leases(tx: Connection, now: float) -> list[records.Lease]:
    """List the leases that have not run out, oldest first."""
    return [_lease(row) for row in tx.execute(sa.select(_L).where(_L.c.expires_at > now).order_by(_L.c.leased_at))]


def lease_by_token(tx: Connection, token: str) -> records.Lease | None:
    """Find a lease, run out or not, until its image is leased to somebody else or answered."""
    found = tx.execute(sa.select(_L).where(_L.c.token == token)).one_or_none()
    return None if found is None else _lease(found)


def _insert(tx: Connection, new: records.NewPublication) -> int:
    values = vars(new) | {"metrics": json.dumps(new.metrics)}
    return int(tx.execute(sa.insert(_P).values(values).returning(_P.c.id)).scalar_one())


def _own(
    tx: Connection, annotator_id: int, client: str, *, now: float, exclude: Collection[int]
) -> list[records.Lease]:
    """List the client's live leases on open images, and on closed ones that are asked on purpose, oldest first."""
    decided = sa.exists().where(_E.c.seq == _S.c.event_seq, _E.c.kind == "review")
    golden = sa.and_(sa.or_(_L.c.reason == gold.GOLD, _L.c.reason.like(f"{gold.STUDY}%")), decided)
    unsaid = _S.c.said_by.not_like(f"%{draw.mine(annotator_id)}%")
    query = sa.select(_L).join_from(_L, _S, _S.c.image_id == _L.c.image_id)
    query = query.where(sa.or_(_S.c.lane != schema.CLOSED, sa.and_(sa.or_(_L.c.reason == "again", golden), unsaid)))
    query = query.where(_L.c.annotator_id == annotator_id, _L.c.client == client, _L.c.expires_at > now)
    order = (_L.c.leased_at, _L.c.position.is_(None), _L.c.position, _L.c.image_id)
    return [_lease(row) for row in tx.execute(query.order_by(*order)) if row.image_id not in exclude]


def _lane(rng: Uniform, holdout_rate: float, more_share: float, gold_rate: float) -> str:
    if gold_rate and rng.random() < gold_rate:
        return gold.GOLD
    if rng.random() < holdout_rate:
        return schema.HOLDOUT
    return schema.MORE if more_share and rng.random() < more_share else schema.POOL


def _held_by_others(tx: Connection, image_id: int, annotator_id: int, client: str, now: float) -> bool:
    """Say whether as many others hold an image as may, besides whoever has answered it."""
    others = sa.or_(_L.c.annotator_id != annotator_id, _L.c.client != client)
    held = sa.select(sa.func.count()).select_from(_L).where(_L.c.image_id == image_id, _L.c.expires_at > now, others)
    draw_rank, said_by = tx.execute(sa.select(_S.c.draw, _S.c.said_by).where(_S.c.image_id == image_id)).one()
    answered = max(0, said_by.count(",") - 1)
    return bool(tx.execute(held).scalar_one() >= max(1, overlap.read(tx).wanted(draw_rank) - answered))


def put_leases(tx: Connection, leases: list[records.Lease], now: float) -> list[records.Lease]:
    """Write leases over the run-out ones of the same images, each into the first free slot; returns them so."""
    if not leases:
        return []
    ids = [lease.image_id for lease in leases]
    own = sa.and_(_L.c.annotator_id == leases[0].annotator_id, _L.c.client == leases[0].client)
    tx.execute(sa.delete(_L).where(_L.c.image_id.in_(ids), sa.or_(_L.c.expires_at <= now, own)))
    used = {
        (image_id, slot)
        for image_id, slot in tx.execute(sa.select(_L.c.image_id, _L.c.slot).where(_L.c.image_id.in_(ids)))
    }
    stored = []
    for lease in leases:
        slot = next(number for number in itertools.count() if (lease.image_id, number) not in used)
        stored.append(dataclasses.replace(lease, slot=slot))
    tx.execute(sa.insert(_L), [vars(lease) for lease in stored])
    return stored


def _prune(tx: Connection) -> None:
    """Drop the rows of old queues, except the last few and those that a lease still names."""
    newest = sa.select(_P.c.id).order_by(_P.c.id.desc()).limit(KEEP).scalar_subquery()
    named = sa.exists().where(_L.c.publication_id == _Q.c.publication_id, _L.c.image_id == _Q.c.image_id)
    tx.execute(sa.delete(_Q).where(_Q.c.publication_id.not_in(newest), ~named))


def _lease(row: sa.Row[Any]) -> records.Lease:
    return records.Lease(**row._asdict())
