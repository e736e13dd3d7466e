"""How a Hugging Face vision model wants its pixels, read from preprocessor_config.json without image libraries."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from model import errors
from model.network import hub

FILE_NAME = "preprocessor_config.json"
MODEL_FILE = "config.json"
_HEADS = ("num_attention_heads", "num_heads")  # what has them attends over a grid of tokens


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """image_size: side of the square input; mean, std: per channel, of RGB scaled to 0..1 (a rescale factor of the
    file's own is folded in). The file's centre crop is not taken: we show the whole picture, to a convolutional network
    as large as before the crop, so that objects keep the size it knows; to a transformer
    in the crop's size, its grid of tokens."""

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def read(path_or_id: str) -> Preprocess:
    """Read the files from a folder, or from the hub (its cache when offline). Raises BadConfig by name."""
    values, model = (_values(_locate(path_or_id, name)) for name in (FILE_NAME, MODEL_FILE))
    return parse(values, any_size=not any(name in model for name in _HEADS))


def parse(values: dict[str, Any], *, any_size: bool = False) -> Preprocess:
    """The meaning of the file's fields; absent ones have the defaults of the library that wrote them.

    any_size: whether the model takes other sizes than the crop's.
    """
    crop = _side(values.get("crop_size")) if values.get("do_center_crop") else None
    resize = _side(values.get("size")) if values.get("do_resize", True) else None
    image_size = (max(crop or 0, resize or 0) if any_size else crop or resize) or 224
    scale = 255.0 * float(values.get("rescale_factor", 1 / 255)) if values.get("do_rescale", True) else 255.0
    normalise = values.get("do_normalize", True)
    mean = values.get("image_mean", [0.5, 0.5, 0.5]) if normalise else [0.0, 0.0, 0.0]
    std = values.get("image_std", [0.5, 0.5, 0.5]) if normalise else [1.0, 1.0, 1.0]
    if len(mean) != 3 or len(std) != 3:
        raise errors.BadConfig(f"the preprocessor has {len(mean)} channels; only RGB models can be used")
    return Preprocess(image_size, _fold(mean, scale), _fold(std, scale))


def _fold(values: list[float], scale: float) -> tuple[float, float, float]:
    first, second, third = (float(value) / scale for value in values)
    return first, second, third


def _side(size: Any) -> int | None:
    """One side in pixels out of the several ways in which the files say it."""
    if size is None or isinstance(size, (int, float)):
        return int(size) if size else None
    sides = [int(size[name]) for name in ("shortest_edge", "height", "width") if name in size]
    return min(sides) if sides else None


def _values(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise errors.BadConfig(f"cannot read {path}: {problem}") from problem
    return values


def _locate(path_or_id: str, name: str) -> Path:
    folder = Path(path_or_id).expanduser()
    if folder.is_dir():
        if not (folder / name).is_file():
            raise errors.BadConfig(f"{folder} holds no {name}; give a folder saved by transformers")
        return folder / name
    if not _looks_like_id(path_or_id):
        raise errors.BadConfig(f"there is no folder {folder}; give a transformers folder or a hub id like owner/name")
    if kept := hub.cached_file(path_or_id, name):
        return kept
    hub.require(path_or_id)
    import huggingface_hub  # here, because most runs never need it

    try:
        return Path(huggingface_hub.hf_hub_download(path_or_id, name, endpoint=hub.endpoint()))
    except (OSError, huggingface_hub.errors.HfHubHTTPError, ValueError) as problem:
        raise errors.BadConfig(
            f"{name} of {path_or_id!r} is neither cached nor downloadable ({type(problem).__name__}); "
            "download the model once with a network, or give a local folder"
        ) from problem


def _looks_like_id(text: str) -> bool:
    parts = text.split("/")
    return len(parts) <= 2 and all(part and not part.startswith(".") for part in parts)
