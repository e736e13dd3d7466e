"""Which boxes of a box file lie in which of the pictures found, and which of them are new."""

from __future__ import annotations

import dataclasses
import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection

from app import box_files, ingest_files, ingest_labels, scenes
from store import settings as stored

KEPT = "boxes"  # settings row: how the boxes of each folder were asked for, so that reading it again finds them again


@dataclass(frozen=True)
class Asked:
    """Which boxes are wanted; `empty`: pictures without any come whole."""

    file: str
    confidence: float | None = None
    categories: tuple[str, ...] | None = None
    empty: bool = False


def kept(tx: Connection, root: str) -> Asked | None:
    """How the boxes under `root` were asked for the last time."""
    last: dict[str, Any] | None = stored.get_setting(tx, KEPT, {}).get(root)
    return None if last is None else Asked(**{**last, "categories": last["categories"] and tuple(last["categories"])})


def keep(tx: Connection, root: str, wanted: Asked) -> None:
    """Remember it: whoever reads the folder again means the same, and no empty scene comes in by that."""
    others = stored.get_setting(tx, KEPT, {})
    stored.set_setting(tx, KEPT, {**others, root: dataclasses.asdict(wanted)})


def cut(
    files: Sequence[ingest_files.Found], root: str, wanted: Asked, report: ingest_labels.IngestReport
) -> list[ingest_files.Found]:
    """The pictures with their boxes; those without any only where they are asked for. What was left out is reported.

    Raises IngestError where the box file cannot be read, or where none of its pictures is among these.
    """
    boxes = box_files.read(wanted.file, confidence=wanted.confidence, categories=wanted.categories)
    places = Places(files, root)
    found: dict[int, list[scenes.Raw]] = {}
    times: dict[int, float] = {}
    for name, some in boxes.scenes.items():
        at = places.find(name)
        if at is None:
            report.missing.append(name)
            continue
        found.setdefault(at, []).extend(some)
        if name in boxes.taken_at:
            times[at] = boxes.taken_at[name]
    if not found:
        raise ingest_files.IngestError(_nowhere(boxes, wanted.file, root))
    failed = [at for at in map(places.find, boxes.failed) if at is not None and at not in found]
    report.empty = sum(not some for some in found.values())
    report.unlisted = len(files) - len(found) - len(failed)
    report.undetected, report.left_out = len(failed), dict(boxes.left_out)
    cut: list[ingest_files.Found] = []
    for at, file in enumerate(files):
        inside = tuple(found.get(at, ()))
        if inside or wanted.empty:
            cut.append(dataclasses.replace(file, boxes=inside or None, taken_at=times.get(at)))
    report.scenes = sum(file.boxes is not None for file in cut)
    return cut


def fresh(
    files: Sequence[ingest_files.Found],
    known: Mapping[str, tuple[int, int]],
    known_scenes: Mapping[str, tuple[int, int, int, int]],
    unreadable: Collection[str],
) -> Iterator[ingest_files.Found]:
    """The files that are not known; of pictures with boxes only the boxes that are not. A picture whose boxes are known
    is not taken whole as well; one that stands in quarantine is not read again for its boxes."""
    for file in files:
        if file.boxes is None:
            if file.name not in known and file.name not in known_scenes:
                yield file
            continue
        if file.name in unreadable:
            continue
        size = known_scenes.get(file.name, (0, 0, 0, 0))[2:]
        new = tuple(raw for raw in file.boxes if _name(file.name, raw, size) not in known)
        if new:
            yield dataclasses.replace(file, boxes=new)


def _name(scene: str, raw: scenes.Raw, size: tuple[int, ...]) -> str:
    try:
        return scenes.named(scene, scenes.in_pixels(raw, *size))
    except ValueError:
        return scenes.unusable_name(scene, raw)


class Places:
    """The pictures by their path below the folder, and by its end where the box file was made from another folder."""

    def __init__(self, files: Sequence[ingest_files.Found], root: str) -> None:
        self.root = root.replace(os.sep, "/").rstrip("/") + "/"
        self.inner = [file.name.replace(os.sep, "/").removeprefix(self.root) for file in files]
        self.exact = {name: at for at, name in enumerate(self.inner)}
        self.by_name: dict[str, list[int]] | None = None

    def find(self, name: str) -> int | None:
        """The picture that a box file calls so; None where there is none, or more than one could be meant."""
        tried = [name.removeprefix("./"), name.removeprefix(self.root), name.replace("\\", "/").removeprefix("./")]
        for each in tried:
            if each in self.exact:
                return self.exact[each]
        if self.by_name is None:
            self.by_name = defaultdict(list)
            for at, inner in enumerate(self.inner):
                self.by_name[inner.rpartition("/")[2]].append(at)
        whole = tried[-1]
        ends = [
            at
            for at in self.by_name.get(whole.rpartition("/")[2], ())
            if self.inner[at].endswith(f"/{whole}") or whole.endswith(f"/{self.inner[at]}")
        ]
        return ends[0] if len(ends) == 1 else None


def _nowhere(boxes: box_files.Boxes, file: str, root: str) -> str:
    first = next(iter([*boxes.scenes, *boxes.failed]), None)
    if first is None:
        return f"{file} names no picture"
    return (
        f"none of the {len(boxes.scenes):,} pictures that {file} names lies in {ingest_files.printable(root)}; the first is "
        f"{ingest_files.shown(first)!r}: give the folder that the detector was given"
    )
