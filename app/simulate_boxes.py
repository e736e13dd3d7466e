"""What a simulation of boxes in scenes runs on: each box an image of its own with its true class, cut as ingest cuts it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app import (
    box_files,
    errors,
    ingest_files,
    ingest_groups,
    ingest_labels,
    ingest_read,
    ingest_scenes,
    ingest_similar,
    jobs,
    pictures,
    scenes,
)
from app.exchange import labels_csv, rows
from model.data import sources

Say = Callable[[str], None]


class Boxed(NamedTuple):
    """The boxes by scene: what decodes each, its scene's file, its class (None: the oracle rejects it), and a number that
    boxes share whose scenes are one picture or one burst of a camera."""

    places: list[sources.Where]
    files: list[Path]
    classes: list[str | None]
    groups_N: NDArray[np.int64]


class _Box(NamedTuple):
    found: ingest_files.Found
    at: int  # of the scene among those found
    place: sources.Source
    category: str


def read(folder: Path, wanted: ingest_scenes.Asked, labels: Path | None, say: Say) -> Boxed:
    """Every box that can be used and whose class is known.

    Classes come from `labels`, a CSV as import-labels takes it; without one they are the categories of the box file, or
    where those are a detector's (animal, person, vehicle) the folders in which the scenes lie.
    """
    root, report = ingest_files.root(folder), ingest_labels.IngestReport()
    cut = ingest_scenes.cut(ingest_files.walk(root).files, str(root), wanted, report)
    every, unusable = [], 0
    for at, found in enumerate(cut):
        for raw, place in zip(found.boxes or (), pictures.inside(found), strict=True):
            if isinstance(place, sources.Source) and place.box is not None:
                every.append(_Box(found, at, place, raw.category))
            else:
                unusable += 1
    truth = _from_table(labels, [found.name for found in cut], str(root)) if labels else _own(every)
    classes = [truth(box) for box in every]
    known = [(box, said) for box, said in zip(every, classes, strict=True) if said is not None]
    for line in jobs.of_boxes(report):
        say(line)
    for count, what in ((unusable, "cannot be used"), (len(every) - len(known), f"are not in {labels}")):
        if count:
            say(f"{count:,} boxes {what} and are left out")
    kept = [box for box, _ in known]
    names = [None if said == _REJECTED else said for _, said in known]
    return Boxed([box.place for box in kept], [Path(box.found.path) for box in kept], names, _groups(kept))


_REJECTED = ""  # what a table says of a box that is no class; no class is called so


def _own(every: list[_Box]) -> Callable[[_Box], str | None]:
    """The category of each box, or its folder where categories do not tell classes."""
    if {box.category.strip().casefold() for box in every} <= box_files.DETECTED:
        return lambda box: Path(box.found.name).parent.name
    return lambda box: box.category


def _from_table(file: Path, names: list[str], root: str) -> Callable[[_Box], str | None]:
    """What a table says of each box, by its scene and place there, or of its whole scene; None where it says nothing."""
    places = ingest_scenes.Places([ingest_files.Found(name, name, "", 0, 0) for name in names], root)
    said: dict[tuple[int | None, sources.Box | None], str] = {}
    try:
        for row in labels_csv.read(file):
            if isinstance(row, rows.Problem):
                raise errors.BadRequest(f"line {row.line} of {file}: {row.text}")
            if isinstance(row, rows.Row) and row.kind in ("label", "reject"):
                scene, box = scenes.parted(row.image)
                said[places.find(scene), box] = row.class_name or _REJECTED
    except rows.Unreadable as problem:
        raise errors.BadRequest(f"line {problem.problem.line} of {file}: {problem}") from problem
    except OSError as problem:
        raise errors.BadRequest(f"cannot read the labels in {file}: {problem.strerror}") from problem
    return lambda box: said.get((box.at, box.place.box), said.get((box.at, None)))


def _groups(boxes: list[_Box]) -> NDArray[np.int64]:
    """As ingest groups them, but for near-duplicates: one scene, and pictures of a folder within a burst."""
    times = {box.at: ingest_read.taken_at(box.found.path) or box.found.taken_at for box in boxes}
    seen = [ingest_similar.Seen(str(box.place), box.found.name, None, times[box.at]) for box in boxes]
    groups_N = np.zeros(len(boxes), np.int64)
    links = ingest_similar.Index(stored=lambda _: None).add(seen)
    for number, members in enumerate(ingest_groups.together(links, 0)):
        groups_N[members] = number
    return groups_N
