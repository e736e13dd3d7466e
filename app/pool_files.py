"""The embeddings of a pool on disk: written beside their place and renamed into it, read back only where they fit."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from app.settings import Settings
from model import config, looks
from model import errors as model_errors
from store.records import Publication

log = logging.getLogger("raum.pool")


class Held(Protocol):
    """What of app/pool.py's Pool is kept: rows of embeddings by ascending image id, and whose they are."""

    settings: Settings
    config: config.NetworkConfig
    checkpoint: str | None
    image_ids: NDArray[np.int64]
    embeddings_ND: NDArray[np.float32]
    looks_NF: NDArray[np.float32]
    last_id: int

    @property
    def folder(self) -> str: ...


def save(pool: Held) -> None:
    """Write the embeddings beside their place and rename them into it."""
    target = pool.settings.workspace / pool.folder
    beside = target.with_name(target.name + ".tmp")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    np.save(beside / "image_ids.npy", pool.image_ids)
    np.save(beside / "embeddings.npy", pool.embeddings_ND.astype(np.float16))
    np.save(beside / "looks.npy", pool.looks_NF)
    meta = {"network": config.to_dict(pool.config), "checkpoint": pool.checkpoint, "last_id": pool.last_id}
    (beside / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
    before = target.with_name(target.name + ".old.tmp")
    shutil.rmtree(before, ignore_errors=True)
    if target.exists():  # out of the way at once: what is killed while it is removed leaves the new ones in place
        target.rename(before)
    beside.rename(target)
    shutil.rmtree(before, ignore_errors=True)


def read(pool: Held) -> None:
    """Take up saved embeddings, unless they are another network's or damaged: then every image is looked at again."""
    folder = pool.settings.workspace / pool.folder
    network = json.loads(json.dumps(config.to_dict(pool.config)))
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        if (meta["network"], meta["checkpoint"]) != (network, pool.checkpoint):
            return
        ids_N = np.load(folder / "image_ids.npy", allow_pickle=False)
        embeddings_ND = np.load(folder / "embeddings.npy", allow_pickle=False).astype(np.float32)
        last_id = int(meta["last_id"])
        _check(ids_N, embeddings_ND)
        looks_NF = _looks(folder, len(ids_N))
    except FileNotFoundError:
        return
    except (OSError, EOFError, ValueError, KeyError, TypeError) as problem:
        log.warning("%s is damaged (%s): the images are looked at again", folder, problem)
        return
    pool.image_ids, pool.embeddings_ND, pool.looks_NF, pool.last_id = ids_N, embeddings_ND, looks_NF, last_id


def _check(ids_N: NDArray[Any], embeddings_ND: NDArray[Any]) -> None:
    if ids_N.dtype != np.int64 or ids_N.ndim != 1 or embeddings_ND.ndim != 2 or len(ids_N) != len(embeddings_ND):
        raise ValueError(f"{ids_N.shape} ids of {ids_N.dtype} for embeddings of shape {embeddings_ND.shape}")
    if (np.diff(ids_N) <= 0).any() or not np.isfinite(embeddings_ND).all():
        raise ValueError("ids that do not ascend, or embeddings that are not finite")


def _looks(folder: Path, rows: int) -> NDArray[np.float32]:
    """What the pictures look like; NaN where that was saved before there was such a file."""
    if not (folder / "looks.npy").exists():
        return np.full((rows, looks.KINDS), np.nan, np.float32)
    found_NF: NDArray[np.float32] = np.load(folder / "looks.npy", allow_pickle=False)
    if found_NF.dtype != np.float32 or found_NF.shape != (rows, looks.KINDS):
        raise ValueError(f"looks of shape {found_NF.shape} for {rows} images")
    return found_NF


def network_of(workspace: Path, publication: Publication | None) -> config.NetworkConfig | None:
    """The network whose embeddings a publication was ranked on; None where they do not tell."""
    if publication is None or not publication.embeddings:
        return None
    try:
        meta = json.loads((workspace / publication.embeddings / "meta.json").read_text(encoding="utf-8"))
        return config.from_dict(meta["network"])
    except (OSError, ValueError, KeyError, TypeError, model_errors.ModelError):
        return None
