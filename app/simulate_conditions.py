"""What makes labelling hard, put into a pool by seed: wrong answers, a long tail, out-of-class images, duplicates."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from app import errors, simulate_data

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]

OUTSIDE = -2  # the truth of an image of a class that is not to be learnt
REJECTED = -1  # what the oracle says of it, and of an unusable one
JITTER = 0.01  # of a copy's embedding, in units of each dimension's standard deviation over the pool
OUTSIDE_CLASSES = 1 / 3  # of all classes, at least
MOST = 0.9


@dataclasses.dataclass(frozen=True)
class Conditions:
    """Each is off at its default.

    noise: share of the pool's in-class images of which the oracle names a wrong class, uniformly one of the others.
    tail: the largest class of the pool has this many times the images of the smallest, falling geometrically.
    out_of_class: share of the pool that belongs to none of the classes; the oracle rejects it.
    duplicates: share of the pool that copies other images of it.
    """

    noise: float = 0.0
    tail: float = 1.0
    out_of_class: float = 0.0
    duplicates: float = 0.0

    @property
    def name(self) -> str:
        parts = [
            f"tail {self.tail:g}" if self.tail > 1 else "",
            f"{self.out_of_class:.0%} out-of-class" if self.out_of_class else "",
            f"{self.duplicates:.0%} duplicates" if self.duplicates else "",
            f"{self.noise:.0%} noise" if self.noise else "",
        ]
        return ", ".join(filter(None, parts)) or "balanced"


BALANCED = Conditions()
GRID = (
    BALANCED,
    Conditions(tail=10.0),
    Conditions(out_of_class=0.3),
    Conditions(duplicates=0.3),
    Conditions(noise=0.1),
    Conditions(noise=0.2),
)
GRID_WITH_ROUNDS = (GRID[0], GRID[2])


@dataclasses.dataclass(frozen=True)
class World:
    """What all arms of one seed share: P pool rows, T test images, K classes.

    images_P: positions in the material, a copy's is its original's. truth_P: class index, UNUSABLE or OUTSIDE.
    said_P: what the oracle answers, a class index or REJECTED. The test holds images of the K classes alone.
    """

    class_names: list[str]
    images_P: Ints
    truth_P: Ints
    said_P: Ints
    copies_P: NDArray[np.bool_]
    test_T: Ints
    test_labels_T: Ints
    seed: int

    def pool_of(self, embeddings_ND: Floats, *, jitter: bool = True) -> Floats:
        """The pool's rows of the material's embeddings; copies lie a hundredth of the pool's spread beside originals."""
        rows_PD = embeddings_ND[self.images_P]
        if not jitter or not self.copies_P.any():
            return rows_PD
        noise = _rng(self.seed, 4).standard_normal((int(self.copies_P.sum()), rows_PD.shape[1]))
        rows_PD[self.copies_P] += (JITTER * rows_PD.std(axis=0) * noise).astype(rows_PD.dtype)
        return rows_PD


def build(material: simulate_data.Material, conditions: Conditions, seed: int) -> World:
    """The pool and test of one seed under `conditions`; the same for every strategy and classifier."""
    checked(conditions)
    pool, test = material.split(seed)
    inside, images, outside = _choose(material, pool, conditions, seed)
    index = np.full(len(material.class_names), OUTSIDE)
    index[inside] = np.arange(len(inside))
    images = np.sort(np.concatenate([images, outside]))
    images, copies_P = _with_copies(images, conditions.duplicates, _rng(seed, 2))
    truth_P = _indexed(material.labels_N[images], index)
    test_labels_T = _indexed(material.labels_N[test], index)
    kept = test_labels_T >= 0
    said_P = _answers(truth_P, len(inside), conditions.noise, _rng(seed, 3))
    names = [material.class_names[k] for k in inside]
    return World(names, images, truth_P, said_P, copies_P, test[kept], test_labels_T[kept], seed)


def checked(conditions: Conditions) -> None:
    """BadRequest names what cannot be."""
    for name in ("noise", "out_of_class", "duplicates"):
        share = getattr(conditions, name)
        if not 0 <= share <= MOST:
            raise errors.BadRequest(f"{name.replace('_', '-')} is a share between 0 and {MOST}, not {share}")
    if conditions.tail < 1:
        raise errors.BadRequest(
            f"tail says how many times larger the largest class is: 1 or more, not {conditions.tail}"
        )


def _rng(seed: int, step: int) -> np.random.Generator:
    return np.random.default_rng([0xC0D1, seed, step])


def _choose(material: simulate_data.Material, pool: Ints, conditions: Conditions, seed: int) -> tuple[Ints, Ints, Ints]:
    """(classes to learn, their images after the tail with the unusable ones, images of no class)."""
    labels_N, classes = material.labels_N, len(material.class_names)
    share, order = conditions.out_of_class, _rng(seed, 0).permutation(classes)
    fewest = max(1, round(OUTSIDE_CLASSES * classes)) if share else 0
    for left_out in range(fewest, classes - 1):
        outside = np.isin(labels_N[pool], order[:left_out])
        kept = _thinned(pool[~outside], labels_N, conditions.tail, _rng(seed, 1))
        wanted, others = round(share / (1 - share) * len(kept)), pool[outside]
        if len(others) >= wanted:
            taken = _rng(seed, 5).permutation(others)[:wanted]
            return np.sort(order[left_out:]), kept, taken
    raise errors.BadRequest(f"{classes} classes are too few to take {share:.0%} of the pool from others")


def _thinned(pool: Ints, labels_N: Ints, tail: float, rng: np.random.Generator) -> Ints:
    """As many images as can be so that class counts fall geometrically to 1 / tail; large classes head, ties by lot."""
    if tail <= 1:
        return pool
    labels = labels_N[pool]
    names, counts = np.unique(labels[labels >= 0], return_counts=True)
    order = np.lexsort((rng.random(len(names)), -counts))
    falling = tail ** -(np.arange(len(names)) / max(1, len(names) - 1))
    head = (counts[order] / falling).min()
    kept = [pool[labels < 0]]
    for name, share in zip(names[order], falling, strict=True):
        kept.append(rng.permutation(pool[labels == name])[: max(1, round(head * share))])
    return np.concatenate(kept)


def _with_copies(images: Ints, share: float, rng: np.random.Generator) -> tuple[Ints, NDArray[np.bool_]]:
    """The pool keeps its size: `share` of it gives way to copies of what is left."""
    copies = round(share * len(images))
    originals = np.sort(rng.permutation(images)[copies:])
    rows = np.concatenate([originals, rng.choice(originals, copies)]) if copies else images
    return rows, np.arange(len(rows)) >= len(rows) - copies


def _indexed(labels: Ints, index: Ints) -> Ints:
    return np.where(labels < 0, simulate_data.UNUSABLE, index[labels]).astype(np.int64)


def _answers(truth_P: Ints, classes: int, noise: float, rng: np.random.Generator) -> Ints:
    said_P = np.maximum(truth_P, REJECTED)
    inside = np.flatnonzero(truth_P >= 0)
    wrong = rng.permutation(inside)[: round(noise * len(inside))]
    said_P[wrong] = (said_P[wrong] + rng.integers(1, classes, len(wrong))) % classes
    return said_P
