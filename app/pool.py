"""The pool as the machine holds it: the network, every image's embedding, and feature maps of the images asked next."""

import dataclasses
import hashlib
import logging
import os
import platform
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from app import agreement_model, backbones, pictures, pool_files
from app.settings import Settings
from model import checkpoint, config, last_layer, looks, predict
from model import errors as model_errors
from model.data import pixels, sources
from model.network import pretrained, raum_net
from store.records import Image, Publication

MOST_MAPS_BYTES = 300_000_000

log = logging.getLogger("raum.pool")


class Maps(NamedTuple):
    """What an image's maps are drawn from: features, pooling weights, and the attention's own pictures by kind."""

    features_DHW: NDArray[np.float16]
    pooling_HW: NDArray[np.float32]
    own: dict[str, predict.Picture]


class Pool:
    """State with a lifetime: `image_ids` ascend and are the rows of `embeddings_ND` (float32) and of `looks_NF` (see
    model/looks.py; NaN where an earlier version of the program looked)."""

    def __init__(
        self, settings: Settings, net: Any, checkpoint_name: str | None, name: str, network: Any = None
    ) -> None:
        """`net` is None where only embeddings of the `network` (its config) are left, not its weights: then no image can
        be embedded and no map drawn, but the pool is ranked as before."""
        self.settings, self.net, self.checkpoint, self.name = settings, net, checkpoint_name, name
        self.asked = checkpoint_name  # the checkpoint that is shown, also where it could not be read
        self.stands_for: int | None = None  # then: the round whose network this one replaces, and the sentence why
        self.note = ""
        self.class_ids: list[int] = []  # of the network's own head, in its order; empty while it is untrained
        self.config: config.NetworkConfig = net.config if net is not None else network
        self.cache = open_cache(settings, self.config)
        self.image_ids: NDArray[np.int64] = np.empty(0, np.int64)
        self.embeddings_ND: NDArray[np.float32] = np.empty((0, 0), np.float32)
        self.looks_NF: NDArray[np.float32] = np.empty((0, looks.KINDS), np.float32)
        self.paths: dict[int, sources.Where] = {}
        self.holdout: dict[int, int] = {}  # holdout image -> 1 calibration half, 2 test half
        self.unreadable: set[int] = set()
        self.last_id = 0  # newest image looked at
        self.complete = False  # whether the last look found nothing new
        self.maps: OrderedDict[int, Maps] = OrderedDict()
        self.images_per_s = 20.0
        self.spent = {"decoding": 0.0, "embedding": 0.0}  # seconds
        self.opinions = agreement_model.Kept()
        self.beside: Any = None  # a team (app/team.py) that embeds with this process, and that was shown the network
        self._prepared: last_layer.Prepared | None = None

    @property
    def folder(self) -> str:
        """Where the embeddings live, relative to the workspace."""
        return f"embeddings/{self.name}"

    @property
    def prepared(self) -> last_layer.Prepared:
        """The last layer's space over all embeddings, found once and again only when the pool has grown."""
        if self._prepared is None or len(self._prepared.x_NR) != len(self.image_ids):
            self._prepared = last_layer.prepare(self.embeddings_ND, rng=np.random.default_rng(self.settings.seed))
        return self._prepared

    @property
    def wants_rounds(self) -> bool:
        """Whether rounds start by themselves: not for a large backbone on a CPU, where refreshes do the learning."""
        return self.settings.backbone == config.NANO or device().type != "cpu"

    @property
    def device_text(self) -> str:
        if self.net is None:
            return f"none: the weights of {self.config.backbone} are not to be had"
        kind = next(self.net.parameters()).device.type
        scan, threads = raum_net.scan_backend(self.net), torch.get_num_threads()
        return f"{kind}, {threads} {'thread' if threads == 1 else 'threads'}" + (f"; scan {scan}" if scan else "")


def open_cache(settings: Settings, network: config.NetworkConfig) -> pixels.PixelCache:
    """The decoded pool of this workspace, in the size that this network wants."""
    return pixels.PixelCache(
        settings.workspace / "cache",
        side=network.image_size,
        max_bytes=int(settings.cache_gigabytes * 1e9),
        workers=os.cpu_count() or 1,
    )


def device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name() -> str:
    """The device's name, for figures that say how they were measured."""
    found = device()
    return torch.cuda.get_device_name(found) if found.type == "cuda" else f"CPU {platform.processor()}".strip()


