"""`serve` and its two processes, before either is heavy: checks what was asked, writes it down, starts them."""

import contextlib
import dataclasses
import gc
import logging
import os
import sys
import time
from logging import handlers
from pathlib import Path
from typing import Any

from app import backbone_names, errors, processes, settings, supervisor

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(
    workspace: Path,
    *,
    images: str | None,
    classes: Path | None,
    labels_from_folders: bool,
    backbone: str | None,
    demo: bool,
    insecure: bool,
    boxes: dict[str, Any] | None = None,
    **listening: Any,
) -> int:
    """Ask the worker for the images that were named, then supervise page and worker until interrupted.

    `listening` are the settings of the address: host, port, tls_cert, tls_key, root_path.
    """
    chosen = checked(settings.load(workspace, backbone=backbone, **listening), insecure=insecure)
    if supervisor.answers((chosen.host, chosen.port)):
        raise errors.BadRequest(
            f"something already serves {chosen.host}:{chosen.port}: stop it, or choose another port with --port"
        )
    if backbone is not None and (told := _check_backbone(chosen)):
        print(f"note: {told}", flush=True)
    _ask_for_images(chosen, images, classes, labels_from_folders, boxes, demo)
    print(f"RAUM serves {chosen.workspace} at {address(chosen)} (Ctrl-C ends it)", flush=True)
    if chosen.host not in LOOPBACK and not chosen.tls_cert:
        told = "names, answers and passwords cross the network unencrypted: see --tls-cert, or put a proxy in front"
        print(f"warning: {told}", file=sys.stderr, flush=True)
    arguments = ["--tls-cert", chosen.tls_cert, "--tls-key", chosen.tls_key] if chosen.tls_cert else []
    arguments += ["--root-path", chosen.root_path] if chosen.root_path else []
    return supervisor.run(
        chosen.workspace,
        address=(chosen.host, chosen.port),
        page_arguments=[*arguments, *(["--insecure"] if insecure else [])],
        worker_arguments=["--backbone", chosen.backbone],
    )


def page(workspace: Path, *, insecure: bool, **listening: Any) -> None:
    """The page process. What its imports make lives as long as it does: looked through for garbage, they take a sixth
    longer."""
    gc.disable()
    chosen = checked(settings.load(workspace, **listening), insecure=insecure)
    alone = isinstance(chosen.database, Path)  # on a server several pages may serve one workspace
    with processes.only_one(chosen.workspace, "page") if alone else contextlib.nullcontext():
        processes.end_with(processes.parent())
        from app.web import server

        server.serve(chosen)


def address(chosen: settings.Settings) -> str:
    """What to type into a browser on this machine."""
    host = f"[{chosen.host}]" if ":" in chosen.host else chosen.host
    return f"http{'s' if chosen.tls_cert else ''}://{host}:{chosen.port}{chosen.root_path}"


def checked(chosen: settings.Settings, *, insecure: bool) -> settings.Settings:
    """The settings with whole paths of certificate and key; raises BadRequest where the page must not be served so."""
    processes.writable(chosen.workspace)
    if bool(chosen.tls_cert) != bool(chosen.tls_key):
        raise errors.BadRequest("TLS needs both: give --tls-cert FILE and --tls-key FILE, or neither")
    if chosen.tls_cert:
        pair = [chosen.workspace / Path(each).expanduser() for each in (chosen.tls_cert, chosen.tls_key)]
        _check_pair(*pair)
        chosen = dataclasses.replace(chosen, tls_cert=str(pair[0]), tls_key=str(pair[1]))
    if chosen.host not in LOOPBACK and not insecure and not _any_users(chosen):
        raise errors.BadRequest(
            f"whoever reaches {chosen.host}:{chosen.port} could do everything, as this workspace has no users: add the "
            "first with launch.py user add NAME --role admin, or say --insecure where nobody else can reach it"
        )
    return chosen


def _check_pair(cert: Path, key: Path) -> None:
    for path in (cert, key):
        try:
            path.read_bytes()
        except OSError as problem:
            raise errors.BadRequest(f"{path} cannot be read ({problem.strerror}): give another file") from problem
    import ssl

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password=_no_passphrase)
    except ssl.SSLError as problem:
        why = "the key is not this certificate's" if problem.reason == "KEY_VALUES_MISMATCH" else "PEM files are needed"
        raise errors.BadRequest(f"{cert} and {key} do not serve for TLS: {why}") from problem


def _no_passphrase() -> str:
    raise errors.BadRequest("the key of --tls-key asks for a passphrase: give one without, readable by its owner only")


def _any_users(chosen: settings.Settings) -> bool:
    from app import accounts
    from store import database

    with contextlib.closing(database.open(chosen.database)) as db:
        return accounts.any_users(db)


def worker(workspace: Path, *, backbone: str | None) -> None:
    """The worker process; it leaves half of the cores to rounds, and the page and the browser go first."""
    if hasattr(os, "nice"):
        os.nice(5)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // 2)))
    chosen = settings.load(workspace, backbone=backbone)
    processes.writable(chosen.log_dir)
    processes.end_with(processes.parent())
    from app import backbones, pool
    from app import worker as working
    from model import errors as model_errors
    from store import database

    processes.keep_memory()
    processes.take_short_turns()
    kept = handlers.RotatingFileHandler(
        chosen.log_dir / "worker.log", maxBytes=2_000_000, backupCount=2, encoding="utf-8"
    )
    said = logging.StreamHandler()
    said.setLevel(logging.WARNING)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", handlers=[kept, said])
    with contextlib.closing(database.open(chosen.database)) as db:
        try:
            working.run(backbones.settle(db, chosen, pool.machine()))
        except model_errors.ModelError as problem:
            _cannot_start(db, str(problem))
            raise


def _cannot_start(db: Any, why: str) -> None:
    """People go on labelling meanwhile, and the page tells them why nothing is learnt."""
    from store import workers

    with db.write() as tx:
        workers.beat(tx, "worker", pid=0, phase="failed", fraction=None, message=why, now=time.time())


def _check_backbone(chosen: settings.Settings) -> str:
    if chosen.backbone == backbone_names.AUTO:
        return ""
    from app import backbones

    return backbones.check(chosen)


def _ask_for_images(
    chosen: settings.Settings,
    images: str | None,
    classes: Path | None,
    labels_from_folders: bool,
    boxes: dict[str, Any] | None,
    demo: bool,
) -> None:
    if images is None and boxes is not None:
        raise errors.BadRequest("--boxes are boxes in the pictures of --images DIR; give both")
    if images is None and classes is None and not demo:
        return
    from app import ingest_files  # here, because without images to take the page starts half a second sooner
    from store import commands, database

    payload: dict[str, Any] = {}
    if images is not None:
        payload = {"folder": _place_of(images), "labels_from_folders": labels_from_folders}
        if boxes is not None:
            if not Path(boxes["file"]).is_file():
                raise errors.BadRequest(
                    f"there is no file {boxes['file']}; give MegaDetector's or COCO's JSON to --boxes"
                )
            payload["boxes"] = boxes
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


def _place_of(images: str) -> str:
    """The whole path or the address; raises BadRequest or RemoteError where there can be no images."""
    from app import archives, remote

    if remote.is_address(images):
        return remote.checked(images)
    folder = Path(images).expanduser().absolute()
    if not folder.is_dir() and not (archives.is_archive(folder) and folder.is_file()):
        raise errors.BadRequest(
            f"there is no folder {folder}; give the path of a folder with images, or of a zip or tar file, to --images"
        )
    return str(folder)


def _has_images(tx: Any) -> bool:
    from store import images

    return images.counts(tx)["ok"] > 0
