"""Pretraining on a pool's own images, without labels: before a training, or beside a workspace while people answer."""

import dataclasses
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import backbones, children, errors, jobs, pictures, pool, processes, round_steps, settings
from model import config, pretrain_crops, self_taught, self_taught_config
from model import errors as model_errors
from model import pretrain as steps_of
from model.network import pretrained, raum_net
from store import images

Progress = Callable[[float, str], None]
FEWEST = 32  # images of a pool from which there is something to learn
ORPHAN_SECONDS = 60.0  # for the child of a killed worker to end
KEEP_SECONDS = 30.0  # most work that a kill undoes
LARGEST_VIEW = 112  # px: pieces of larger pictures are shown about as large as they are, at a quarter of the work


def recipe(name: str, minutes: float, *, steps: int = 0, seed: int = 0) -> self_taught_config.SelfTaughtConfig | None:
    """What `--pretrain NAME` means; None for none. Raises BadRequest."""
    if name not in settings.ONE_OF["pretrain"]:
        raise errors.BadRequest(f"--pretrain is one of {', '.join(settings.ONE_OF['pretrain'])}, not {name!r}")
    return self_taught_config.SelfTaughtConfig(seconds=60 * minutes, steps=steps, seed=seed) if name == "pool" else None


def teach(
    net: raum_net.RaumNet,
    images_NHWC: NDArray[np.uint8],
    chosen: self_taught_config.SelfTaughtConfig,
    *,
    progress: Progress,
) -> dict[str, Any]:
    """Train `net`'s backbone in place, without labels; what was done."""
    run = self_taught.SelfTaught(net, _sized(chosen, net.config))
    figures: dict[str, float] = {}
    groups = [pretrain_crops.Group(images_NHWC, 1.0)]
    steps_of.distil(run, groups, progress=progress, log=lambda step, told: figures.update(told))
    net.backbone.load_state_dict(run.average.state_dict())
    net.eval()
    done = {"objective": chosen.objective, "steps": run.steps, "seconds": round(run.seconds, 1)}
    return {**done, "loss": figures["loss"], "spread": figures["spread"]}


def is_due(chosen: settings.Settings, held: pool.Pool) -> bool:
    """Whether a workspace wants it and has not had it: before any round, of a backbone of ours, of a pool that is read."""
    wanted = chosen.pretrain == "pool" and chosen.backbone in config.NATIVE_IMAGE_SIZES
    start = held.checkpoint is None and held.complete and len(held.image_ids) >= FEWEST
    return wanted and start and not _place(chosen).exists()


def pretrain(workspace: Path, *, backbone: str | None, minutes: float | None, child: bool) -> None:
    """The verb: teach the backbone up to 6,000 images of the pool, and leave it where the workspace starts from.

    SIGTERM ends it after the step with its state kept; started again it goes on."""
    processes.keep_memory()
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    if child:
        processes.end_with(processes.parent())
        if hasattr(os, "nice"):
            os.nice(10)
    chosen = settings.load(workspace, backbone=backbone, pretrain_minutes=minutes)
    with (
        jobs.opened(chosen) as db,
        processes.only_one(chosen.workspace, children.PRETRAIN, wait=ORPHAN_SECONDS),
        jobs.shown(db, children.PRETRAIN, child) as tell,
    ):
        chosen = backbones.settle(db, chosen, pool.machine(), say=None)
        if chosen.backbone not in config.NATIVE_IMAGE_SIZES:
            raise errors.BadRequest(f"{chosen.backbone} is no backbone of ours, and cannot be pretrained on the pool")
        with db.read() as tx:
            known = images.all_ok(tx)
        try:
            told = _run(chosen, known, tell, lambda: bool(stopped))
        except model_errors.ModelError as problem:
            raise errors.BadRequest(str(problem)) from problem
    print(told)


def _run(
    chosen: settings.Settings, known: list[Any], tell: Callable[[str, float, str], None], stop: Callable[[], bool]
) -> str:
    import torch

    network = pool.network_config(chosen, 2)
    wanted = _sized(
        self_taught_config.SelfTaughtConfig(seconds=60 * chosen.pretrain_minutes, seed=chosen.seed), network
    )
    run, target = self_taught.SelfTaught(raum_net.build(network).to(pool.device()), wanted), _place(chosen)
    kept = target.with_name(f"{target.name}.run")
    if kept.exists():
        try:
            run.restore(steps_of.read_state(kept))
        except model_errors.BadCheckpoint:  # of another backbone or length: anew
            kept.unlink()
            run = self_taught.SelfTaught(raum_net.build(network).to(pool.device()), wanted)
    learnt = _pictures(chosen, network, known, tell)
    if len(learnt) < FEWEST:
        raise errors.BadRequest(f"{len(learnt)} images can be read; from {FEWEST} on there is something to learn")
    torch.set_num_threads(max(1, (os.cpu_count() or 1) - 1))
    steps_of.distil(
        run, [pretrain_crops.Group(learnt, 1.0)], keep=lambda state: steps_of.write_state(kept, state),
        keep_seconds=KEEP_SECONDS, stop=stop,
        progress=lambda done, text: tell("pretraining", done, f"pretraining on the pool, {text}"),
    )  # fmt: skip
    if run.done() < 1.0:
        raise errors.BadRequest(f"stopped after {run.steps:,} steps; started again it goes on from there")
    started = pretrained.start(network)
    described = {
        "objective": wanted.objective,
        "data": [f"the pool: {len(learnt):,} pictures"],
        "went_on_from": pretrained.describe(started) if started else None,
        "started": time.strftime("%Y-%m-%d"),
    }
    steps_of.save(target, run, described)
    kept.unlink()
    return f"{run.steps:,} steps on {len(learnt):,} images; {chosen.backbone} starts from {target} now"


def _pictures(
    chosen: settings.Settings, network: config.NetworkConfig, known: list[Any], tell: Callable[[str, float, str], None]
) -> NDArray[np.uint8]:
    """Images of the pool as the network wants them, holdout left out: what is measured is never learnt from."""
    tell("reading", 0.0, "decoding the images")
    rng = np.random.default_rng(chosen.seed)
    open_ones = [image for image in known if not image.holdout]
    few = sorted(rng.permutation(len(open_ones))[: round_steps.MOST_UNLABELLED].tolist())
    taken = [open_ones[at] for at in few]
    batch = pool.open_cache(chosen, network).read(
        [image.id for image in taken], [pictures.source(image, chosen.workspace) for image in taken]
    )
    return batch.images_NHWC


def _place(chosen: settings.Settings) -> Path:
    """Where a workspace's own weights of its backbone lie, before the person's and the program's."""
    return chosen.workspace / "cache" / f"{chosen.backbone}.safetensors"


def _sized(
    chosen: self_taught_config.SelfTaughtConfig, network: config.NetworkConfig
) -> self_taught_config.SelfTaughtConfig:
    return dataclasses.replace(chosen, side=chosen.side or min(LARGEST_VIEW, network.image_size))
