"""What `bench select` measures on: made-up clustered embeddings and the project's own last layer fitted on a few labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model import chunks, last_layer, streamed

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

SPREAD = 2.5  # of images around the centre of their class, in every dimension, centres being at one
LABELS_PER_CLASS = 2


@dataclass
class Arrays:
    """A pool of N images, the labelled ones, and the mean posterior of the pool in half precision."""

    embeddings_ND: Floats
    labelled_LD: Floats
    labels_L: Ints
    log_probs_NSK: NDArray[np.float16]  # S is one

    @property
    def classes(self) -> int:
        return int(self.labels_L[-1]) + 1

    def layer(self) -> last_layer.LastLayer:
        """The last layer that gave the mean posterior; fitted anew, as it takes a second."""
        return fit(self.labelled_LD, self.labels_L)


@dataclass
class Drawn:
    """Posterior draws by position, and of how many images they were asked."""

    draws: streamed.Streamed
    images: int = 0

    def __call__(self, rows: slice | Ints) -> Floats:
        found = np.asarray(self.draws[rows])
        self.images += len(found)
        return found


def make(folder: Path, size: int, *, dim: int, classes: int) -> None:
    """embeddings.npy, labelled.npy, labels.npy and log_probs.npy of a pool of `size` images."""
    rng = np.random.default_rng(0)
    centres_KD = rng.standard_normal((classes, dim), dtype=np.float32)
    truth_N, labels_L = rng.integers(classes, size=size), np.arange(classes).repeat(LABELS_PER_CLASS)
    labelled_LD = centres_KD[labels_L] + SPREAD * rng.standard_normal((len(labels_L), dim), dtype=np.float32)
    embeddings_ND = rng.standard_normal((size, dim), dtype=np.float32)
    embeddings_ND *= SPREAD
    log_probs_NSK, layer = np.empty((size, 1, classes), dtype=np.float16), fit(labelled_LD, labels_L)

    def work(rows: slice) -> None:
        embeddings_ND[rows] += centres_KD[truth_N[rows]]
        log_probs_NSK[rows, 0] = layer.log_probs(embeddings_ND[rows])

    chunks.each(work, size, dim)
    np.save(folder / "embeddings.npy", embeddings_ND)
    np.save(folder / "labelled.npy", labelled_LD)
    np.save(folder / "labels.npy", labels_L)
    np.save(folder / "log_probs.npy", log_probs_NSK)


def load(folder: Path) -> Arrays:
    """What `make` wrote."""
    names = ("embeddings", "labelled", "labels", "log_probs")
    return Arrays(*(np.load(folder / f"{name}.npy", allow_pickle=False) for name in names))


def fit(labelled_LD: Floats, labels_L: Ints) -> last_layer.LastLayer:
    """The project's last layer on labels alone."""
    return last_layer.fit(
        labelled_LD,
        np.arange(len(labels_L)),
        labels_L,
        int(labels_L[-1]) + 1,
        config=last_layer.Config(self_training=False),
        rng=np.random.default_rng(0),
    )


def drawn(layer: last_layer.LastLayer, embeddings_ND: Floats, draws: int, rng: np.random.Generator) -> Drawn:
    """Draws of the pool, projected and drawn where they are read."""
    draw = layer.sampler(draws, rng)
    shape = (len(embeddings_ND), draws, layer.num_classes)
    return Drawn(streamed.Streamed(lambda rows: draw(layer.space.project(embeddings_ND[rows])), shape))
