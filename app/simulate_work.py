"""The arms of a simulation, spread over processes; each finished one is kept at once."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from concurrent.futures import process
from pathlib import Path

from app import errors, processes, simulate_arm, simulate_data, simulate_kept, simulate_network

Progress = Callable[[float, str], None]
WORLDS_KEPT = 4  # of the newest seeds and conditions; arms of one seed run one after another

PARENT_LOOKED_AT = 1.0  # seconds between two looks whether it still lives


@dataclasses.dataclass(frozen=True)
class Job:
    plan: simulate_arm.Plan
    strategy: str
    seed: int


Points = dict[Job, list[simulate_arm.Point]]


class Hands:
    """One process's own: the material, sent once, and what the arms of a seed share, prepared once."""

    def __init__(self, material: simulate_data.Material) -> None:
        self.material = material
        self.ready: dict[tuple[object, ...], simulate_arm.Ready] = {}

    def run(self, job: Job) -> list[simulate_arm.Point]:
        """All points of one arm."""
        key = (job.plan.conditions, job.plan.classifier, job.seed)
        if key not in self.ready:
            while len(self.ready) >= WORLDS_KEPT:
                del self.ready[next(iter(self.ready))]
            self.ready[key] = simulate_arm.ready(self.material, job.plan, job.seed)
        retrain = simulate_network.retrainer(self.material, job.plan)
        return simulate_arm.run(self.ready[key], job.plan, job.strategy, job.seed, retrain)


def jobs_of(plan: simulate_arm.Plan) -> list[Job]:
    return [Job(plan, name, seed) for seed in plan.seed_numbers for name in plan.strategies]


def run(
    material: simulate_data.Material,
    jobs: Sequence[Job],
    *,
    workers: int = 1,
    kept: Path | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
) -> Points:
    """The points of every job. kept: folder of finished arms, taken from there unless `fresh`; None keeps nothing.

    Stopped by Ctrl-C, or where a process of it is ended, it raises Stopped: what is finished stays finished.
    """
    files = {} if kept is None else {plan: simulate_kept.file_of(kept, material, plan) for plan in _plans(jobs)}
    done = {} if fresh else _from_before(jobs, files)
    todo = [job for job in jobs if job not in done]
    before = len(done)
    tell = progress or (lambda share, message: None)
    tell(before / len(jobs), f"{before} of {len(jobs)} arms, as kept" if before else f"{len(jobs)} arms")
    try:
        for job, points in _each(material, todo, workers):
            if job.plan in files:
                simulate_kept.append(files[job.plan], job.strategy, job.seed, points)
            done[job] = points
            tell(len(done) / len(jobs), f"{len(done)} of {len(jobs)} arms")
    except (
        KeyboardInterrupt,
        process.BrokenProcessPool,
    ) as stop:  # Ctrl-C ends the processes, too, and they may be seen first
        why = "stopped" if isinstance(stop, KeyboardInterrupt) else "stopped, as one of its processes was ended"
        mend = "are kept: the same command goes on from there" if files else "were finished"
        raise errors.Stopped(f"{why}; {len(done)} of {len(jobs)} arms {mend}") from None
    return done


def _plans(jobs: Sequence[Job]) -> list[simulate_arm.Plan]:
    return list(dict.fromkeys(job.plan for job in jobs))


def _from_before(jobs: Sequence[Job], files: dict[simulate_arm.Plan, Path]) -> Points:
    found = {plan: simulate_kept.read(file) for plan, file in files.items()}
    return {
        job: found[job.plan][job.strategy, job.seed]
        for job in jobs
        if (job.strategy, job.seed) in found.get(job.plan, {})
    }


def _each(
    material: simulate_data.Material, jobs: list[Job], workers: int
) -> Iterator[tuple[Job, list[simulate_arm.Point]]]:
    """Each job with its points, in the order in which they are done."""
    if workers == 1 or len(jobs) < 2:
        hands = Hands(material)
        for job in jobs:
            yield job, hands.run(job)
        return
    context = multiprocessing.get_context("spawn")
    with futures.ProcessPoolExecutor(
        min(workers, len(jobs)), context, _hold, (material, _with_rounds(jobs), os.getpid())
    ) as pool:
        waiting = {pool.submit(_run, job): job for job in jobs}
        try:
            for done in futures.as_completed(waiting):
                yield waiting[done], done.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _with_rounds(jobs: list[Job]) -> bool:
    return any(job.plan.rounds_at for job in jobs)


_held: list[Hands] = []  # what a process of its own works with


def _hold(material: simulate_data.Material, rounds: bool, parent: int) -> None:
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it at once and silently
    _held[:] = [Hands(material)]
    processes.keep_memory()
    if rounds:
        simulate_network.one_thread()


def _end_with(parent: int) -> None:
    """A parent that was killed never says so: without it a process would wait for work for ever."""
    while not processes.parent_is_gone(parent):
        time.sleep(PARENT_LOOKED_AT)
    os._exit(1)


def _run(job: Job) -> list[simulate_arm.Point]:
    return _held[0].run(job)
