"""A checkpoint that was damaged or exchanged after its round: refused by name, and the old publication goes on being asked."""

import contextlib
import json
import os
import struct
import time
from collections.abc import Callable

import numpy as np
import pytest
import safetensors.torch
import torch

from app import labelling
from model import checkpoint, errors
from store import queue
from tests.app.conftest import Workspace
from tests.app.test_learning import held, label, run_round


class Payload:
    """Unpickled, it makes the folder `path`."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.path,)


def test_the_old_publication_stays_while_its_checkpoint_cannot_be_read(workspace: Workspace) -> None:
    label(workspace, workspace.ids[:9])
    published = run_round(workspace)
    with workspace.db.read() as tx:
        current = queue.current(tx)
    assert current is not None
    assert current.checkpoint is not None
    path = workspace.settings.workspace / current.checkpoint
    whole, mark = path.read_bytes(), path.parent / "mark"

    def with_nan() -> None:
        tensors = safetensors.torch.load(whole)
        tensors["head.linear.bias"][0] = float("nan")
        header = {"raum": json.dumps(checkpoint.describe(path))}
        safetensors.torch.save_file(tensors, str(path), metadata=header)

    damages: dict[str, Callable[[], object]] = {
        "a pickle": lambda: torch.save({"x": Payload(str(mark))}, path),
        "half": lambda: path.write_bytes(whole[: len(whole) // 2]),
        "long header": lambda: path.write_bytes(struct.pack("<Q", 2**40) + whole[8:]),
        "gone": path.unlink,
        "NaN": with_nan,
    }
    for name, damage in damages.items():
        path.write_bytes(whole)
        damage()
        with pytest.raises(errors.ModelError, match=path.name):
            checkpoint.load(path)
        with contextlib.suppress(errors.ModelError):
            held(workspace)
        with workspace.db.read() as tx:
            now = queue.current(tx)
        assert now is not None, name
        assert now.id == published, name
        items = labelling.next_images(
            workspace.db, annotator="me", client=name, count=2, now=time.time(), rng=np.random.default_rng(0)
        )
        assert len(items) == 2, name
    assert not mark.exists()
    path.write_bytes(whole)
    assert held(workspace).checkpoint == current.checkpoint, "with the file back, all goes on"
