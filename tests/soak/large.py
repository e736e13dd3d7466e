"""A workspace of many images whose pictures are few: links to the same files, embeddings that lie around theirs."""

import os
from pathlib import Path

import numpy as np

from app import pool, pool_files
from store import images, records
from tests.app.conftest import Workspace


def grow(workspace: Workspace, count: int) -> None:
    """Bring the images of the workspace to `count`; the worker finds all of them embedded."""
    with workspace.db.read() as tx:
        known = images.all_ok(tx)
    folder = workspace.settings.workspace / "more"
    folder.mkdir()
    rows = []
    for number in range(len(known), count):
        path = folder / f"{number}.png"
        os.link(known[number % len(known)].path, path)
        rows.append(records.NewImage(path=str(path), width=32, height=32, bytes=1, mtime_ns=1))
    with workspace.db.write() as tx:
        images.add_many(tx, rows)
    _embed(workspace, len(known))


def _embed(workspace: Workspace, true: int) -> None:
    """The first `true` images by the network, the others near the one whose file they share."""
    with workspace.db.read() as tx:
        known = images.all_ok(tx)
    held = pool.open_(workspace.settings, None, known)
    while held.last_id < known[true - 1].id:
        pool.extend(held, [image for image in known[:true] if image.id > held.last_id], seconds=5.0)
    rng = np.random.default_rng(0)
    first_ND = held.embeddings_ND
    for start in range(true, len(known), 10_000):
        part = known[start : start + 10_000]
        near_ND = first_ND[np.arange(start, start + len(part)) % true]
        noise_ND = rng.standard_normal(near_ND.shape, np.float32) * first_ND.std(0) * 0.3
        pool.add(held, [image.id for image in part], near_ND + noise_ND)
    pool_files.save(held)
    assert Path(workspace.settings.workspace / held.folder).is_dir()
