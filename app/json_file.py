"""A JSON file of the workspace that one process writes whole and others read: they see the old one or the new one."""

import functools
import json
import os
from pathlib import Path
from typing import Any


def write(path: Path, value: Any) -> None:
    """Written beside and renamed; what a killed process leaves is removed by app/leftovers.py."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    beside.write_text(json.dumps(value), encoding="utf-8")
    os.replace(beside, path)


def read(path: Path) -> Any:
    """What it holds now, parsed once; None while there is none. Callers change nothing in it."""
    try:
        stamp = path.stat()
    except FileNotFoundError:
        return None
    return _read(path, stamp.st_mtime_ns, stamp.st_ino)


@functools.lru_cache(maxsize=8)
def _read(path: Path, _written: int, _inode: int) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
