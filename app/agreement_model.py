"""What the model thinks of labelled images without their own labels: K-fold fits, kept from refresh to refresh."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from app.snapshot import Snapshot
from model import consensus_trust, last_layer

Ints = NDArray[np.int64]
Floats = NDArray[np.floating]
FOLDS = 5
STALE = 0.05  # of the labels: with more new or changed ones the fits are made again


@dataclasses.dataclass(frozen=True)
class Model:
    """Out-of-sample log-probabilities of the labelled rows, those of other rows, and the holdout's verdict."""

    labelled: dict[int, int]  # image -> row of log_probs_LK
    log_probs_LK: Floats
    layer: last_layer.LastLayer
    trust: consensus_trust.ModelTrust


@dataclasses.dataclass(frozen=True)
class _Fits:
    """`layer` is of all labels; `out_LK` says of each image what the fit without its fold thinks."""

    prepared: last_layer.Prepared
    class_ids: list[int]
    labels: dict[int, int]  # image -> class index, in the order of out_LK
    out_LK: Floats
    layer: last_layer.LastLayer


@dataclasses.dataclass
class Kept:
    """The newest fits; lives as long as the pool's embeddings are in memory."""

    fits: _Fits | None = None


def model(
    seen: Snapshot,
    image_ids: Ints,
    prepared: last_layer.Prepared,
    *,
    kept: Kept | None = None,
    rng: np.random.Generator,
) -> Model:
    """Fits of the last layer on the labelled embeddings in which no image's own label speaks for it.

    Those in `kept` serve again while at most STALE of the labels are new or changed, of the same classes and in the same
    space. A new image is judged by the fit on all of them, a changed one by its fold's: neither has seen what is said now.
    """
    row_of = {int(image_id): row for row, image_id in enumerate(image_ids)}
    labels = {image_id: at for image_id, at in seen.labelled.items() if image_id in row_of}
    fits = kept.fits if kept else None
    if fits is None or _stale(fits, labels, seen.class_ids, prepared):
        fits = _fit(labels, seen.class_ids, prepared, row_of, rng)
    if kept is not None:
        kept.fits = fits
    position = {image_id: at for at, image_id in enumerate(fits.labels)}
    new = [image_id for image_id in labels if image_id not in position]
    new_NK = fits.layer.log_probs_at(prepared.x_NR[[row_of[i] for i in new]])
    position |= {image_id: len(fits.out_LK) + at for at, image_id in enumerate(new)}
    half = [i for i in seen.holdout_labels if i in row_of and seen.holdout[i] == 1]
    held_NK = fits.layer.log_probs_at(prepared.x_NR[[row_of[i] for i in half]])
    trust = consensus_trust.measure(held_NK, np.array([seen.holdout_labels[i] for i in half], np.int64))
    out_LK = np.concatenate([fits.out_LK, new_NK])[[position[image_id] for image_id in labels]]
    return Model({image_id: at for at, image_id in enumerate(labels)}, out_LK, fits.layer, trust)


def _stale(fits: _Fits, labels: dict[int, int], class_ids: list[int], prepared: last_layer.Prepared) -> bool:
    if fits.prepared is not prepared or fits.class_ids != class_ids:
        return True
    if set(fits.labels.values()) != set(labels.values()):
        return True
    return len(fits.labels.items() ^ labels.items()) > STALE * len(fits.labels)


def _fit(
    labels: dict[int, int],
    class_ids: list[int],
    prepared: last_layer.Prepared,
    row_of: dict[int, int],
    rng: np.random.Generator,
) -> _Fits:
    x_LR = prepared.x_NR[[row_of[image_id] for image_id in labels]]
    labels_L, local = np.array(list(labels.values()), np.int64), last_layer.Prepared(prepared.space, x_LR)

    def fitted(taught: Ints, outside: Ints) -> last_layer.LastLayer:
        return last_layer.fit(
            None, taught, labels_L[taught], len(class_ids), config=last_layer.Config(self_training=False), rng=rng,
            excluded_positions=outside, prepared=local,
        )  # fmt: skip

    fold_L = rng.permutation(len(labels)) % FOLDS
    out_LK = np.full((len(labels), len(class_ids)), -np.log(len(class_ids)), dtype=np.float32)
    for fold in range(FOLDS):
        held, taught = np.flatnonzero(fold_L == fold), np.flatnonzero(fold_L != fold)
        if len(held) and len(taught):
            out_LK[held] = fitted(taught, held).log_probs_at(x_LR[held])
    layer = fitted(np.arange(len(labels)), np.empty(0, np.int64))
    return _Fits(prepared, list(class_ids), labels, out_LK, layer)
