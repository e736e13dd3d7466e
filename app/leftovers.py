"""What a killed worker or round left half written: nothing ever reads it, and the next worker removes it."""

import shutil
from pathlib import Path

PATTERNS = (
    "checkpoints/.*.tmp",
    "embeddings/*.tmp",
    "overlays/new-*",
    "predictions/new-*",
    "overlays/.*.tmp",
    "predictions/.*.tmp",
    ".*.json.*.tmp",
)


def found(workspace: Path) -> list[Path]:
    """Files and folders that were to be renamed into their place once they were whole."""
    return sorted(path for pattern in PATTERNS for path in workspace.glob(pattern))


def remove(workspace: Path) -> int:
    """Remove them; returns how many there were. Only for who holds the worker's role."""
    left = found(workspace)
    for path in left:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return len(left)
