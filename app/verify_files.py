"""What is wrong with single files of a workspace: checkpoints, embeddings, cached pixels; read without torch, nothing run."""

from __future__ import annotations

import json
import math
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

MOST_HEADER_BYTES = 100_000_000  # safetensors' own limit
DTYPE_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip
MADE_IN = ("cache", "embeddings", "checkpoints", "predictions", "overlays", "thumbnails", "backups")
UNFINISHED = re.compile(  # how things are called while they are written beside their place
    r".*\.tmp|tmp-.*|\..*\.half|new(-\d+)?|.*\.db\.restored-\d+(-wal|-shm)?|.*\.json\.\d+"
)


def checkpoint(path: Path) -> str | None:
    """What is wrong with a safetensors file: its header must lie in the file, and its tensors fill the rest exactly."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(8)
        length = struct.unpack("<Q", head)[0] if len(head) == 8 else -1
        if not 0 < length <= min(MOST_HEADER_BYTES, size - 8):
            return f"its header claims {length:,} bytes of a file of {size:,}" if length >= 0 else "it ends in its head"
        try:
            header = json.loads(file.read(length))
        except ValueError as problem:
            return f"its header is not JSON: {problem}"
    if not isinstance(header, dict):
        return "its header is no table of tensors"
    header.pop("__metadata__", None)
    try:
        return _tensors(header, size - 8 - length)
    except (KeyError, TypeError, ValueError) as problem:
        return f"its header describes a tensor wrongly: {problem!r}"


def _tensors(header: dict[str, Any], room: int) -> str | None:
    at = 0
    for name, told in sorted(header.items(), key=lambda each: each[1]["data_offsets"]):
        begin, end = told["data_offsets"]
        needed = math.prod(told["shape"]) * DTYPE_BYTES[told["dtype"]]
        if begin != at or end - begin != needed:
            return f"tensor {name!r} of {needed:,} bytes claims bytes {begin:,} to {end:,}, expected from {at:,}"
        at = end
    return None if at == room else f"it holds {room:,} bytes of tensors, its header describes {at:,}"


def embeddings(folder: Path) -> str | None:
    """What is wrong with a folder of embeddings: ids must ascend, one finite row each."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        ids_N = np.load(folder / "image_ids.npy", allow_pickle=False)
        rows_ND = np.load(folder / "embeddings.npy", allow_pickle=False, mmap_mode="r")
    except (OSError, ValueError, EOFError) as problem:
        return f"it cannot be read: {problem}"
    if not isinstance(meta, dict) or "last_id" not in meta:
        return "its meta.json names no last_id"
    if ids_N.ndim != 1 or rows_ND.ndim != 2 or len(ids_N) != len(rows_ND):
        return f"{ids_N.shape} image ids stand beside embeddings of shape {rows_ND.shape}"
    if (np.diff(ids_N) <= 0).any():
        return "its image ids do not ascend"
    for start in range(0, len(rows_ND), 10_000):
        if not np.isfinite(rows_ND[start : start + 10_000]).all():
            return f"it holds numbers that are not finite, from row {start:,} on"
    return None


def segment(pixels: Path, side: int) -> str | None:
    """What is wrong with one segment of the pixel cache: squares of `side` pixels, as many as its ids."""
    try:
        ids_N = np.load(pixels.with_name(pixels.name.replace(".pixels.", ".ids.")), allow_pickle=False)
        images_NHWC = np.load(pixels, allow_pickle=False, mmap_mode="r")
    except (OSError, ValueError, EOFError) as problem:
        return f"it cannot be read: {problem}"
    wanted = (len(ids_N), side, side, 3)
    if images_NHWC.shape != wanted or images_NHWC.dtype != np.uint8:
        return f"it holds {images_NHWC.dtype} of shape {images_NHWC.shape}, needed is uint8 of shape {wanted}"
    return None


def jpeg(path: Path) -> str | None:
    """What is wrong with a thumbnail: a JPEG begins and ends with its marks."""
    with path.open("rb") as file:
        begins = file.read(2)
        if begins != b"\xff\xd8":
            return "it is not a JPEG" if begins else "it is empty"
        file.seek(-2, 2)
        return None if file.read(2) == b"\xff\xd9" else "it ends halfway"


def written_beside(workspace: Path) -> Iterator[Path]:
    """Whatever has the name of something half written; what lies in such a folder is not told again."""
    yield from (path for path in sorted(workspace.iterdir()) if UNFINISHED.fullmatch(path.name))
    for top in MADE_IN:
        for folder, folders, files in os.walk(workspace / top):
            half = [name for name in (*folders, *files) if UNFINISHED.fullmatch(name)]
            yield from (Path(folder) / name for name in sorted(half))
            folders[:] = [name for name in folders if name not in half]
