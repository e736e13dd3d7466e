"""The long steps of a round: decode and train, then look at every image again."""

import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import errors, pictures, pool, predictions, ranking, sharing, snapshot, team
from app.settings import Settings
from model import config, train
from model.data import pixels
from model.network import raum_net
from model.together import Together

Progress = Callable[[str, float, str], None]  # phase, fraction of the round, message
MOST_UNLABELLED = 6_000  # pool images that one round learns from
NOWHERE = (math.nan,) * 4  # the evidence region of an image for which nobody drew one
TRAINED_SHARE = 0.8  # of a round's progress bar


def train_on(
    settings: Settings,
    net: raum_net.RaumNet,
    known: list[Any],
    seen: snapshot.Snapshot,
    rng: np.random.Generator,
    seed: int,
    progress: Progress,
    threads: Callable[[], int] | None,
    stop: Callable[[], bool] | None,
    beside: team.Team,
) -> train.TrainReport:
    """Decode, and train the network in place; the team's other processes hear what on, and do it too."""
    progress("reading", 0.0, "decoding the images")
    cache = pool.open_cache(settings, net.config)
    here = {image.id: image for image in known}
    chosen = [here[image_id] for image_id in seen.labelled if image_id in here]
    labelled = _read(cache, chosen, settings)
    ids = [chosen[int(at)].id for at in labelled.positions_N]
    apart = seen.settled | seen.holdout.keys()
    others = _fitting(settings, [image for image in known if image.id not in apart])
    if len(others) > MOST_UNLABELLED:
        kept = rng.choice(np.array([image.id for image in others]), MOST_UNLABELLED, replace=False)
        others = [here[image_id] for image_id in sorted(kept.tolist())]
    unlabelled = _read(cache, others, settings)
    targets_NK = seen.targets(ids)
    lesson = {
        "network": team.described(net),
        "recipe": dataclasses.asdict(recipe(settings, net.config, seed)),
        "labelled": team.listed([here[image_id] for image_id in ids]),
        "labels": [seen.labelled[image_id] for image_id in ids],
        "targets": None if targets_NK is None else targets_NK.tolist(),
        "regions": [seen.regions.get(image_id, NOWHERE) for image_id in ids],
        "unlabelled": team.listed([others[int(at)] for at in unlabelled.positions_N]),
    }
    beside.ask("train", lesson=lesson)
    return learn(
        net,
        lesson,
        labelled.images_NHWC,
        unlabelled.images_NHWC,
        together=beside.joined,
        progress=lambda fraction, text: progress("training", TRAINED_SHARE * fraction, text),
        threads=threads,
        stop=stop,
    )


def recipe(settings: Settings, network: config.NetworkConfig, seed: int) -> config.TrainConfig:
    """The training that the settings ask for."""
    chosen = config.training(
        network,
        on_cpu=pool.device().type == "cpu",
        steps=settings.steps,
        method=settings.method,
        occlusion_rate=settings.occlusion_rate,
        seed=seed,
    )
    return config.in_pieces(chosen, settings.precision, settings.accumulate, settings.batch_size)


def learn(
    net: Any,
    lesson: dict[str, Any],
    labelled_NHWC: NDArray[np.uint8],
    unlabelled_NHWC: NDArray[np.uint8],
    *,
    together: Together,
    **more: Any,
) -> train.TrainReport:
    """The training that a lesson describes, plain values as one process tells them to others; `more` as for train.train."""
    return train.train(
        net,
        labelled_images=labelled_NHWC,
        labels_N=np.array(lesson["labels"], np.int64),
        unlabelled_images=unlabelled_NHWC,
        targets_NK=None if lesson["targets"] is None else np.array(lesson["targets"]),
        regions_N4=np.array(lesson["regions"], np.float32),
        config=config.TrainConfig(**lesson["recipe"]),
        together=together,
        **more,
    )


def _fitting(settings: Settings, others: list[Any]) -> list[Any]:
    """Without the images that, by what was rejected so far, probably belong to no class or are bad pictures: such mislead
    semi-supervised learning (Su et al., "A realistic evaluation of semi-supervised learning for fine-grained
    classification", arXiv 2104.00679)."""
    try:
        told = predictions.newest(settings.workspace)
    except errors.BadRequest:  # damaged ones are told where they are needed
        told = None
    if told is None:
        return others
    unfit_N = told.out_of_class_N >= ranking.PROBABLY
    if told.bad_image_N is not None:
        unfit_N |= told.bad_image_N >= ranking.PROBABLY
    unfit = set(told.image_ids_N[unfit_N].tolist())
    return [image for image in others if image.id not in unfit]


def _read(cache: pixels.PixelCache, images: list[Any], settings: Settings) -> pixels.Batch:
    return cache.read([image.id for image in images], [pictures.source(image, settings.workspace) for image in images])


def embed_all(
    held: pool.Pool, known: list[Any], progress: Progress, beside: team.Team, shared: sharing.Learner | None = None
) -> None:
    """Every image's embedding by the new network; each of the team's processes makes its part of them, or of one process
    alone who stands by helps with slices."""
    if shared is not None and not shared.alone and beside.joined.count == 1:
        return _embed_shared(held, known, progress, shared)
    step = 256 * beside.joined.count
    beside.show(held.net)
    for at in range(0, len(known), step):
        part = known[at : at + step]
        kept, found_ND, looks_NF = beside.embed(held.net, held.cache, part, held.settings.workspace)
        if kept:
            pool.add(held, [part[position].id for position in kept], found_ND, looks_NF)
        pool.remember_images(held, part)
        held.last_id = part[-1].id
        done = min(1.0, (at + step) / len(known))
        progress("embedding", TRAINED_SHARE + 0.15 * done, f"looking at every image again: {at + len(part):,}")


def _embed_shared(held: pool.Pool, known: list[Any], progress: Progress, shared: sharing.Learner) -> None:
    at = 0
    try:
        while at < len(known):
            done = shared.extend(held, known[at : at + sharing.MANY], seconds=3.0, last=known[-1].id)
            at += done
            told = f"looking at every image again: {at:,}"
            progress("embedding", TRAINED_SHARE + 0.15 * at / len(known), told)
            if not done:
                time.sleep(sharing.TICK)
    finally:
        shared.end(held)
