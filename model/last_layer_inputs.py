"""What the last layer is told, checked: BadInput names what does not fit."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model import errors
from model.last_layer_training import Doubles, Ints


def given(embeddings_ND: npt.ArrayLike | None) -> npt.ArrayLike:
    """The embeddings, which are needed where nothing was prepared."""
    if embeddings_ND is None:
        raise errors.BadInput("fit needs embeddings_ND or prepared")
    return embeddings_ND


def checked(positions: npt.ArrayLike, labels: npt.ArrayLike, rows: int, num_classes: int) -> tuple[Ints, Ints]:
    """Positions and labels, one of each for every labelled row."""
    at, classes = np.asarray(positions, dtype=np.int64), np.asarray(labels, dtype=np.int64)
    if at.shape != classes.shape or at.ndim != 1:
        raise errors.BadInput(f"{at.shape} labelled positions do not fit {classes.shape} labels")
    if ((at < 0) | (at >= rows)).any():
        raise errors.BadInput(f"labelled positions run from {at.min()} to {at.max()}, embeddings from 0 to {rows - 1}")
    if len(np.unique(at)) != len(at):
        raise errors.BadInput("a labelled position is given twice; settle it to one label first")
    if ((classes < 0) | (classes >= num_classes)).any():
        raise errors.BadInput(
            f"labels run from {classes.min()} to {classes.max()}, classes from 0 to {num_classes - 1}"
        )
    return at, classes


def targets(labels: Ints, targets_LK: npt.ArrayLike | None, num_classes: int) -> Doubles:
    """One-hot labels, or the soft ones with nothing left on classes that are no row's likeliest -> (L, classes)."""
    if targets_LK is None:
        return np.asarray(np.eye(num_classes)[labels])
    told_LK = np.array(targets_LK, dtype=np.float64)
    if told_LK.shape != (len(labels), num_classes):
        raise errors.BadInput(f"targets_LK has shape {told_LK.shape}, needed is {(len(labels), num_classes)}")
    if not (np.isfinite(told_LK).all() and (told_LK >= 0).all() and np.allclose(told_LK.sum(axis=1), 1.0, atol=1e-3)):
        raise errors.BadInput("each row of targets_LK must be probabilities that sum to one")
    if (told_LK[np.arange(len(labels)), labels] < told_LK.max(axis=1, initial=0.0)).any():
        raise errors.BadInput("labels must be the largest of targets_LK in each row")
    told_LK[:, np.setdiff1d(np.arange(num_classes), labels)] = 0.0
    return np.asarray(told_LK / told_LK.sum(axis=1, keepdims=True))
