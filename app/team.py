"""The processes of one round or one refresh as its first one sees them: it asks, the others take their part of the work."""

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app import errors, pictures, processes
from model import config, looks, predict, together
from model.data import pixels
from model.network import raum_net
from store.records import Image

FIELDS = ("id", "path", "scene", "box_x", "box_y", "box_w", "box_h")  # of an image: what is needed to open it


class Team:
    """Who works on it. `joined` alone is a team, too: then everything is done here and nobody is asked."""

    def __init__(self, joined: together.Together | None = None) -> None:
        self.joined = joined or together.Together()
        self.asked_to_end, self.parent = False, os.getppid()

    @property
    def first(self) -> bool:
        """Whether this process has the database and tells the others what to do."""
        return self.joined.first

    def ask(self, task: str, **values: Any) -> None:
        """Tell the others (app/ranks.py) what comes next; plain values."""
        self.joined.tell({"task": task, **values})

    def show(self, net: Any) -> None:
        """Give every process the network that is to embed."""
        self.ask("show", network=described(net))
        self.joined.same(net.state_dict().values())

    def embed(
        self, net: Any, cache: pixels.PixelCache, images: Sequence[Image], workspace: Path
    ) -> tuple[list[int], NDArray[np.float32], NDArray[np.float32]]:
        """Positions of the images that can be read, their embeddings by the network that was shown, and their looks.

        Raises BadRequest where another process cannot read what this one can.
        """
        self.ask("embed", images=listed(images))
        rows = embedded(self.joined, net, cache, images, workspace)
        seen = rows[:, -1] > 0
        self._check_unread([images[int(at)] for at in np.flatnonzero(~seen)], cache, workspace)
        return np.flatnonzero(seen).tolist(), rows[seen, : net.dim], rows[seen, net.dim : -1]

    def _check_unread(self, missing: list[Image], cache: pixels.PixelCache, workspace: Path) -> None:
        if self.joined.count == 1 or not missing:
            return
        here = cache.read([each.id for each in missing], [pictures.source(each, workspace) for each in missing])
        if len(here.positions_N):
            which = missing[int(here.positions_N[0])].path
            raise errors.BadRequest(
                f"another process cannot read {which}, which the first one can: images have to lie under the same paths on "
                "every machine"
            )

    def look(self) -> None:
        """Raises PeerLost once this process was asked to end, which it is, too, when another one has, or torchrun is gone."""
        if self.joined.count > 1 and (self.asked_to_end or processes.parent_is_gone(self.parent)):
            raise errors.PeerLost(self.joined.complaint() or "its processes were asked to end")

    def why(self, problem: BaseException) -> str:
        """What another process's end has to do with a problem here; "" where nothing."""
        if self.joined.count == 1:
            return ""
        if isinstance(problem, errors.PeerLost):
            return str(problem)
        if not isinstance(problem, RuntimeError) or isinstance(problem, torch.OutOfMemoryError):
            return ""
        gone = isinstance(problem, torch.distributed.DistError) or "gloo" in str(problem)
        without = "another process ended without a word: killed, or out of memory"
        return self.joined.complaint() or (without if gone else "")


@contextlib.contextmanager
def gathered(device: str) -> Iterator[Team]:
    """The processes that torchrun started with this one, or this one alone. Raises PeerLost with another one's reason."""
    team = Team(together.join(os.environ, device))
    if team.joined.count == 1:
        yield team
        return
    if team.first:
        signal.signal(signal.SIGTERM, lambda *_: setattr(team, "asked_to_end", True))  # it has to write down why
    try:
        yield team
        team.joined.leave()
    except BaseException as problem:
        if not team.first:
            team.joined.complain(problem)
        elif said := team.why(problem):
            raise errors.PeerLost(said) from problem
        raise


def threads() -> int:
    """Cores for each of the processes on this machine."""
    return max(1, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def described(net: Any) -> dict[str, Any]:
    """What another process needs to build the same network, without its weights."""
    return {"config": config.to_dict(net.config), "backbone": raum_net.describe_backbone(net)}


def listed(images: Sequence[Image]) -> list[list[Any]]:
    """Images as plain values."""
    return [[getattr(each, name) for name in FIELDS] for each in images]


def unlisted(rows: Sequence[Sequence[Any]]) -> list[Image]:
    """What `listed` gave, as far as it goes."""
    return [Image(width=0, height=0, **dict(zip(FIELDS, row, strict=True))) for row in rows]


def embedded(
    joined: together.Together, net: Any, cache: pixels.PixelCache, images: Sequence[Image], workspace: Path
) -> NDArray[np.float32]:
    """(N, E + 5 + 1): every image's embedding, looks (model/looks.py) and a 1, or zeros where it cannot be read; this process
    makes its part."""
    mine = images[joined.part(len(images))]
    batch = cache.read([each.id for each in mine], [pictures.source(each, workspace) for each in mine])
    rows = torch.zeros(len(mine), net.dim + looks.KINDS + 1)
    if len(batch.positions_N):
        rows[batch.positions_N, : net.dim] = torch.from_numpy(predict.embed(net, batch.images_NHWC).embeddings_ND)
        rows[batch.positions_N, net.dim : -1] = torch.from_numpy(looks.of(batch.images_NHWC))
        rows[batch.positions_N, -1] = 1.0
    found: NDArray[np.float32] = joined.gather(rows, len(images)).numpy()
    return found
