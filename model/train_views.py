"""The views of a batch that one process makes: its rows alone, as they are in the whole batch."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from model import config as configs
from model import noise
from model.data import augment

GROWN = 0.2  # of a run: then covers are as large as they get, where nothing is known to begin with


class Views:
    """Makes views on a network's device; `seconds` is what they took so far."""

    def __init__(self, net: Any, config: configs.TrainConfig, generator: torch.Generator) -> None:
        self.to, self.config, self.generator = net.config, config, generator
        self.device, self.seconds = next(net.parameters()).device, 0.0

    def make(
        self,
        images: Any,
        chosen_B: NDArray[Any],
        own: slice,
        strength: augment.Strength,
        theta_B23: Tensor | None = None,
    ) -> Tensor:
        """Views of the rows `own` of the batch `chosen_B`; `theta_B23`: its geometry, where the caller has drawn it.

        The generator is left as if all of them had been made, also where none is this process's.
        """
        began = time.perf_counter()
        some = own if own.stop > own.start else slice(0, 1)
        batch_BHWC = torch.from_numpy(images[chosen_B[some]]).to(self.device)
        views_BCHW = augment.view(
            batch_BHWC, strength, size=self.to.image_size, mean=self.to.mean, std=self.to.std,
            generator=noise.Rows(self.generator, torch.arange(some.start, some.stop), len(chosen_B)),
            theta_B23=None if theta_B23 is None else theta_B23[some],
        )  # fmt: skip
        self.seconds += time.perf_counter() - began
        return views_BCHW[: own.stop - own.start]

    def strength(self, strength: augment.Strength, done: float) -> augment.Strength:
        """The strength with the run's own occlusion where that is larger: every second labelled or strong view is covered, up
        to the rate. The weak view, from which a pseudo-label is read, never is.

        What learns from scratch has to see first: its covers grow over the first GROWN of the run, of which `done` is over.
        With large ones from the first step, a run may learn nothing for a third of its time.
        """
        rate = max(self.config.occlusion_rate, self.config.hidden or 0.0)
        if not self.config.first_head:
            rate *= min(1.0, done / GROWN)
        if rate <= (strength.occlusion[1] if strength.occlude else 0.0):
            return strength
        return dataclasses.replace(strength, occlude=augment.STRONG.occlude, occlusion=(rate / 3, rate))
