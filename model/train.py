"""One training run: labelled cross-entropy plus the strong view's on pseudo-labels that the method believes."""

from __future__ import annotations

import copy
import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model import (
    averaging,
    best,
    optimizers,
    together_norms,
    train_inputs,
    train_lessons,
    train_losses,
    train_step,
)
from model import config as configs
from model.semi import first_head, methods, schedules
from model.together import Together

Progress = Callable[[float, str], None]
Log = Callable[[int, dict[str, float]], None]
_LOGGED = ("loss_labelled", "loss_unlabelled", "accepted")
_LOOK_EVERY = 4  # steps between two looks at threads() and stop()


@dataclasses.dataclass(frozen=True)
class TrainReport:
    """What a run did.

    `metrics`: loss_labelled, loss_unlabelled and accepted (mean weight of the pseudo-labels of the images looked at) over
    the last tenth of the steps; images_per_s (trained on), data_share (of the time, spent on making views), pieces (in
    which a process takes its part of a batch), steps, seconds; with a check: validation, its best score, and chosen_at,
    the share of the run. `stopped` says that stop()
    ended it early; the weights are then those of that moment.
    """

    metrics: dict[str, float]
    steps: int
    stopped: bool


def train(
    net: nn.Module,
    *,
    labelled_images: NDArray[np.uint8],
    labels_N: NDArray[np.int64],
    unlabelled_images: NDArray[np.uint8],
    config: configs.TrainConfig,
    targets_NK: NDArray[np.floating] | None = None,
    regions_N4: NDArray[np.floating] | None = None,
    progress: Progress | None = None,
    threads: Callable[[], int] | None = None,
    stop: Callable[[], bool] | None = None,
    log: Log | None = None,
    check: best.Check | None = None,
    together: Together | None = None,
) -> TrainReport:
    """Train `net` in place and leave the moving average of its weights in it, in eval mode.

    Images are uint8 (N, H, W, 3) arrays, a memory map will do; labels_N are class indices below the net's num_classes.
    `targets_NK` gives soft labels where people disagree, rows sum to one; labels_N are then the likeliest classes.
    `regions_N4` says where in labelled images the evidence is, by people: x, y, w, h in shares of the image, NaN where
    nobody said. `log` gets every step's number and losses. `check` scores a network on images apart, more is better: it
    is asked a few times in the last fifth, and the weights that it likes best are left (model/best.py). `threads()` is
    asked every few steps how many CPU threads to use, `stop()` whether to end. The same seed, data and thread count give
    the same weights. `together`: several processes call this alike, and each takes its rows of every batch; only the first
    one is checked, and leaves what counts. Raises BadInput for arrays that do not fit, TrainingDiverged naming the step.
    """
    joined = together or Together()
    train_inputs.check(net, labelled_images, labels_N, unlabelled_images)
    soft_NK = train_inputs.soft(targets_NK, labels_N, net.config.num_classes)
    config = methods.settled(in_steps(config, len(labels_N)))
    train_inputs.check_shares(config, joined.count)
    joined.same(net.state_dict().values())
    taught = (labelled_images, labels_N, unlabelled_images, config, soft_NK, joined)
    if config.first_head:
        first_head.give(net, *taught)
    joined.same(net.state_dict().values())
    told_N4 = train_inputs.regions(regions_N4, labels_N) if config.region else None
    run = _Run(net, labelled_images, labels_N, unlabelled_images, config, joined, soft_NK=soft_NK, regions_N4=told_N4)
    kept = None if check is None or not joined.first else best.Best(check)
    began, stopped, done = time.perf_counter(), False, 0.0
    while done < 1.0:
        if run.steps % _LOOK_EVERY == 0:
            if joined.most(float(stop is not None and stop())):
                stopped = True
                break
            if threads is not None:
                torch.set_num_threads(max(1, threads()))
        run.step(done)
        done = joined.most(schedules.over(run.steps, time.perf_counter() - began, config))
        if progress is not None:
            progress(done, run.message())
        if log is not None:
            log(run.steps, dict(zip(_LOGGED, run.history[-1], strict=False)))
        if kept is not None:
            kept.look(run.average, done)
    run.finish()
    metrics = run.metrics(time.perf_counter() - began)
    if kept is not None and kept.weights:
        kept.give(net)
        metrics |= {"validation": kept.score, "chosen_at": kept.at}
    if config.refit and not stopped:
        joined.same(net.state_dict().values())
        first_head.give(net, *taught, share=config.refit, hidden=max(config.hidden or 0.0, config.occlusion_rate))
        joined.same(net.state_dict().values())
    return TrainReport(metrics, run.steps, stopped)


