"""How a round goes on from the one before: its weights, shrunk towards those that a round begins with anew."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from model import errors
from model.network import raum_net

KEPT = 0.5  # share of the last round in each weight


def go_on(net: raum_net.RaumNet, last: raum_net.RaumNet, rows: Sequence[int | None], *, kept: float = KEPT) -> None:
    """Move `net`, as it was built, to (1 - kept) of its own weights and `kept` of those of `last`, in place.

    Shrink and perturb (Ash and Adams, "On Warm-Starting Neural Network Training", arXiv 1910.08475), with the pretrained
    weights instead of nothing as what it shrinks to. `rows`: for each class of `net` its place among the classes of `last`,
    None for a new one, which starts as it would have; `last` itself is changed to these classes. Raises BadInput for
    networks of two kinds.
    """
    raum_net.reclass(last, rows, seed=net.config.seed)
    own, others = net.state_dict(), last.state_dict()
    if {name: value.shape for name, value in own.items()} != {name: value.shape for name, value in others.items()}:
        raise errors.BadInput(
            f"{last.config.backbone} with {last.config.attention} cannot be gone on from with {net.config.backbone} "
            f"and {net.config.attention}"
        )
    with torch.no_grad():
        for name, value in own.items():
            if value.is_floating_point():
                value.lerp_(others[name].to(value), kept)
