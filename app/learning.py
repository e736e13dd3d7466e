"""What the machine does: `refresh`, the fast learning step, and `round_`, the slow one; each touches the store twice."""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import (
    agreement,
    drawing,
    judging,
    overlays,
    pool,
    pool_files,
    predictions,
    ranking,
    receipts,
    round_start,
    round_steps,
    sharing,
    snapshot,
    study_plan,
    team,
)
from app.settings import Settings
from model import checkpoint, config, last_layer
from model.network import raum_net
from store import classes, images, queue, rounds
from store.database import Database
from store.records import NewPublication

Progress = Callable[[str, float, str], None]  # phase, fraction of the round, message


@dataclasses.dataclass(frozen=True)
class Refreshed:
    """What a refresh published, up to which label, and how many rows of the head still lack their maps."""

    publication: int
    watermark: int
    without_maps: int
    message: str
    metrics: dict[str, Any]


def refresh(db: Database, settings: Settings, held: pool.Pool, *, now: float, rng: np.random.Generator) -> Refreshed:
    """Fit the last layer on every label, rank the open pool, publish. Raises store.errors.Superseded when a round was
    published meanwhile: what was ranked on the old network is dropped."""
    began = time.perf_counter()
    ids, prepared = held.image_ids, held.prepared
    seen, agreed = look(db, settings, held, image_ids=ids, prepared=prepared, now=now, rng=rng)
    found = ranking.rank(ids, prepared, seen, settings=settings, rng=rng, looks_NF=held.looks_NF[: len(ids)])
    return publish(db, settings, held, found, seen, agreed, now=now, began=began)


def look(
    db: Database,
    settings: Settings,
    held: pool.Pool,
    *,
    image_ids: NDArray[np.int64],
    prepared: last_layer.Prepared,
    now: float,
    rng: np.random.Generator,
) -> tuple[snapshot.Snapshot, agreement.Agreement | None]:
    """What a refresh sees: everybody's answers, several people's settled to one label each."""
    with db.read() as tx:
        seen = snapshot.take(
            tx, holdout=held.holdout, now=now, with_gold=study_plan.gold_rate(tx, settings.gold_rate) > 0
        )
    return agreement.settle(seen, image_ids, prepared, settings=settings, rng=rng, kept=held.opinions)


def publish(
    db: Database,
    settings: Settings,
    held: pool.Pool,
    found: ranking.Ranking,
    seen: snapshot.Snapshot,
    agreed: agreement.Agreement | None,
    *,
    now: float,
    began: float,
    whole: bool = True,
) -> Refreshed:
    """Draw the maps and flip the queue; `began` by time.perf_counter. Not `whole`: the labels since the last fit were
    taken in by single steps, and the predictions of every image and the receipt wait for the next fit."""
    rows = agreement.with_again(found.rows, agreed, rate=settings.again_rate)
    drawn, without = drawing.draw(held, dataclasses.replace(found, rows=rows), settings, seen.single)
    apart = seen.labelled.keys() | seen.rejected | seen.holdout.keys()
    changed = receipts.changes(settings.workspace, found.predicted, apart, network=held.folder) if whole else {}
    took = time.perf_counter() - began
    new = NewPublication(
        kind="cold" if found.cold else "refresh",
        round_id=_round_of(held),
        watermark=seen.watermark,
        checkpoint=held.checkpoint,
        embeddings=held.folder,
        calibrated=found.calibrated,
        pool_size=found.pool_size,
        metrics=_plain({**found.metrics, **changed, "seconds": round(took, 3)}),
        created_at=now,
    )
    ready = queue.ready(drawn.rows)
    with db.write() as tx:
        published = queue.publish(tx, new, ready, based_on_round=held.stands_for or new.round_id or 0)
        drawn.put(overlays.folder(settings.workspace, published))
    if whole:
        agreement.write(settings.workspace, seen, agreed)
        _keep_predictions(settings, published, new, found)
    overlays.forget_old(settings.workspace, published, now)
    message = f"{len(seen.labelled):,} labels, {found.pool_size:,} images open; ranked in {took:.2f} s"
    told = "; ".join(part for part in (message, held.note) if part)
    return Refreshed(published, seen.watermark, without, told, new.metrics)


def round_(
    db: Database,
    settings: Settings,
    *,
    clock: Callable[[], float],
    progress: Progress,
    threads: Callable[[], int] | None = None,
    stop: Callable[[], bool] | None = None,
    beside: team.Team | None = None,
    shared: sharing.Learner | None = None,
) -> int:
    """Train the network semi-supervised, calibrate, checkpoint, predict and publish; returns the publication's id.

    A round that the holdout finds worse than what is shown is kept, not shown (app/judging.py). Whatever goes wrong is
    recorded with its reason and raised again; the old queue stays. `beside`: the processes that share the work; none of them
    but this one touches the database. `shared`: asks workers that stand by to help.
    """
    beside = beside or team.Team()
    began = clock()
    with db.read() as tx:
        known = images.all_ok(tx)
        halves = {i.id: i.holdout for i in known if i.holdout}
        seen = snapshot.take(tx, holdout=halves, now=began, with_gold=study_plan.gold_rate(tx, settings.gold_rate) > 0)
        seen = dataclasses.replace(seen, regions=snapshot.evidence(tx))
    seen = agreement.recalled(seen, settings.workspace, settings=settings, rng=np.random.default_rng(settings.seed))
    told = {"labels": len(seen.labelled), "classes": seen.classes_seen, "backbone": settings.backbone}
    told |= {"method": settings.method}
    network = pool.network_config(settings, len(seen.class_ids))
    last = round_start.before(db, settings, network)
    told["start"] = f"round {last[0]}" if last else config.PRETRAINED
    with db.write() as tx:
        seed = settings.seed + len(rounds.all_(tx))
        round_id = rounds.begin(tx, seed, told, seen.watermark, began)
    try:
        return _run(
            db,
            settings,
            round_id,
            dataclasses.replace(network, seed=seed),
            last[1] if last else None,
            known,
            seen,
            beside,
            shared,
            clock=clock,
            progress=progress,
            threads=threads,
            stop=stop,
        )
    except BaseException as problem:
        reason = beside.why(problem) or str(problem) or type(problem).__name__
        with db.write() as tx:
            rounds.fail(tx, round_id, reason, clock())
        raise


