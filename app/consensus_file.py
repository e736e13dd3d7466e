"""The consensus of several people after the last refresh: one small JSON file of the workspace, for rounds, exports, page."""

from pathlib import Path
from typing import Any

from app import json_file

NAME = "consensus.json"


def read(workspace: Path) -> dict[str, Any]:
    """What the last refresh with several people left; nothing before the first."""
    told: dict[str, Any] | None = json_file.read(workspace / NAME)
    return {"watermark": 0, "method": None, "why": "", "images": {}, "people": []} if told is None else told


def write(workspace: Path, told: dict[str, Any]) -> None:
    """Publish: `images` maps ids to [class_id, probability], `people` are rows of the quality table."""
    json_file.write(workspace / NAME, told)
