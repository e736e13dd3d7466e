"""`serve` and its two processes, before either is heavy: checks what was asked, writes it down, starts them."""

import gc
import logging
import os
import time
from logging import handlers
from pathlib import Path
from typing import Any

from app import errors, processes, settings, supervisor


def serve(
    workspace: Path,
    *,
    images: Path | None,
    classes: Path | None,
    labels_from_folders: bool,
    host: str | None,
    port: int | None,
    backbone: str | None,
    demo: bool,
) -> int:
    """Ask the worker for the images that were named, then supervise page and worker until interrupted."""
    chosen = settings.load(workspace, host=host, port=port, backbone=backbone)
    if supervisor.answers((chosen.host, chosen.port)):
        raise errors.BadRequest(
            f"something already serves {chosen.host}:{chosen.port}: stop it, or choose another port with --port"
        )
    processes.writable(chosen.workspace)
    _ask_for_images(chosen, images, classes, labels_from_folders, demo)
    print(f"RAUM serves {chosen.workspace} at http://{chosen.host}:{chosen.port} (Ctrl-C ends it)", flush=True)
    return supervisor.run(
        chosen.workspace, address=(chosen.host, chosen.port), worker_arguments=["--backbone", chosen.backbone]
    )


def page(workspace: Path, *, host: str | None, port: int | None) -> None:
    """The page process. What its imports make lives as long as it does: looked through for garbage, they take a sixth
    longer."""
    gc.disable()
    chosen = settings.load(workspace, host=host, port=port)
    with processes.only_one(processes.writable(chosen.workspace), "page"):
        processes.end_with(processes.parent())
        from app.web import server

        server.serve(chosen)


def worker(workspace: Path, *, backbone: str | None) -> None:
    """The worker process; it leaves half of the cores to rounds, and the page and the browser go first."""
    if hasattr(os, "nice"):
        os.nice(5)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // 2)))
    chosen = settings.load(workspace, backbone=backbone)
    processes.writable(chosen.log_dir)
    processes.end_with(processes.parent())
    from app import worker as working

    processes.keep_memory()
    kept = handlers.RotatingFileHandler(
        chosen.log_dir / "worker.log", maxBytes=2_000_000, backupCount=2, encoding="utf-8"
    )
    said = logging.StreamHandler()
    said.setLevel(logging.WARNING)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", handlers=[kept, said])
    working.run(chosen)


def _ask_for_images(
    chosen: settings.Settings, images: Path | None, classes: Path | None, labels_from_folders: bool, demo: bool
) -> None:
    if images is None and classes is None and not demo:
        return
    from app import ingest_files  # here, because without images to take the page starts half a second sooner
    from store import commands, database

    payload: dict[str, Any] = {}
    if images is not None:
        folder = images.expanduser().absolute()
        if not folder.is_dir():
            raise errors.BadRequest(f"there is no folder {folder}; give the path of a folder with images to --images")
        payload = {"folder": str(folder), "labels_from_folders": labels_from_folders}
        if classes is not None:
            payload["classes"] = ingest_files.read_classes(classes)
    elif classes is not None:
        raise errors.BadRequest("--classes names the classes of --images DIR; give both")
    db = database.open(chosen.database)
    try:
        with db.write() as tx:
            if payload:
                commands.ask(tx, "ingest", payload, time.time())
            elif demo and not _has_images(tx):
                commands.ask(tx, "demo", {}, time.time())
    finally:
        db.close()


def _has_images(tx: Any) -> bool:
    from store import images

    return images.counts(tx)["ok"] > 0
