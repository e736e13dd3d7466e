"""A workspace with drawn images and classes in a real store."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image

from app import settings
from model import checkpoint, config
from model.network import raum_net
from store import classes, database, images
from store.records import NewImage

CLASSES = ("round", "square", "striped")
S3_KEYS = {"AWS_ACCESS_KEY_ID": "an id", "AWS_SECRET_ACCESS_KEY": "a secret 77", "AWS_DEFAULT_REGION": "us-east-1"}


@dataclass
class Workspace:
    """`ids` are the images of the pool, `held` those of the holdout, `truth` their class ids."""

    settings: settings.Settings
    db: database.Database
    class_ids: list[int]
    ids: list[int]
    held: list[int]
    truth: dict[int, int]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database, migrated once."""
    file = tmp_path_factory.mktemp("template") / "raum.db"
    database.open(file).close()
    return file


@pytest.fixture
def memory() -> Iterator[Any]:
    """An empty file system in this process's memory."""
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    yield fs
    fs.store.clear()


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of a real S3 server on this machine."""
    server = pytest.importorskip("moto.server", reason="moto is not installed, s3:// is not tried").ThreadedMotoServer(
        ip_address="127.0.0.1", port=0, verbose=False
    )
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def workspace(tmp_path: Path, template: Path) -> Iterator[Workspace]:
    """Sixty drawn images of three classes, twelve of them held out."""
    shutil.copy(template, tmp_path / "raum.db")
    chosen = settings.load(tmp_path, backbone="vmamba_nano", image_size=32, steps=6, queue_length=40, overlay_head=8)
    db = database.open(chosen.database)
    rng = np.random.default_rng(0)
    rows, kinds = [], []
    for number in range(60):
        path = tmp_path / "pictures" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(_picture(number % 3, rng)).save(path)
        rows.append(NewImage(path=str(path), width=32, height=32, bytes=1, mtime_ns=1, holdout=_share(number)))
        kinds.append(number % 3)
    with db.write() as tx:
        class_ids = [classes.add(tx, name, 1.0).id for name in CLASSES]
        ids = images.add_many(tx, rows)
    truth = {image_id: class_ids[kind] for image_id, kind in zip(ids, kinds, strict=True)}
    held = [image_id for number, image_id in enumerate(ids) if _share(number)]
    yield Workspace(chosen, db, class_ids, [i for i in ids if i not in held], held, truth)
    db.close()


def _share(number: int) -> int:
    return 0 if number % 5 else 1 + (number // 5) % 2


def _picture(kind: int, rng: np.random.Generator) -> np.ndarray:
    """Disc, square or stripes in a random colour on a noisy ground."""
    y, x = np.mgrid[0:32, 0:32] - 16
    shape = [x**2 + y**2 < 90, np.maximum(abs(x), abs(y)) < 9, (x // 3) % 2 == 0][kind]
    picture = rng.integers(0, 90, (32, 32, 3))
    picture[shape] = rng.integers(150, 255, 3)
    return picture.astype(np.uint8)


def leave_checkpoint(workspace: Workspace, class_ids: list[int]) -> Path:
    """An untrained network with clear opinions, in the workspace's checkpoints/ as a round leaves it, without class names."""
    net = raum_net.build(config.NetworkConfig("vmamba_nano", num_classes=3, image_size=32, pretrained=False))
    with torch.no_grad():
        net.head.linear.weight.mul_(40)
    file = workspace.settings.workspace / "checkpoints" / "round-1.safetensors"
    checkpoint.save(file, net, class_ids=class_ids, meta={"round": 1})
    return file