def machine() -> backbones.Machine:
    """What there is to compute on, and how much of the GPU's memory is free now."""
    found, cores = device(), os.cpu_count() or 1
    if found.type != "cuda":
        return backbones.Machine("", 0.0, cores)
    return backbones.Machine(torch.cuda.get_device_name(found), torch.cuda.mem_get_info(found)[0] / 1e9, cores)


def network_config(settings: Settings, num_classes: int) -> config.NetworkConfig:
    """What the settings say of the network."""
    size, folders = settings.image_size or None, [settings.workspace / "cache"]
    found = config.for_backbone(settings.backbone, num_classes=num_classes, image_size=size, folders=folders)
    return dataclasses.replace(found, attention=settings.attention, crops=settings.crops)


def open_(
    settings: Settings, publication: Publication | None, known: Sequence[Image], earlier: Sequence[str] = ()
) -> Pool:
    """The pool of a publication (its checkpoint or untrained network, and its embeddings, whatever backbone the settings
    name by now), or of the settings' untrained network before there is one.

    A damaged checkpoint is replaced by the first of the `earlier` ones that can be read, else by the untrained network;
    the pool's note says so. `known` are the readable images of the store; rows of others are left out.
    """
    return _filled(_newest_readable(settings, publication, earlier), known)


def open_wanted(settings: Settings, known: Sequence[Image]) -> Pool:
    """The pool of the untrained network that the settings name, as far as it is embedded. Raises ModelError."""
    return _filled(_untrained(settings), known)


def _filled(pool: Pool, known: Sequence[Image]) -> Pool:
    pool_files.read(pool)
    kept_N = np.isin(pool.image_ids, np.array([image.id for image in known], np.int64))
    if not kept_N.all():  # a copy of a large pool takes as much memory again
        pool.image_ids, pool.embeddings_ND = pool.image_ids[kept_N], pool.embeddings_ND[kept_N]
        pool.looks_NF = pool.looks_NF[kept_N]
    looked_at = [image for image in known if image.id <= pool.last_id]
    pool.unreadable = set(np.setdiff1d([image.id for image in looked_at], pool.image_ids).tolist())
    remember_images(pool, looked_at)
    return pool


def _newest_readable(settings: Settings, publication: Publication | None, earlier: Sequence[str]) -> Pool:
    asked = publication.checkpoint if publication else None
    problems = []
    for name in dict.fromkeys([asked, *earlier]) if asked else []:
        try:
            loaded = checkpoint.load(settings.workspace / name)
        except model_errors.ModelError as problem:
            log.warning("%s is not taken up: %s", name, problem)
            problems.append(problem)
            continue
        pool = Pool(settings, loaded.net.to(device()), name, Path(name).stem)
        pool.class_ids = loaded.class_ids
        break
    else:
        pool = (None if asked else _as_published(settings, publication)) or _untrained(settings)
    if problems and publication is not None:
        pool.asked, pool.stands_for = asked, publication.round_id
        instead = pool.checkpoint or "the untrained network"
        pool.note = f"{problems[0]}; until the next round learning goes on from {instead}"
    return pool


def _untrained(settings: Settings) -> Pool:
    wanted = network_config(settings, 2)
    return Pool(settings, raum_net.build(wanted).to(device()), None, start_name(wanted))


def start_name(network: config.NetworkConfig) -> str:
    """Names the embeddings by an untrained network; other backbones, sizes, crops, attentions, weights have others."""
    slug = "".join(c if c.isalnum() else "-" for c in network.backbone.rsplit("/", 1)[-1]).strip("-")
    place = hashlib.sha256(network.backbone.encode()).hexdigest()[:6] if "/" in network.backbone else ""
    attention = "" if network.attention == config.REGION else network.attention
    size = f"{network.image_size}x{network.crops}" if network.crops > 1 else str(network.image_size)
    parts = ("start", slug, place, size, attention, pretrained.mark(network))
    return "-".join(part for part in parts if part)


def _as_published(settings: Settings, publication: Publication | None) -> Pool | None:
    """The untrained network that a publication shows, or its embeddings alone where the weights are not to be had."""
    network = pool_files.network_of(settings.workspace, publication)
    if network is None or publication is None:
        return None
    if found := pretrained.find(network.backbone, [settings.workspace / "cache"]):
        network = dataclasses.replace(network, weights=str(found))
    name, why = Path(publication.embeddings or "").name, "the program has others by now"
    try:
        if start_name(network) == name:
            return Pool(settings, raum_net.build(network).to(device()), None, name)
    except model_errors.ModelError as problem:
        why = str(problem)
    pool = Pool(settings, None, None, name, network)
    pool.note = f"the weights of {network.backbone} are not to be had ({why}): no maps, and new images have to wait"
    return pool