def in_steps(config: configs.TrainConfig, labelled: int) -> configs.TrainConfig:
    """A run that counts passes over the labelled images, in steps."""
    if config.epochs == 0:
        return config
    return dataclasses.replace(config, steps=config.epochs * -(-labelled // config.batch_labelled))


class _Run:
    """The state of one run: the net, its moving average, the optimiser, the generator and the running sums."""

    def __init__(
        self,
        net: nn.Module,
        images: Any,
        labels_N: Any,
        unlabelled: Any,
        config: configs.TrainConfig,
        together: Together,
        *,
        soft_NK: NDArray[np.float32] | None,
        regions_N4: NDArray[np.float32] | None,
    ) -> None:
        self.net, self.config, self.together = averaging.begin(net, keep_norms=config.keep_norms), config, together
        self.average = copy.deepcopy(net).eval().requires_grad_(False)
        together_norms.share(net, together)
        generator = torch.Generator().manual_seed(config.seed)
        self.losses = train_losses.Losses(net, config, generator)
        together.same(self.losses.helpers.state_dict().values())
        self.optimizers = optimizers.Optimizers(net, config, self.losses.helpers)
        self.lessons = train_lessons.Lessons(net, images, labels_N, unlabelled, config, generator, together)
        rule, looked = self.lessons.rule, self.lessons.looked
        self.pass_ = train_step.Step(self.losses, rule, soft_NK, regions_N4, generator, together, looked)
        self.steps, self.history = 0, []

    def step(self, done: float) -> None:
        """One optimiser step at `done` of the run."""
        teacher = self.net if self.config.teacher == "net" else self.average
        lesson = self.lessons.next(done, self._trust(done), teacher, self.pass_.pieces)
        self.optimizers.zero_grad()
        figures = self.together.sum_gradients(self.optimizers.parameters, self.pass_.teach(lesson))
        labelled, unlabelled, plain = figures.tolist()
        self._descend(labelled + lesson.trust * unlabelled, self._rate(done))
        accepted = 0.0 if lesson.verdict is None else lesson.verdict.weights_B.sum().item() / lesson.looked
        self.history.append((plain, unlabelled, accepted, len(lesson.chosen_B) + lesson.taught))
        self.steps += 1

    def _rate(self, done: float) -> float:
        """Factor of the peak learning rates at `done` of the run."""
        if self.config.schedule == "poly":
            return schedules.poly(done, end=self.config.lr_end / self.config.lr)
        return schedules.learning_rate(done + 1e-3, warmup=self.config.warmup)

    def _trust(self, done: float) -> float:
        """Weight of the pseudo-label loss at `done` of the run."""
        if self.lessons.looked == 0:
            return 0.0
        return schedules.trust(done, start=self.config.ramp_start, ramp=self.config.ramp) * self.config.lambda_u

    def _descend(self, loss: float, factor: float) -> None:
        """Clip, step, and move the average; a loss that is not finite ends the run by name."""
        optimizers.check(loss, step=self.steps + 1, lr=self.config.lr)
        scaler = self.pass_.scaler
        self.optimizers.unscale(scaler)
        nn.utils.clip_grad_norm_(self.net.parameters(), self.config.clip_norm)
        self.optimizers.step(factor, scaler)
        averaging.follow(self.average, self.net, self.config.ema, self.steps)

    def finish(self) -> None:
        """Give the net the averaged weights and put it in eval mode."""
        self.losses.spotter.close()
        together_norms.release(self.net)
        self.net.load_state_dict(self.average.state_dict())
        self.net.eval()

    def message(self) -> str:
        """One line for the page."""
        labelled, unlabelled, accepted, _ = self.history[-1]
        return f"step {self.steps}: loss {labelled:.2f} labelled, {unlabelled:.2f} unlabelled, {accepted:.0%} accepted"

    def metrics(self, seconds: float) -> dict[str, float]:
        """Means over the last tenth of the run, and speed over all of it."""
        tail = np.array(self.history[-max(1, len(self.history) // 10) :] or [(0.0, 0.0, 0.0, 0)])
        images = float(sum(row[3] for row in self.history))
        return {
            "loss_labelled": float(tail[:, 0].mean()),
            "loss_unlabelled": float(tail[:, 1].mean()),
            "accepted": float(tail[:, 2].mean()),
            "images_per_s": images / max(seconds, 1e-9),
            "data_share": self.lessons.views.seconds / max(seconds, 1e-9),
            "pieces": float(self.pass_.pieces),
            "steps": float(self.steps),
            "seconds": seconds,
        }
