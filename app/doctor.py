"""`doctor`: what is installed here, which device and kernels are used, how fast the disk commits, what would be better."""

import contextlib
import os
import platform
import shutil
import sqlite3
import tempfile
import time
from importlib import metadata
from pathlib import Path

import numpy as np

PACKAGES = (
    "torch",
    "faiss-cpu",
    "faiss-gpu",
    "mamba-ssm",
    "numba",
    "gradio",
    "sqlalchemy",
    "transformers",
    "safetensors",
    "playwright",
)


def report(workspace: Path) -> dict[str, str]:
    """Findings by name, in the order to print them."""
    found = {
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "packages": ", ".join(f"{name} {version}" for name in PACKAGES if (version := _version(name))),
        **_device(),
        "database": _database(workspace),
        "backbone": _backbone(workspace),
        **_artifacts(workspace),
        "neighbours": _faiss(),
        "disk": _disk(workspace),
        "browser": shutil.which("chromium")
        or shutil.which("chromium-browser")
        or "none found (only browser tests need one)",
    }
    advice = _advice(found)
    return {**found, "for more": advice} if advice else found


def print_report(workspace: Path) -> None:
    """The report as a table."""
    from rich import console, table

    shown = table.Table(show_header=False, box=None)
    for name, text in report(workspace).items():
        shown.add_row(f"[bold]{name}", text)
    console.Console().print(shown)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _device() -> dict[str, str]:
    import torch

    from app import pool
    from model.network import cross_scan

    device = pool.device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return {"device": name, "selective scan": cross_scan.chosen_backend(device)}


def _backbone(workspace: Path) -> str:
    """Which one a worker that starts now would take, why, and what would be better."""
    from app import backbones, pool, settings
    from store import database

    chosen = settings.load(workspace)
    with contextlib.ExitStack() as opened:
        new = not chosen.exists
        db = None if new else opened.enter_context(contextlib.closing(database.open(chosen.database)))
        return backbones.sentence(backbones.look(db, chosen, pool.machine())).removeprefix("backbone ")


def _database(workspace: Path) -> str:
    """Where the answers are, and which engine keeps them."""
    from app import settings
    from store import database

    chosen = settings.load(workspace)
    if isinstance(chosen.database, Path):
        return f"SQLite {sqlite3.sqlite_version} in {chosen.file}" if chosen.exists else "none yet; SQLite in a file"
    with contextlib.closing(database.open(chosen.database)) as db, db.read() as tx:
        told = ".".join(map(str, tx.dialect.server_version_info or ()))
    return f"PostgreSQL {told} at {chosen.database}"


def _artifacts(workspace: Path) -> dict[str, str]:
    """Whether what learning leaves can be kept where the settings say; nothing where they say nothing."""
    from app import artifact_objects, errors, settings

    address = settings.load(workspace).artifacts
    if not address:
        return {}
    try:
        return {"artifacts": f"{address}: {artifact_objects.tried(address)}"}
    except errors.RemoteError as problem:
        return {"artifacts": str(problem)}


def _faiss() -> str:
    from model import neighbours_gpu

    return neighbours_gpu.told()


def _disk(workspace: Path) -> str:
    """The median of 20 durable writes of 4 KiB, which is what an answer costs at least."""
    folder = workspace if workspace.is_dir() else Path(".")
    times = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(20):
            began = time.perf_counter()
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
            times.append(1000 * (time.perf_counter() - began))
    free = shutil.disk_usage(folder).free / 1e9
    return f"{np.median(times):.1f} ms for a durable write (median of 20), {free:.0f} GB free"


def _advice(found: dict[str, str]) -> str:
    if found["device"].startswith("CPU"):
        return "with an NVIDIA GPU install requirements-gpu.txt instead of requirements.txt"
    if found["selective scan"] != "mamba_ssm":
        return "install requirements-gpu.txt instead of requirements.txt for the CUDA scan of mamba-ssm"
    return ""