def remember_images(pool: Pool, images: Iterable[Image]) -> None:
    """Where the images lie and which of them are held out."""
    for image in images:
        pool.paths[image.id] = pictures.source(image, pool.settings.workspace)
        if image.holdout:
            pool.holdout[image.id] = image.holdout


def extend(pool: Pool, images: Sequence[Image], *, seconds: float) -> int:
    """Embed as many of `images` (ascending ids) as fit into `seconds`, at least a few; returns how many were looked at."""
    chosen = images[: max(8, int(pool.images_per_s * seconds))]
    began = time.monotonic()
    kept, decoded = _extend(pool, chosen)
    pool.unreadable.update({image.id for image in chosen} - {image.id for image in kept})
    remember_images(pool, chosen)
    pool.last_id = chosen[-1].id
    ended = time.monotonic()
    pool.spent["decoding"] += decoded - began
    pool.spent["embedding"] += ended - decoded
    pool.images_per_s = len(chosen) / max(1e-3, ended - began)
    return len(chosen)


def _extend(pool: Pool, chosen: Sequence[Image]) -> tuple[list[Image], float]:
    """Embed these; returns those that could be read, and when they had been decoded (of several processes: the start)."""
    began = time.monotonic()
    if pool.beside is not None:
        positions, found_ND, looks_NF = pool.beside.embed(pool.net, pool.cache, chosen, pool.settings.workspace)
        if positions:
            add(pool, [chosen[position].id for position in positions], found_ND, looks_NF)
        return [chosen[position] for position in positions], began
    batch = pool.cache.read(
        [image.id for image in chosen], [pictures.source(image, pool.settings.workspace) for image in chosen]
    )
    kept, decoded = [chosen[int(position)] for position in batch.positions_N], time.monotonic()
    if kept:
        found = predict.embed(pool.net, batch.images_NHWC)
        add(pool, [image.id for image in kept], found.embeddings_ND, looks.of(batch.images_NHWC))
    return kept, decoded


def add(
    pool: Pool, ids: Sequence[int], embeddings_ND: NDArray[np.float32], looks_NF: NDArray[np.float32] | None = None
) -> None:
    """Append rows; ids must be newer than all that are there."""
    told_NF = np.full((len(ids), looks.KINDS), np.nan, np.float32) if looks_NF is None else looks_NF
    pool.looks_NF = np.concatenate([pool.looks_NF, told_NF])
    pool.image_ids = np.concatenate([pool.image_ids, np.asarray(ids, np.int64)])
    old = pool.embeddings_ND if len(pool.embeddings_ND) else np.empty((0, embeddings_ND.shape[1]), np.float32)
    pool.embeddings_ND = np.concatenate([old, embeddings_ND.astype(np.float32)])
    pool.last_id = max(pool.last_id, int(pool.image_ids[-1]) if len(pool.image_ids) else 0)


def compute_maps(pool: Pool, wanted: Iterable[int], *, seconds: float) -> int:
    """Feature maps of the `wanted` images, within `seconds` (at least one batch); returns how many are still missing."""
    if pool.net is None:
        return 0
    missing = [image_id for image_id in wanted if image_id not in pool.maps and image_id in pool.paths]
    began = time.monotonic()
    while missing:
        part, missing = missing[:8], missing[8:]
        batch = pool.cache.read(part, [pool.paths[image_id] for image_id in part])
        if len(batch.positions_N):
            found = predict.embed(pool.net, batch.images_NHWC, keep_features=True, whole=True)
            remember_maps(pool, [part[int(position)] for position in batch.positions_N], found)
        if time.monotonic() - began > seconds:
            break
    return len(missing)


def remember_maps(pool: Pool, ids: Sequence[int], found: Any) -> None:
    """Keep feature maps for drawing; the least recently used go when there are too many."""
    for row, image_id in enumerate(ids):
        pool.maps[image_id] = Maps(found.features_NDHW[row], found.attention_NHW[row], found.own_N[row])
        pool.maps.move_to_end(image_id)
    each = _bytes(next(iter(pool.maps.values()))) if pool.maps else 1
    while len(pool.maps) * each > MOST_MAPS_BYTES:
        pool.maps.popitem(last=False)


def _bytes(maps: Maps) -> int:
    arrays: list[Any] = [maps.features_DHW, maps.pooling_HW]
    for picture in maps.own.values():
        arrays += [picture.map_HW, picture.votes_SK, picture.erased_HW]
    return sum(array.nbytes for array in arrays if array is not None)