def _run(
    db: Database,
    settings: Settings,
    round_id: int,
    network: config.NetworkConfig,
    last: checkpoint.Loaded | None,
    known: list[Any],
    seen: snapshot.Snapshot,
    beside: team.Team,
    shared: sharing.Learner | None,
    *,
    clock: Callable[[], float],
    progress: Progress,
    threads: Callable[[], int] | None,
    stop: Callable[[], bool] | None,
) -> int:
    began, seed = clock(), network.seed
    rng = np.random.default_rng(seed)
    net = raum_net.build(network).to(pool.device())
    if last is not None:
        round_start.go_on(net, last, seen.class_ids)
    report = round_steps.train_on(settings, net, known, seen, rng, seed, progress, threads, stop, beside)
    progress("embedding", round_steps.TRAINED_SHARE, "looking at every image again")
    name = f"round-{round_id}"
    file = f"checkpoints/{name}.safetensors"
    held = pool.Pool(settings, net, file, name)
    held.class_ids = list(seen.class_ids)
    round_steps.embed_all(held, known, progress, beside, shared)
    held.complete = True
    progress("publishing", 0.96, "ranking the pool")
    with db.read() as tx:
        fresh = snapshot.take(
            tx, holdout=held.holdout, now=clock(), with_gold=study_plan.gold_rate(tx, settings.gold_rate) > 0
        )
        called = {each.id: each.name for each in classes.ever(tx)}
    fresh, agreed = agreement.settle(fresh, held.image_ids, held.prepared, settings=settings, rng=rng)
    found = ranking.rank(held.image_ids, held.prepared, fresh, settings=settings, rng=rng, looks_NF=held.looks_NF)
    found = dataclasses.replace(found, rows=agreement.with_again(found.rows, agreed, rate=settings.again_rate))
    head = [row.image_id for row in found.rows[: settings.overlay_head] if row.reason not in queue.BLIND]
    pool.compute_maps(held, fresh.single + head, seconds=10.0)
    drawn, _ = drawing.draw(held, found, settings, fresh.single)
    metrics = {**report.metrics, **found.metrics, "seconds": round(clock() - began, 1)}
    meta = {"round": round_id, "seed": seed, "watermark": seen.watermark, "metrics": _plain(metrics)}
    meta["class_names"] = [called[class_id] for class_id in seen.class_ids]
    checkpoint.save(settings.workspace / file, net, class_ids=seen.class_ids, meta=meta)
    pool_files.save(held)
    if why := judging.worse(settings.workspace, found.predicted, fresh):
        return _keep(db, round_id, _plain(metrics | {"kept_because": why}), file, now=clock())
    new = NewPublication(
        kind="round",
        round_id=round_id,
        watermark=fresh.watermark,
        checkpoint=file,
        embeddings=held.folder,
        calibrated=found.calibrated,
        pool_size=found.pool_size,
        metrics=_plain(metrics),
        created_at=clock(),
    )
    rows = queue.ready(drawn.rows)
    with db.write(durable=True) as tx:
        published = queue.publish(tx, new, rows, based_on_round=round_id)
        rounds.publish(tx, round_id, _plain(metrics), file, clock())
        drawn.put(overlays.folder(settings.workspace, published))
    _keep_predictions(settings, published, new, found)
    return published


def _keep(db: Database, round_id: int, metrics: dict[str, Any], file: str, *, now: float) -> int:
    """End a round well whose network is not shown; returns the publication that stays."""
    with db.write(durable=True) as tx:
        rounds.publish(tx, round_id, metrics, file, now)
        shown = queue.current(tx)
    return shown.id if shown else 0


def _keep_predictions(settings: Settings, published: int, new: NewPublication, found: ranking.Ranking) -> None:
    """After the queue has flipped, so that people never wait for the files."""
    if found.predicted is None:
        return
    more = {"kind": new.kind, "round": new.round_id, "checkpoint": new.checkpoint, "created_at": new.created_at}
    more["embeddings"] = new.embeddings
    told = dataclasses.replace(found.predicted, meta=found.predicted.meta | more)
    predictions.write(settings.workspace, published, told)


def _round_of(held: pool.Pool) -> int | None:
    return int(held.name.removeprefix("round-")) if held.checkpoint else None


def _plain(metrics: dict[str, Any]) -> dict[str, Any]:
    """NumPy numbers as Python's and what is not a number as None, so that they become JSON."""
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in metrics.items()}
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in plain.items()}
