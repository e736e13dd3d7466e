"""The verbs `refresh` and `round`: in this process, or in several that torchrun started, of which the first has the database."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app import errors, jobs, launching, processes, settings, standby
from store import images, queue, rounds


def refresh(
    workspace: Path, *, backbone: str | None, launcher: str | None = None, processes_here: int | None = None
) -> None:
    """One refresh, embedding what is new; with several processes each embeds its part."""
    chosen = settings.load(workspace, backbone=backbone, launcher=launcher, processes=processes_here)
    if launching.is_due(chosen.launcher):
        if launching.run(sys.argv[1:], chosen.processes):
            raise errors.PeerLost("nothing was published: a process has failed, its reason stands above")
        return
    from app import pool, ranks, team

    processes.keep_memory()
    with team.gathered(pool.device().type) as beside:
        if not beside.first:
            return ranks.follow(beside, chosen)
        _refresh(chosen, beside)
        beside.ask("done")


def _refresh(chosen: settings.Settings, beside: Any) -> None:
    import numpy as np

    from app import artifact_keeping, backbones, labelling, learning, measuring, pool, reviewing, switching

    with jobs.opened(chosen) as db, standby.learning(chosen, wait=False), jobs.shown(db, "worker", False) as bar:
        tell = _looking(beside, bar)
        chosen = backbones.settle(db, chosen, pool.machine(), say=print)
        with db.read() as tx:
            known, current = images.all_ok(tx), queue.current(tx)
        if not known:
            raise errors.BadRequest(f"{chosen.workspace} holds no images; add some with launch.py ingest --images DIR")
        artifact_keeping.at_hand(db, chosen)
        held = pool.open_(chosen, current, known)
        if switching.is_due(db, chosen, held):
            held = switching.successor(db, chosen)
        if beside.joined.count > 1 and held.net is not None:
            held.beside = beside
            beside.show(held.net)
        switching.fill(db, held, lambda done, total: tell("embedding", done / total, f"{done:,} of {total:,} images"))
        labelling.ask_several(db, overlap=chosen.overlap, overlap_rate=chosen.overlap_rate)
        done = learning.refresh(db, chosen, held, now=time.time(), rng=np.random.default_rng(chosen.seed))
        reviewing.look(db, chosen, held)
        tell("measuring", 1.0, "what is right, and what it takes to finish")
        measurer = measuring.Measurer(chosen)
        while measurer.step(db, held, watermark=done.watermark, resting=True):
            pass
        artifact_keeping.put_now(db, chosen)
    print(f"publication {done.publication}: {done.message}")


def _looking(beside: Any, tell: Callable[[str, float, str], None]) -> Callable[[str, float, str], None]:
    """Tells, and raises PeerLost where the others of a team have ended."""

    def told(phase: str, fraction: float, message: str) -> None:
        beside.look()
        tell(phase, fraction, message)

    return told


def round_(
    workspace: Path,
    *,
    backbone: str | None,
    child: bool,
    launcher: str | None = None,
    processes_here: int | None = None,
) -> None:
    """One round in this process or in several; as the worker's child it is nice and leaves a core to the people who label."""
    chosen = settings.load(workspace, backbone=backbone, launcher=launcher, processes=processes_here)
    if child and hasattr(os, "nice"):
        os.nice(10)
    if launching.is_due(chosen.launcher):
        return _launch_round(chosen, child)
    from app import pool, ranks, team

    processes.keep_memory()
    with team.gathered(pool.device().type) as beside:
        if not beside.first:
            return ranks.follow(beside, chosen)
        _round(chosen, child, beside)
        beside.ask("done")


def _launch_round(chosen: settings.Settings, child: bool) -> None:
    """The same by torchrun. Raises PeerLost with the reason that the round left, or with its process's end."""
    if child:
        processes.end_with(processes.parent())
    with jobs.opened(chosen) as db:
        with db.read() as tx:
            before = max((each.id for each in rounds.all_(tx)), default=0)
        code = launching.run(sys.argv[1:], chosen.processes)
        if not code:
            return
        with db.write() as tx:
            rounds.fail_stale(tx, time.time(), alive=processes.is_alive, how="its first process was killed")
            ours = rounds.all_(tx, after=before)
    why = (ours[-1].error if ours else None) or f"it ended with code {code}, its reason stands above"
    raise errors.PeerLost(f"the round failed: {why}")


def _round(chosen: settings.Settings, child: bool, beside: Any) -> None:
    import torch

    from app import artifact_keeping, backbones, learning, pool, sharing, team

    alone = beside.joined.count == 1
    with jobs.opened(chosen) as db, jobs.shown(db, "round", child) as bar:
        chosen = backbones.settle(db, chosen, pool.machine(), say=None if child else print)
        cores = team.threads()
        threads = jobs.threads_beside(db, cores) if child else None
        torch.set_num_threads(threads() if threads else cores)
        published = learning.round_(
            db,
            chosen,
            clock=time.time,
            progress=_looking(beside, bar),
            threads=threads,
            stop=jobs.orphaned(child) if alone else None,
            beside=beside,
            shared=sharing.Learner(db, chosen, "round"),
        )
        with db.read() as tx:
            metrics = queue.current(tx)
        if not child:  # else the worker does it
            artifact_keeping.put_now(db, chosen)
    told = metrics.metrics if metrics else {}
    print(f"publication {published}: {json.dumps({k: told.get(k) for k in ('labels', 'accuracy', 'n', 'seconds')})}")
