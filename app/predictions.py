"""What the model says of every image of the pool, one folder a publication: written beside and renamed, the newest kept.

`predictions/<publication>/` holds image_ids.npy (int64, ascending), top_class.npy (int32, a class id), confidence.npy
(float32, calibrated probability of that class), out_of_class.npy (float32, probability that no class fits), bad_image.npy
(float32, probability of being rejected as a bad picture; not in files of old) and meta.json; 24 bytes an image. Who
measures a publication leaves finish.json beside them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import errors

KEPT = 3  # newest publications; beside them the newest one that has been measured
ARRAYS = {"image_ids": np.int64, "top_class": np.int32, "confidence": np.float32, "out_of_class": np.float32}
BAD = "bad_image.npy"
MEASURED = "finish.json"


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Parallel arrays over all images that are embedded, holdout and labelled ones included; ids ascend.

    `meta`: publication, kind, watermark, labels, class_ids, temperature, checkpoint, embeddings, created_at.
    """

    image_ids_N: NDArray[np.int64]
    top_class_N: NDArray[np.int32]
    confidence_N: NDArray[np.float32]
    out_of_class_N: NDArray[np.float32]
    meta: dict[str, Any]
    bad_image_N: NDArray[np.float32] | None = None  # nothing is known of it

    @property
    def score_N(self) -> NDArray[np.float32]:
        """How safe the top class is, 0..1: its probability, less where no class may fit or the picture be bad."""
        return safe(self.confidence_N, self.out_of_class_N, self.bad_image_N)


def safe(
    confidence_N: NDArray[np.float32], out_N: NDArray[np.float32], bad_N: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Probability that an image is usable and of its top class."""
    score_N = np.asarray(confidence_N * (1.0 - out_N), dtype=np.float32)
    return score_N if bad_N is None else np.asarray(score_N * (1.0 - bad_N), dtype=np.float32)


def folder(workspace: Path, publication: int) -> Path:
    """Where a publication's predictions lie."""
    return workspace / "predictions" / str(publication)


def write(workspace: Path, publication: int, found: Predictions) -> None:
    """Write a publication's predictions, whole or not at all, and forget old ones."""
    target = folder(workspace, publication)
    beside = target.with_name(f"new-{os.getpid()}")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    arrays = (found.image_ids_N, found.top_class_N, found.confidence_N, found.out_of_class_N)
    for (name, kind), array_N in zip(ARRAYS.items(), arrays, strict=True):
        np.save(beside / f"{name}.npy", np.asarray(array_N, dtype=kind))
    if found.bad_image_N is not None:
        np.save(beside / BAD, found.bad_image_N.astype(np.float32))
    meta = {**found.meta, "publication": publication}
    (beside / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    beside.rename(target)
    prune(workspace)


def load(workspace: Path, publication: int) -> Predictions:
    """Read a publication's predictions. NotFound when there are none; BadRequest naming what does not fit."""
    place = folder(workspace, publication)
    try:
        meta = json.loads((place / "meta.json").read_text(encoding="utf-8"))
        arrays = [np.load(place / f"{name}.npy", allow_pickle=False) for name in ARRAYS]
        bad_N = np.load(place / BAD, allow_pickle=False) if (place / BAD).exists() else None
    except FileNotFoundError as problem:
        raise errors.NotFound(f"publication {publication} has no predictions; wait for the next refresh") from problem
    except (ValueError, EOFError, OSError) as problem:
        raise errors.BadRequest(
            f"{place} cannot be read ({problem}); remove it and wait for the next refresh"
        ) from None
    _check(place, arrays, meta)
    if bad_N is not None and not (
        bad_N.dtype == np.float32 and bad_N.shape == arrays[0].shape and np.isfinite(bad_N).all()
    ):
        raise errors.BadRequest(f"{place / BAD} does not fit the images beside it; remove the folder")
    ids_N, top_N, confidence_N, out_N = arrays
    return Predictions(ids_N, top_N, confidence_N, out_N, meta, bad_N)


def published(workspace: Path) -> list[int]:
    """Publications with predictions, newest first."""
    names = [each.name for each in (workspace / "predictions").glob("[0-9]*") if each.name.isdigit()]
    return sorted(map(int, names), reverse=True)


def newest(workspace: Path) -> Predictions | None:
    """The predictions of the newest publication that left some, None before the first."""
    for publication in published(workspace):
        try:
            return load(workspace, publication)
        except errors.NotFound:  # pruned in between
            continue
    return None


def keep_measured(workspace: Path, publication: int, told: dict[str, Any]) -> bool:
    """Leave what was measured beside a publication's predictions; False when those are gone already."""
    place = folder(workspace, publication)
    if not place.is_dir():
        return False
    beside = place / f"{MEASURED}.{os.getpid()}"
    beside.write_text(json.dumps(told, allow_nan=False), encoding="utf-8")
    os.replace(beside, place / MEASURED)
    return True


def measured(workspace: Path) -> dict[str, Any] | None:
    """What was measured of the newest publication that was, None before the first."""
    for publication in published(workspace):
        try:
            told = json.loads((folder(workspace, publication) / MEASURED).read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            continue
        if isinstance(told, dict):
            return told
    return None


def in_use(workspace: Path, most: int = 1) -> list[int]:
    """The `most` newest publications with predictions, and the newest measured one."""
    every = published(workspace)
    with_measure = [each for each in every if (folder(workspace, each) / MEASURED).is_file()]
    return list(dict.fromkeys(every[:most] + with_measure[:1]))


def prune(workspace: Path) -> None:
    """Forget all but the newest publications' predictions and the newest measured ones."""
    for publication in set(published(workspace)) - set(in_use(workspace, KEPT)):
        shutil.rmtree(folder(workspace, publication), ignore_errors=True)


def _check(place: Path, arrays: list[NDArray[Any]], meta: Any) -> None:
    for array_N, (name, kind) in zip(arrays, ARRAYS.items(), strict=True):
        if array_N.dtype != kind or array_N.shape != (len(arrays[0]),):
            raise errors.BadRequest(
                f"{place / name}.npy holds {array_N.dtype} of shape {array_N.shape}, needed is {np.dtype(kind)} "
                f"of shape ({len(arrays[0])},); remove the folder and wait for the next refresh"
            )
    if not isinstance(meta, dict) or "class_ids" not in meta:
        raise errors.BadRequest(f"{place / 'meta.json'} names no class_ids; remove the folder")
    if (np.diff(arrays[0]) <= 0).any():
        raise errors.BadRequest(f"{place}: image ids must ascend")
    if not (np.isfinite(arrays[2]).all() and np.isfinite(arrays[3]).all()):
        raise errors.BadRequest(f"{place} holds confidences that are not finite; remove it")
