"""What a labelled data set is, whatever its layout on disk; imports no torch."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model import errors


@dataclasses.dataclass(frozen=True)
class Dataset:
    """N images with their class indices.

    ids: the data set's own names of the images, each once. test_N: the official test share, empty where the layout has no
    split. boxes_N4: left, top, width and height in pixels of the file, NaN where there is none. lists: positions of the
    images that a published list of so many per cent of the labels names.
    """

    class_names: list[str]
    paths: list[Path]
    labels_N: NDArray[np.int64]
    test_N: NDArray[np.bool_]
    ids: list[str]
    boxes_N4: NDArray[np.float64]
    lists: dict[int, NDArray[np.int64]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Row:
    """One image: what the readers collect."""

    id: str
    path: Path
    label: int
    test: bool
    box: tuple[float, float, float, float] | None = None


def collected(class_names: list[str], rows: list[Row]) -> Dataset:
    """A data set of rows that all have an official split."""
    nothing = (np.nan,) * 4
    return Dataset(
        class_names,
        [row.path for row in rows],
        np.array([row.label for row in rows], np.int64),
        np.array([row.test for row in rows], bool),
        [row.id for row in rows],
        np.array([row.box or nothing for row in rows], np.float64).reshape(-1, 4),
    )


def first_classes(data: Dataset, count: int) -> Dataset:
    """The images of the first `count` classes alone; 0 is all. Raises BadInput where there are fewer."""
    if count == 0 or count == len(data.class_names):
        return data
    if not 2 <= count <= len(data.class_names):
        raise errors.BadInput(f"{count} classes of {len(data.class_names)} cannot be taken; give 2 or more, 0 for all")
    kept_M = np.flatnonzero(data.labels_N < count)
    places_N = np.full(len(data.paths), -1)
    places_N[kept_M] = np.arange(len(kept_M))
    return Dataset(
        data.class_names[:count],
        [data.paths[at] for at in kept_M],
        data.labels_N[kept_M],
        data.test_N[kept_M] if len(data.test_N) else data.test_N,
        [data.ids[at] for at in kept_M],
        data.boxes_N4[kept_M],
        {share: places_N[list_M][places_N[list_M] >= 0] for share, list_M in data.lists.items()},
    )


def expect(there: bool, root: Path, tree: str, source: str) -> None:
    """Raises BadInput with the tree that was expected below `root` and where it comes from."""
    if not there:
        raise errors.BadInput(
            f"{root} does not hold the data; expected there: {tree} (from {source}); or give --root DIR"
        )
