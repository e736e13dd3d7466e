"""Dreamed pictures for `pretrain`: made once from the teacher and what it is shown, kept beside the run, and continued."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from app import errors
from model import checkpoint, config, dreams
from model.data import augment
from model.network import hf_backbone

BATCH = 48  # dreamt together: the norms are met by a batch, not by one picture
_KEEP = 4  # batches between two writings of the file
_PIECE = augment.Strength(crop=0.35, stretch=4 / 3)

Progress = Callable[[float, str], None]
Pictures = NDArray[np.uint8]


def dreamed(
    count: int, *, teacher: str, starts: Pictures, classes: int, seed: int, kept: Path, progress: Progress
) -> Pictures:
    """`count` pictures, uint8 (N, SIDE, SIDE, 3), from pieces of `starts`.

    classes: only the teacher's first so many are dreamt of; 0 is all. `kept` holds what was made so far; it is taken
    over where it was made the same way, and made longer where it is too short.
    """
    made_by = json.dumps({"teacher": Path(teacher).name, "classes": classes, "seed": seed, "stages": dreams.STAGES})
    images = _read(kept, made_by)
    dreamer = None
    while len(images) < count:
        if dreamer is None:
            network = config.for_backbone(teacher, num_classes=1)
            classifier = hf_backbone.load_classifier(teacher.removeprefix(config.HF_PREFIX))
            dreamer = dreams.Dreamer(classifier, mean=network.mean, std=network.std)
            classes = classes or int(classifier.config.num_labels)
        progress(0.0, f"dreaming {len(images):,} of {count:,} pictures")
        number = len(images) // BATCH
        generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
        wanted_B = torch.randint(classes, (BATCH,), generator=generator)
        images = np.concatenate([images, dreamer(_pieces(starts, generator), wanted_B, generator)])
        if number % _KEEP == _KEEP - 1 or len(images) >= count:
            _write(kept, images, made_by)
    return images[:count]


def _pieces(starts: Pictures, generator: torch.Generator) -> Pictures:
    """A batch of random pieces, (BATCH, SIDE, SIDE, 3), with half their contrast: what is dreamt is to stand out."""
    places = torch.rand(BATCH, generator=generator, dtype=torch.float64).tolist()
    chosen = torch.from_numpy(np.stack([starts[int(place * len(starts))] for place in places]))
    cut_BCHW = augment.cut(chosen, _PIECE, size=dreams.SIDE, generator=generator)
    middle_B311 = 0.5 * (cut_BCHW.mean((1, 2, 3), keepdim=True) + 0.5)
    soft_BCHW = middle_B311 + 0.5 * (cut_BCHW - cut_BCHW.mean((2, 3), keepdim=True))
    return np.asarray(soft_BCHW.clamp_(0, 1).mul_(255).to(torch.uint8).permute(0, 2, 3, 1))


def _read(kept: Path, made_by: str) -> Pictures:
    if not kept.is_file():
        return np.empty((0, dreams.SIDE, dreams.SIDE, 3), np.uint8)
    try:
        with np.load(kept, allow_pickle=False) as held:
            told, images = str(held["made_by"]), held["images"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as problem:
        raise errors.BadRequest(f"cannot read the dreamed pictures {kept}: {problem}; delete the file") from problem
    if told != made_by:
        raise errors.BadRequest(f"{kept} was made as {told}, not {made_by}; delete the file to make it anew")
    return np.asarray(images, np.uint8)


def _write(kept: Path, images: Pictures, made_by: str) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, images=images, made_by=np.array(made_by))
    kept.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.write(kept, buffer.getvalue())
