"""What kinds of maps there are, in which words; and how they are drawn: small grey PNGs at the network's own grid."""

import dataclasses
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Grid = NDArray[np.floating]
KEPT_SECONDS = 900.0
EVEN = 1e-5  # a pooling that differs by less, as a share of its largest weight, looks nowhere in particular


@dataclasses.dataclass(frozen=True)
class Kind:
    """How a map is spoken of. `for_class`: it speaks for a class, {first} in the caption ({second}: its rival); one that
    does not is never told as the reason for a class. `neutral` names no class, for where none may be named. `looks`:
    what the network saw at each of its votes, where it has several."""

    caption: str
    neutral: str
    for_class: bool
    looks: tuple[str, ...] = ()


def _agnostic(sentence: str, *looks: str) -> Kind:
    told = f"{sentence}, for no class in particular"
    return Kind(told, told, for_class=False, looks=looks)


KINDS = {
    "evidence": Kind(
        "where the evidence for {first} lies", "where the evidence for the likeliest class lies", for_class=True
    ),
    "contrast": Kind(
        "what speaks for {first} rather than {second}",
        "what speaks for the likeliest class rather than the next",
        for_class=True,
    ),
    "region": _agnostic("where the network looks"),
    "sam": _agnostic("where the network learnt to look"),
    "gate": _agnostic("what the network lets through"),
    "zoom": _agnostic("where the network looks again", "whole", "zoom", "second zoom"),
    "first": Kind(
        "the network's first evidence for {first}", "the network's first evidence for its likeliest class", for_class=True
    ),
    "rest": Kind(
        "what else speaks for {first}, its first evidence taken away",
        "what else speaks for its likeliest class, the first evidence taken away",
        for_class=True,
        looks=("whole", "rest"),
    ),
    "fused": Kind(
        "all that speaks for {first}, with its frame", "all that speaks for its likeliest class, with its frame",
        for_class=True,
    ),
}  # fmt: skip

EVERYWHERE = ("evidence", "contrast", "region")  # any network has them; the others are an attention's own


def caption(kind: str, first: str = "", second: str = "") -> str:
    """The sentence under a map; without the names of its classes the one that names none."""
    words = KINDS.get(kind, KINDS["region"])
    named = words.for_class and first and (second or "{second}" not in words.caption)
    return words.caption.format(first=first, second=second) if named else words.neutral


def looks(kind: str) -> tuple[str, ...]:
    """What the network saw at each of the votes beside a map."""
    return KINDS[kind].looks if kind in KINDS else ()


def folder(workspace: Path, publication: int | str) -> Path:
    """Where the maps of one publication lie."""
    return workspace / "overlays" / str(publication)


def path(workspace: Path, publication: int | str, image_id: int, kind: str) -> Path:
    """One map's file; `kind` must be one of KINDS, so no text of a client ever becomes part of a path."""
    if kind not in KINDS:
        raise ValueError(f"there is no overlay kind {kind!r} (known: {', '.join(KINDS)})")
    return file(folder(workspace, publication), image_id, kind)


def file(folder: Path, image_id: int, kind: str) -> Path:
    """The same in a folder that has no number yet."""
    return folder / f"{int(image_id)}-{kind}.png"


def evidence(features_DHW: Grid, pooling_HW: Grid, directions_KD: Grid, classes: Sequence[int]) -> list[Grid]:
    """Evidence for each class per cell: pooling weight times direction . features, which sums to the class's logit."""
    projected_JHW = np.tensordot(directions_KD[list(classes)], features_DHW.astype(np.float32), axes=(1, 0))
    return list(projected_JHW * pooling_HW.astype(np.float32))


def kinds_of(
    features_DHW: Grid, pooling_HW: Grid, directions_KD: Grid, top: Sequence[int], *, trained: bool
) -> dict[str, Grid]:
    """The maps of one image: evidence for its top class, the contrast with the runner-up, attention once it is trained
    and where it is not the same everywhere.

    Evidence is centred over the cells, because adding the same to every cell says nothing about where; attention is
    the pooling weight above its floor.
    """
    maps = evidence(features_DHW, pooling_HW, directions_KD, top[:2])
    drawn = {"evidence": maps[0] - maps[0].mean()}
    if len(maps) > 1:
        difference = maps[0] - maps[1]
        drawn["contrast"] = difference - difference.mean()
    if trained and np.ptp(pooling_HW) > EVEN * pooling_HW.max():
        drawn["region"] = pooling_HW - pooling_HW.min()
    return drawn


def shares(grid_HW: Grid) -> Grid:
    """The positive part of a map as a share of its maximum: what is drawn of it."""
    positive = np.maximum(np.nan_to_num(grid_HW), 0.0)
    return positive / max(float(positive.max()), 1e-12)


def write(target: Path, grid_HW: Grid, *, scaled: bool = False, erased_HW: NDArray[np.bool_] | None = None) -> None:
    """Save the positive part of a map, scaled to its maximum unless it is `scaled` to 0..1 already, as an 8-bit grey PNG;
    with erased cells as an RGB one, the map in red and those cells in green."""
    grey = np.round(255 * (np.clip(np.nan_to_num(grid_HW), 0, 1) if scaled else shares(grid_HW))).astype(np.uint8)
    picture = Image.fromarray(grey, "L")
    if erased_HW is not None and erased_HW.any():
        gone = np.where(erased_HW, 255, 0).astype(np.uint8)
        picture = Image.fromarray(np.stack([grey, gone, np.zeros_like(grey)], axis=-1), "RGB")
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_suffix(f".{os.getpid()}.tmp")
    picture.save(beside, format="PNG")
    os.replace(beside, target)


def forget_old(workspace: Path, current: int, now: float) -> None:
    """Remove maps that no page can still be showing."""
    for old in (workspace / "overlays").glob("[0-9]*"):
        if old.name != str(current) and now - old.stat().st_mtime > KEPT_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
