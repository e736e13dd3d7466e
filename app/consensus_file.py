"""The consensus of several people after the last refresh: one small JSON file of the workspace, for rounds, exports, page."""

import json
import os
from pathlib import Path
from typing import Any

NAME = "consensus.json"


def read(workspace: Path) -> dict[str, Any]:
    """What the last refresh with several people left; nothing before the first."""
    try:
        told: dict[str, Any] = json.loads((workspace / NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"watermark": 0, "method": None, "why": "", "images": {}, "people": []}
    return told


def write(workspace: Path, told: dict[str, Any]) -> None:
    """Publish: `images` maps ids to [class_id, probability], `people` are rows of the quality table."""
    beside = workspace / f".{NAME}.{os.getpid()}"
    beside.write_text(json.dumps(told), encoding="utf-8")
    os.replace(beside, workspace / NAME)
