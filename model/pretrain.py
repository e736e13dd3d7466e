"""Pretraining without labels: a small student learns to give the features of a frozen teacher on the same crops.

Distillation from few but richly cropped pictures carries far (Asano and Saeed, "Extrapolating from a single image to a
thousand classes", arXiv 2112.00725); the student must see exactly what the teacher sees (Beyer et al., "Knowledge
distillation: a good teacher is patient and consistent", arXiv 2106.05237). On a CPU the teacher takes most of the time, so
its answers are kept for a while, and most steps look again at crops whose answer is known, mirrored or not.
"""

from __future__ import annotations

import collections
import copy
import dataclasses
import io
import json
import pickle
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model import averaging, checkpoint, errors, half, optimizers, pretrain_crops, pretrain_loss
from model import config as configs
from model.data import augment
from model.network import pretrained, raum_net
from model.pretrain_crops import Group
from model.pretrain_run import Run
from model.semi import schedules
from model.together import Together

Progress = Callable[[float, str], None]
Log = Callable[[int, dict[str, float]], None]


def distil(
    run: Run,
    groups: Sequence[Group],
    *,
    progress: Progress | None = None,
    log: Log | None = None,
    keep: Callable[[dict[str, Any]], None] | None = None,
    keep_seconds: float = 60.0,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Step until the run's steps or seconds are over, or stop() says so. `log` gets every step's figures, `keep` the state
    now and then and in the end.

    Raises BadInput for pictures that cannot be used, TrainingDiverged naming the step.
    """
    _check(groups)
    kept = time.perf_counter()
    while (done := run.done()) < 1.0 and not stop():
        figures = run.step(groups, done)
        if log is not None:
            log(run.steps, figures)
        if progress is not None:
            progress(min(run.done(), 1.0), run.message(figures))
        if keep is not None and time.perf_counter() - kept > keep_seconds:
            keep(run.state())
            kept = time.perf_counter()
    if keep is not None:
        keep(run.state())


def _check(groups: Sequence[Group]) -> None:
    if not groups:
        raise errors.BadInput("there is no picture to learn from")
    for group in groups:
        images = group.images_NHWC
        if len(images) == 0 or images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
            raise errors.BadInput(
                f"pictures are {images.dtype} {images.shape}; uint8 (N, H, W, 3) with N > 0 is needed"
            )


class Distillation:
    """The state of one run: student, its moving average, projections, optimisers, generator, what the teacher gives.

    `average` holds the weights worth keeping. student and teacher are raum_net networks; only their backbones are used.
    """

    def __init__(
        self,
        student: raum_net.RaumNet,
        teacher: raum_net.RaumNet,
        config: configs.PretrainConfig,
        together: Together | None = None,
    ) -> None:
        if config.batch % config.crops or config.batch < 2:
            raise errors.BadConfig(f"a batch of {config.batch} crops cannot hold {config.crops} of each image")
        if config.steps <= 0 and config.seconds <= 0:
            raise errors.BadConfig("give steps or seconds; both are 0 and the run would never end")
        self.config, self.together = config, together or Together()
        self.student, self.teacher = student.backbone.train(), teacher.backbone.eval().requires_grad_(False)
        self.student_input, self.teacher_input = student.config, teacher.config
        self.teacher_size = config.teacher_size or teacher.config.image_size
        self.device = next(self.student.parameters()).device
        self.average = copy.deepcopy(self.student).eval().requires_grad_(False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.loss = pretrain_loss.FeatureLoss(self.student.dim, self.teacher.dim).to(self.device)
            self.hints = self._pair().to(self.device)
        rates = configs.TrainConfig(
            lr=config.lr, lr_head=config.lr_projection, lr_matrix=config.lr_matrix, weight_decay=config.weight_decay
        )
        self.optimizers = optimizers.Optimizers(self.student, rates, nn.ModuleList([self.loss, self.hints]))
        self.generator = torch.Generator().manual_seed(config.seed + 7919 * self.together.rank)
        self.steps, self.seconds = 0, 0.0
        self.known: collections.deque[tuple[Tensor, list[Tensor]]] = collections.deque(maxlen=config.remembered)

    def done(self) -> float:
        """Share of the run that is over, by steps or by time, whichever limit is nearer; the same in every process."""
        by_steps = self.steps / self.config.steps if self.config.steps else 0.0
        by_time = self.seconds / self.config.seconds if self.config.seconds else 0.0
        return self.together.most(max(by_steps, by_time))

    @torch.no_grad()
    def _pair(self) -> pretrain_loss.HintLoss:
        """Which inner map of the teacher each stage of the student is to resemble, as a picture of zeros shows them."""
        if not self.config.hints:
            return pretrain_loss.HintLoss([], [])
        if not hasattr(self.teacher, "maps"):
            raise errors.BadConfig("this teacher shows no inner maps; use another, or no hints")
        blank = torch.zeros(1, 3, self.teacher_size, self.teacher_size, device=self.device)
        side = self.student_input.image_size
        own = self.student.maps(blank[..., :1, :1].expand(1, 3, side, side))
        return pretrain_loss.HintLoss(
            [each.shape for each in own[:-1]], [e.shape for e in self.teacher.maps(blank)[:-1]]
        )

    def step(self, groups: Sequence[Group], done: float) -> dict[str, float]:
        """One student step at `done` of the run; its losses, and the factor of the peak rates."""
        began = time.perf_counter()
        views_BCHW, told = self._lesson(groups)
        to = self.student_input
        seen_BCHW = augment.shown(views_BCHW, size=to.image_size, mean=to.mean, std=to.std)
        with self._half():
            *inner, features_BHWD = self.student.maps(seen_BCHW, self.generator)
        pooled, cells = self.loss(features_BHWD.float(), told[-1])
        hints = self.hints(inner, told[:-1])
        factor = schedules.learning_rate(done + 1e-4, warmup=self.config.warmup)
        self._descend(pooled + self.config.spatial * cells + self.config.hints * hints, factor)
        self.seconds += time.perf_counter() - began
        return {
            "pooled": pooled.item(),
            "cells": cells.item(),
            "hints": hints.item(),
            "rate": factor,
            "seconds": self.seconds,
        }

    def _lesson(self, groups: Sequence[Group]) -> tuple[Tensor, list[Tensor]]:
        """Views (B, 3, h, w) in [0, 1] and the teacher's maps of them, inner ones (those that are hints) first, its last
        one last: every `reuse`-th step new ones, else known ones."""
        if self.steps % self.config.reuse == 0 or not self.known:
            return self._ask(groups)
        views_BCHW, told = self.known[int(torch.randint(len(self.known), (), generator=self.generator))]
        if torch.rand((), generator=self.generator).item() < 0.5:
            return views_BCHW.float().flip(3) / 255, [map_BHWD.float().flip(2) for map_BHWD in told]
        return views_BCHW.float() / 255, [map_BHWD.float() for map_BHWD in told]

    @torch.no_grad()
    def _ask(self, groups: Sequence[Group]) -> tuple[Tensor, list[Tensor]]:
        """Cut new crops, ask the teacher about them, and remember what it says."""
        size = max(self.teacher_size, 2 * self.student_input.image_size)
        crops_BCHW = pretrain_crops.crops(groups, self.config, size=size, device=self.device, generator=self.generator)
        to = self.teacher_input
        with self._half():
            seen_BCHW = augment.shown(crops_BCHW, size=self.teacher_size, mean=to.mean, std=to.std)
            seen_BCHW = seen_BCHW.contiguous(memory_format=torch.channels_last)
            if self.config.hints:
                maps = self.teacher.maps(seen_BCHW)
                told = [maps[at].float() for at in (*self.hints.chosen, -1)]
            else:
                told = [self.teacher.features(seen_BCHW).float()]
        self.loss.watch(told[-1], self.together)
        self.hints.watch(told[:-1], self.together)
        side = self.student_input.image_size
        views_BCHW = F.interpolate(crops_BCHW, size=(side, side), mode="bilinear", antialias=True)
        if self.config.reuse > 1:
            kept = views_BCHW.mul(255).round_().to(torch.uint8), [map_BHWD.to(torch.bfloat16) for map_BHWD in told]
            self.known.append(kept)
        return views_BCHW, told

    def _descend(self, loss: Tensor, factor: float) -> None:
        """Backward, share gradients, clip, step, move the average; a loss that is not finite ends the run by name."""
        optimizers.check(loss.item(), step=self.steps + 1, lr=self.config.lr)
        self.optimizers.zero_grad()
        loss.backward()
        moved = [*self.student.parameters(), *self.loss.parameters(), *self.hints.parameters()]
        self.together.share_gradients(moved)
        nn.utils.clip_grad_norm_(moved, self.config.clip_norm)
        self.optimizers.step(factor)
        averaging.follow(self.average, self.student, self.config.ema, self.steps)
        self.steps += 1

    def _half(self) -> Any:
        """bfloat16 for both networks where the device computes in it."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=half.has_units(self.device))

    def state(self) -> dict[str, Any]:
        """Tensors and plain values to go on from; what the teacher said of earlier crops is not among them."""
        return {
            "recipe": dataclasses.asdict(self.config),
            "steps": self.steps,
            "seconds": self.seconds,
            "student": self.student.state_dict(),
            "average": self.average.state_dict(),
            "loss": self.loss.state_dict(),
            "hints": self.hints.state_dict(),
            "optimizers": self.optimizers.state(),
            "generator": self.generator.get_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state. Raises BadCheckpoint where it is of another student, teacher or recipe."""
        free = {"steps", "seconds"}  # a run may be made longer
        mine = dataclasses.asdict(self.config)
        other = [name for name in mine if name not in free and state["recipe"].get(name) != mine[name]]
        if other:
            told = ", ".join(f"{name} {state['recipe'].get(name)}" for name in other)
            raise errors.BadCheckpoint(f"the run to resume had {told}; give the same, or start anew without --resume")
        try:
            self.student.load_state_dict(state["student"])
            self.average.load_state_dict(state["average"])
            self.loss.load_state_dict(state["loss"])
            self.hints.load_state_dict(state.get("hints", {}))
        except RuntimeError as problem:
            raise errors.BadCheckpoint(f"the run to resume had another student or teacher: {problem}") from problem
        self.optimizers.restore(state["optimizers"])
        self.steps, self.seconds = state["steps"], state["seconds"]
        if self.together.count == 1:
            self.generator.set_state(state["generator"].cpu())
        else:  # the file is the first process's: everyone draws anew
            self.generator.manual_seed(self.config.seed + 7919 * self.together.rank + 104729 * self.steps)

    def message(self, figures: dict[str, float]) -> str:
        """One line for a progress bar."""
        return f"step {self.steps}: distance {figures['pooled']:.3f} of the mean, {figures['cells']:.3f} per cell"


def save(path: Path, run: Run, described: dict[str, Any]) -> None:
    """The averaged weights as the file that model/network/pretrained.py reads, with `described` beside its own facts."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in run.average.state_dict().items()}
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise errors.NotFinite(f"the weight {name} became NaN or infinite; lower lr (now {run.config.lr})")
    to = run.student_input
    header = {
        **described,
        "format": pretrained.FORMAT,
        "variant": to.backbone,
        "image_size": to.image_size,
        "mean": list(to.mean),
        "std": list(to.std),
        "pooling": to.pooling,
        "recipe": dataclasses.asdict(run.config),
        "steps": run.steps,
        "seconds": round(run.seconds, 1),
    }
    checkpoint.write(path, safetensors.torch.save(tensors, metadata={"raum": json.dumps(header, allow_nan=False)}))


def write_state(path: Path, state: dict[str, Any]) -> None:
    """A run's state, to resume from."""
    held = io.BytesIO()
    torch.save(state, held)
    checkpoint.write(path, held.getvalue())


def read_state(path: Path) -> dict[str, Any]:
    """What `write_state` wrote; tensors and plain values only. Raises BadCheckpoint by name."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, safetensors.SafetensorError) as problem:
        raise errors.BadCheckpoint(f"cannot read the run {path}: {problem}; start without --resume") from problem
    return state
