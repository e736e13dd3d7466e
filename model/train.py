"""One training run: labelled cross-entropy plus the strong view's on pseudo-labels that the method believes."""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from model import averaging, best, errors, optimizers, train_inputs
from model import config as configs
from model.data import augment
from model.semi import aux_losses, batches, evidence, first_head, methods, pseudo_labels, schedules, spotter

Progress = Callable[[float, str], None]
Log = Callable[[int, dict[str, float]], None]
_LOGGED = ("loss_labelled", "loss_unlabelled", "accepted")
_LOOK_EVERY = 4  # steps between two looks at threads() and stop()


@dataclasses.dataclass(frozen=True)
class TrainReport:
    """What a run did.

    `metrics`: loss_labelled, loss_unlabelled and accepted (mean weight of the pseudo-labels of the images looked at) over
    the last tenth of the steps; images_per_s (trained on), data_share (of the time, spent on making views), steps,
    seconds; with a check: validation, its best score, and chosen_at, the share of the run. `stopped` says that stop()
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
) -> TrainReport:
    """Train `net` in place and leave the moving average of its weights in it, in eval mode.

    Images are uint8 (N, H, W, 3) arrays, a memory map will do; labels_N are class indices below the net's num_classes.
    `targets_NK` gives soft labels where people disagree, rows sum to one; labels_N are then the likeliest classes.
    `regions_N4` says where in labelled images the evidence is, by people: x, y, w, h in shares of the image, NaN where
    nobody said. `log` gets every step's number and losses. `check` scores a network on images apart, more is better: it
    is asked a few times in the last fifth, and the weights that it likes best are left (model/best.py). `threads()` is
    asked every few steps how many CPU threads to use, `stop()` whether to end. The same seed, data and thread count give
    the same weights. Raises BadInput for arrays that do not fit, TrainingDiverged naming the step.
    """
    train_inputs.check(net, labelled_images, labels_N, unlabelled_images)
    soft_NK = train_inputs.soft(targets_NK, labels_N, net.config.num_classes)
    config = methods.settled(in_steps(config, len(labels_N)))
    if config.first_head:
        first_head.give(net, labelled_images, labels_N, unlabelled_images, config, soft_NK)
    run = _Run(net, labelled_images, labels_N, unlabelled_images, config, soft_NK)
    run.regions_N4 = train_inputs.regions(regions_N4, labels_N) if config.region else None
    kept = None if check is None else best.Best(check)
    began, stopped, done = time.perf_counter(), False, 0.0
    while done < 1.0:
        if run.steps % _LOOK_EVERY == 0:
            if stop is not None and stop():
                stopped = True
                break
            if threads is not None:
                torch.set_num_threads(max(1, threads()))
        run.step(done)
        done = schedules.over(run.steps, time.perf_counter() - began, config)
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
    return TrainReport(metrics, run.steps, stopped)


def in_steps(config: configs.TrainConfig, labelled: int) -> configs.TrainConfig:
    """A run that counts passes over the labelled images, in steps."""
    if config.epochs == 0:
        return config
    return dataclasses.replace(config, steps=config.epochs * -(-labelled // config.batch_labelled))


class _Run:
    """The state of one run: the net, its moving average, the optimiser, the generator and the running sums."""

    def __init__(
        self, net: nn.Module, images: Any, labels_N: Any, unlabelled: Any, config: configs.TrainConfig, soft_NK: Any
    ) -> None:
        self.net, self.config = averaging.begin(net, keep_norms=config.keep_norms), config
        self.rule = methods.rule(self.config, classes=net.config.num_classes, images=len(unlabelled))
        self.images, self.labels_N, self.unlabelled = images, np.asarray(labels_N), unlabelled
        self.soft_NK, self.device = soft_NK, next(net.parameters()).device
        self.regions_N4: NDArray[np.float32] | None = None
        self.average = copy.deepcopy(net).eval().requires_grad_(False)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.auxiliary = aux_losses.build(config.aux_loss, net, self.generator)
        self.spotter = spotter.Spotter(net, self.generator)
        helpers = [self.spotter] if self.auxiliary is None else [self.spotter, self.auxiliary]
        self.optimizers = optimizers.Optimizers(net, config, nn.ModuleList(helpers).to(self.device))
        rng = np.random.default_rng(config.seed)
        self.labelled_order = batches.labelled(self.config.oversample, self.labels_N, rng)
        self.unlabelled_order = batches.unlabelled(len(unlabelled), self.config.shown, self.config.cycle, rng)
        self.steps, self.history, self.data_seconds = 0, [], 0.0

    def step(self, done: float) -> None:
        """One optimiser step at `done` of the run."""
        chosen_B = self.labelled_order.take(self.config.batch_labelled)
        strength = self._strength(augment.LABELLED)
        theta_B23 = augment.geometry(len(chosen_B), strength, self.generator)
        views_BCHW = self._view(self.images, chosen_B, strength, theta_B23)
        targets_B = torch.from_numpy(self.labels_N[chosen_B]).to(self.device)
        trust = self._trust(done)
        strong_BCHW, verdict, looked = self._believed(trust)
        count = len(chosen_B)
        inputs_BCHW = torch.cat([views_BCHW, strong_BCHW]) if len(strong_BCHW) else views_BCHW
        targets_B = torch.cat([targets_B, verdict.targets_B]) if len(strong_BCHW) else targets_B
        certainty = self._certainty(chosen_B, targets_B)
        told = None if self.regions_N4 is None else (torch.from_numpy(self.regions_N4[chosen_B]), theta_B23)
        logits_BK, losses_B, plain_B = self._losses(inputs_BCHW, targets_B, certainty, done, told)
        labelled, unlabelled = losses_B[:count].mean(), losses_B.new_zeros(())
        if len(strong_BCHW):
            unlabelled = (losses_B[count:] * verdict.weights_B).sum() / looked
            unlabelled = unlabelled + self.rule.beside(logits_BK[count:], verdict)
        self._descend(labelled + trust * unlabelled, self._rate(done))
        accepted = verdict.weights_B.sum().item() / looked if len(strong_BCHW) else 0.0
        self.history.append((plain_B[:count].mean().item(), unlabelled.item(), accepted, len(inputs_BCHW)))
        self.steps += 1

    def _rate(self, done: float) -> float:
        """Factor of the peak learning rates at `done` of the run."""
        if self.config.schedule == "poly":
            return schedules.poly(done, end=self.config.lr_end / self.config.lr)
        return schedules.learning_rate(done + 1e-3, warmup=self.config.warmup)

    def _trust(self, done: float) -> float:
        """Weight of the pseudo-label loss at `done` of the run."""
        if self.rule is None or len(self.unlabelled) == 0:
            return 0.0
        return schedules.trust(done, start=self.config.ramp_start, ramp=self.config.ramp) * self.config.lambda_u

    def _certainty(self, chosen_B: Any, targets_B: torch.Tensor) -> torch.Tensor:
        """What the cross-entropy sees: class indices, or where people disagree probabilities (pseudo-labels one-hot)."""
        if self.soft_NK is None:
            return targets_B
        soft_BK = F.one_hot(targets_B, self.soft_NK.shape[1]).float()
        soft_BK[: len(chosen_B)] = torch.from_numpy(self.soft_NK[chosen_B]).to(self.device)
        return soft_BK

    def _losses(
        self,
        inputs_BCHW: torch.Tensor,
        targets_B: torch.Tensor,
        certainty: torch.Tensor,
        done: float,
        told: tuple[torch.Tensor, torch.Tensor] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Logits, each image's whole loss, and the part of it that is the classifier's own; `certainty`: as _certainty().

        The rest is the attention's own, the auxiliary loss, the spotter's own, and what tells the attention: look there.
        That is the region which a person drew (`told`, with the views' geometry), else the spotter's evidence, as far
        as it is sure.
        """
        output = self.net(inputs_BCHW, self.generator)
        plain_B = self._entropy(output.logits, certainty)
        losses_B = plain_B + sum(self.net.losses(output, targets_B, done=done).values())
        if self.auxiliary is not None:
            losses_B = losses_B + self.config.aux_weight * self.auxiliary(output, targets_B, self.generator)
        said_B = torch.zeros(len(losses_B), dtype=torch.bool, device=self.device)
        if told is not None:
            outside_B, said_B = evidence.outside(output.alpha, *told)
            losses_B = losses_B + self.config.region * outside_B
        if self.config.spot == 0:
            return output.logits, losses_B, plain_B.detach()
        spotted_BK, largest_BC, map_BHWC = self.spotter(output.features)
        losses_B = losses_B + self.config.spot * self._entropy(spotted_BK, certainty)
        if self.config.guide > 0:
            grid = (output.alpha.shape[1], output.alpha.shape[2])
            told_BHW = self.spotter.evidence(largest_BC, map_BHWC, targets_B, grid=grid)
            sure_B = spotted_BK.detach().softmax(dim=1).gather(1, targets_B[:, None])[:, 0]
            heard_B = -(told_BHW * output.alpha.clamp(min=1e-6).log()).sum(dim=(1, 2))
            losses_B = losses_B + self.config.guide * sure_B * heard_B.masked_fill(said_B, 0.0)
        return output.logits, losses_B, plain_B.detach()

    def _entropy(self, logits_BK: torch.Tensor, certainty: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(
            logits_BK.float(), certainty, reduction="none", label_smoothing=self.config.label_smoothing
        )

    def _believed(self, trust: float) -> tuple[torch.Tensor, pseudo_labels.PseudoLabels | None, int]:
        """Strong views of the images that teach, the verdict on those, and how many were looked at.

        The others have weight 0 in the loss, so their strong views are never made: the same gradient for less.
        """
        nothing = torch.empty(0, device=self.device)
        if trust == 0:
            return nothing, None, 0
        count = self.config.batch_unlabelled or self.config.unlabelled_ratio * self.config.batch_labelled
        chosen_B = self.unlabelled_order.take(count)
        weak_BCHW = self._view(self.unlabelled, chosen_B, augment.WEAK)
        verdict = self.rule.judge(self._posterior(weak_BCHW), torch.from_numpy(chosen_B))
        teaching_B = verdict.mask_B.cpu().numpy()
        if not teaching_B.any():
            return nothing, None, count
        strong_BCHW = self._view(self.unlabelled, chosen_B[teaching_B], self._strength(augment.STRONG))
        return strong_BCHW, verdict.taken(), count

    @torch.no_grad()
    def _posterior(self, weak_BCHW: torch.Tensor) -> torch.Tensor:
        """log_probs_BSK of the teacher without dropout, or posterior draws of its head where the method wants them."""
        teacher = self.net.eval() if self.config.teacher == "net" else self.average
        output = teacher(weak_BCHW)
        averaging.begin(self.net, keep_norms=self.config.keep_norms)
        if self.config.draws:
            return teacher.posterior(output.embedding, self.config.draws, self.generator)
        return F.log_softmax(output.logits.float(), dim=-1)[:, None]

    def _descend(self, loss: torch.Tensor, factor: float) -> None:
        """Backward, clip, step, and move the average; a loss that is not finite ends the run by name."""
        if not math.isfinite(loss.item()):
            raise errors.TrainingDiverged(
                f"the loss became {loss.item()} at step {self.steps + 1}; lower lr (now {self.config.lr}) and run again"
            )
        self.optimizers.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), self.config.clip_norm)
        self.optimizers.step(factor)
        keep = min(self.config.ema, (1 + self.steps) / (10 + self.steps))
        averaging.follow(self.average, self.net, keep)

    def _view(
        self, images: Any, chosen_B: Any, strength: augment.Strength, theta_B23: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Views of the chosen images on the net's device."""
        began = time.perf_counter()
        batch_BHWC = torch.from_numpy(images[chosen_B]).to(self.device)
        to = self.net.config
        views = augment.view(
            batch_BHWC, strength, size=to.image_size, mean=to.mean, std=to.std, generator=self.generator,
            theta_B23=theta_B23,
        )  # fmt: skip
        self.data_seconds += time.perf_counter() - began
        return views

    def _strength(self, strength: augment.Strength) -> augment.Strength:
        """The strength with the run's own occlusion where that is larger: every second labelled or strong view is covered, up
        to the rate. The weak view, from which a pseudo-label is read, never is."""
        rate = max(self.config.occlusion_rate, self.config.hidden or 0.0)
        if rate <= (strength.occlusion[1] if strength.occlude else 0.0):
            return strength
        return dataclasses.replace(strength, occlude=augment.STRONG.occlude, occlusion=(rate / 3, rate))

    def finish(self) -> None:
        """Give the net the averaged weights and put it in eval mode."""
        self.spotter.close()
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
            "data_share": self.data_seconds / max(seconds, 1e-9),
            "steps": float(self.steps),
            "seconds": seconds,
        }
