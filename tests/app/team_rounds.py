"""`python -m tests.app.team_rounds GOOD BAD` as each of torchrun's processes: a round and an embedding of the pool in the
workspace GOOD, then a round in BAD, in which the second process fails."""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from app import learning, pool, ranks, settings, team
from model import half
from store import database, images

CHOSEN = {"backbone": "vmamba_nano", "image_size": 32, "steps": 3, "queue_length": 40, "overlay_head": 8}


def at(place: str) -> settings.Settings:
    return settings.load(Path(place), **CHOSEN)


def round_(chosen: settings.Settings, beside: team.Team | None = None) -> None:
    """One round that learns from unlabelled images, too."""
    db = database.open(chosen.database)
    learning.round_(db, chosen, clock=time.time, progress=lambda *_: None, beside=beside)
    db.close()


def embedded(chosen: settings.Settings, beside: team.Team | None = None) -> np.ndarray:
    """What the untrained network makes of the pool, of whose files one is broken."""
    db = database.open(chosen.database)
    with db.read() as tx:
        known = images.all_ok(tx)
    held = pool.open_wanted(chosen, [])
    if beside is not None:
        held.beside = beside
        beside.show(held.net)
    while fresh := [image for image in known if image.id > held.last_id]:
        pool.extend(held, fresh, seconds=1.0)
    db.close()
    return np.column_stack([held.image_ids, held.embeddings_ND])


def failing_at_the_second(train: Any) -> Any:
    """The same, but not again."""
    calls = []

    def once(*given: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise OSError("the disk is gone")
        train(*given)

    return once


if __name__ == "__main__":
    torch.set_num_threads(1)
    half.has_units = lambda device: False
    good, bad = at(sys.argv[1]), at(sys.argv[2])
    ranks._train = failing_at_the_second(ranks._train)
    with team.gathered("cpu") as beside:
        if not beside.first:
            ranks.follow(beside, good)
        else:
            round_(good, beside)
            np.save(good.workspace / "embedded.npy", embedded(good, beside))
            round_(bad, beside)
