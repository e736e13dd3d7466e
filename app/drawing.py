"""Draws the maps of the images that are asked next, as files that a publication takes along."""

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from app import overlays, pool, ranking
from app.settings import Settings
from store import gold, queue
from store.records import QueueRow

MAPS_SECONDS = 0.2  # for feature maps that a refresh still lacks; the rest is drawn once nobody waits


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Rows that name their maps, and the folder in which those wait to be put in place."""

    rows: list[QueueRow]
    waiting: Path

    def put(self, target: Path) -> None:
        if self.waiting.is_dir():
            shutil.rmtree(target, ignore_errors=True)
            self.waiting.rename(target)


def draw(held: pool.Pool, found: ranking.Ranking, settings: Settings, leased: list[int]) -> tuple[Drawn, int]:
    """Draw the maps of the leased images and of the head of the queue, as far as their feature maps are at hand.

    Returns the rows with their maps, and how many of those images still lack them."""
    waiting = overlays.folder(settings.workspace, f"new-{os.getpid()}")
    shutil.rmtree(waiting, ignore_errors=True)
    if found.directions is None or held.net is None:
        return Drawn(found.rows, waiting), 0
    held_now = set(leased)
    waited_for = [row.image_id for row in found.rows if row.image_id in held_now and row.reason != "again"]
    head = [row.image_id for row in found.rows[: settings.overlay_head] if row.reason not in queue.BLIND]
    wanted = list(dict.fromkeys(waited_for + head + [row.image_id for row in found.rows if row.reason == gold.GOLD]))
    pool.compute_maps(held, wanted[:16], seconds=MAPS_SECONDS)
    directions_KD, _ = found.directions
    beside: dict[int, dict[str, dict[str, Any]]] = {}
    for image_id in wanted:
        if image_id not in held.maps:
            continue
        features, pooling, own = held.maps[image_id]
        top, trained = found.top_classes[image_id], held.checkpoint is not None
        maps = overlays.kinds_of(features, pooling, directions_KD, top, trained=trained)
        for kind, grid in maps.items():
            overlays.write(overlays.file(waiting, image_id, kind), grid)
        beside[image_id] = {kind: {} for kind in maps} | (_draw_own(waiting, image_id, own, held) if trained else {})
    rows = [_with_maps(row, beside[row.image_id]) if row.image_id in beside else row for row in found.rows]
    return Drawn(rows, waiting), len(wanted) - len(beside)


def _with_maps(row: QueueRow, maps: dict[str, dict[str, Any]]) -> QueueRow:
    told = {kind: facts for kind, facts in maps.items() if facts}
    return dataclasses.replace(row, overlays=list(maps), beside=told)


def _draw_own(folder: Path, image_id: int, own: dict[str, Any], held: pool.Pool) -> dict[str, dict[str, Any]]:
    """Write what the attention itself has to show; returns by kind what the page says and draws beside it."""
    for kind, picture in own.items():
        overlays.write(overlays.file(folder, image_id, kind), picture.map_HW, scaled=True, erased_HW=picture.erased_HW)
    return {kind: facts(picture, held.class_ids) for kind, picture in own.items()}


def facts(picture: Any, class_ids: list[int]) -> dict[str, Any]:
    """Of an attention's picture (model/predict.py): class_id, box as shares, for each scale [class_id, probability] of
    its first class, erased (whether the file holds the erased cells, too); only what there is and what is finite."""
    told: dict[str, Any] = {}
    if picture.class_index is not None:
        told["class_id"] = class_ids[picture.class_index]
    if picture.box is not None and np.isfinite(picture.box).all() and picture.box[0] < picture.box[2]:
        told["box"] = [round(min(1.0, max(0.0, edge)), 4) for edge in picture.box]
    if picture.votes_SK is not None and np.isfinite(picture.votes_SK).all():
        first_S = picture.votes_SK.argmax(axis=1)
        told["votes"] = [
            [class_ids[k], round(float(votes_K[k]), 4)] for k, votes_K in zip(first_S, picture.votes_SK, strict=True)
        ]
    if picture.erased_HW is not None and picture.erased_HW.any():
        told["erased"] = True
    return told
