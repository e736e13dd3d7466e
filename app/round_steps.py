"""The long steps of a round: decode and train, then look at every image again."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from app import pictures, pool, snapshot
from app.settings import Settings
from model import config, looks, predict, train
from model.network import raum_net

Progress = Callable[[str, float, str], None]  # phase, fraction of the round, message
MOST_UNLABELLED = 6_000  # pool images that one round learns from
NOWHERE = (math.nan,) * 4  # the evidence region of an image for which nobody drew one
TRAINED_SHARE = 0.8  # of a round's progress bar


def train_on(
    settings: Settings,
    network: config.NetworkConfig,
    known: list[Any],
    seen: snapshot.Snapshot,
    rng: np.random.Generator,
    seed: int,
    progress: Progress,
    threads: Callable[[], int] | None,
    stop: Callable[[], bool] | None,
) -> tuple[train.TrainReport, Any]:
    progress("reading", 0.0, "decoding the images")
    cache = pool.open_cache(settings, network)
    paths = {image.id: pictures.source(image, settings.workspace) for image in known}
    chosen = [image_id for image_id in seen.labelled if image_id in paths]
    labelled = cache.read(chosen, [paths[image_id] for image_id in chosen])
    labels_N = np.array([seen.labelled[chosen[int(at)]] for at in labelled.positions_N], np.int64)
    apart = seen.settled | seen.holdout.keys()
    others = [image.id for image in known if image.id not in apart]
    if len(others) > MOST_UNLABELLED:
        others = sorted(rng.choice(np.array(others), MOST_UNLABELLED, replace=False).tolist())
    unlabelled = cache.read(others, [paths[image_id] for image_id in others])
    net = raum_net.build(network).to(pool.device())
    report = train.train(
        net,
        labelled_images=labelled.images_NHWC,
        labels_N=labels_N,
        unlabelled_images=unlabelled.images_NHWC,
        targets_NK=seen.targets([chosen[int(at)] for at in labelled.positions_N]),
        regions_N4=np.array([seen.regions.get(chosen[int(at)], NOWHERE) for at in labelled.positions_N], np.float32),
        config=config.training(
            network,
            on_cpu=pool.device().type == "cpu",
            steps=settings.steps,
            method=settings.method,
            occlusion_rate=settings.occlusion_rate,
            seed=seed,
        ),
        progress=lambda fraction, text: progress("training", TRAINED_SHARE * fraction, text),
        threads=threads,
        stop=stop,
    )
    return report, net


def embed_all(held: pool.Pool, known: list[Any], progress: Progress) -> None:
    step = 256
    for at in range(0, len(known), step):
        part = known[at : at + step]
        batch = held.cache.read(
            [image.id for image in part], [pictures.source(image, held.settings.workspace) for image in part]
        )
        kept = [part[int(position)] for position in batch.positions_N]
        if kept:
            found = predict.embed(held.net, batch.images_NHWC)
            pool.add(held, [image.id for image in kept], found.embeddings_ND, looks.of(batch.images_NHWC))
        pool.remember_images(held, part)
        held.last_id = part[-1].id
        done = min(1.0, (at + step) / len(known))
        progress("embedding", TRAINED_SHARE + 0.15 * done, f"looking at every image again: {at + len(part):,}")
