"""One training step's slopes: of a whole batch, of one process's part of it, or of that in several pieces, all the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from model import config as configs
from model import fitting, noise, precision
from model.semi import pseudo_labels
from model.together import Together
from model.train_lessons import Lesson
from model.train_losses import Losses, Taught


class Step:
    """Goes through lessons forward and backward. A loss is a sum over the images divided by the whole batch's number, so
    the slopes of all processes and pieces add up to those of the batch in one."""

    def __init__(
        self,
        losses: Losses,
        rule: pseudo_labels.Rule | None,
        soft_NK: NDArray[np.float32] | None,
        regions_N4: NDArray[np.float32] | None,
        generator: torch.Generator,
        together: Together,
        looked: int,
    ) -> None:
        self.losses, self.rule, self.generator, self.together = losses, rule, generator, together
        self.soft_NK, self.regions_N4, self.device = soft_NK, regions_N4, losses.device
        self.precision = precision.chosen(losses.config.precision, self.device)
        self.scaler = precision.scaler(self.precision, self.device)
        self.pieces = self._pieces(losses.config, looked)

    def teach(self, lesson: Lesson) -> Tensor:
        """Add up the slopes of this process's part; returns its share of three figures: labelled loss, unlabelled loss, and
        of the first what is the classifier's own."""
        begin, figures = self.generator.get_state(), torch.zeros(3, device=self.device)
        known_BK = self._logits(lesson, begin) if self._is_shared(lesson) else None
        for piece in range(self.pieces):
            self.generator.set_state(begin)  # every piece draws for the whole batch
            loss, found = self._piece(lesson, piece, known_BK)
            self.scaler.scale(loss).backward()
            figures += found
        self.losses.settle(self.together)
        return figures

    def _piece(self, lesson: Lesson, piece: int, known_BK: Tensor | None) -> tuple[Tensor, Tensor]:
        """The loss of one piece, and its figures."""
        count, (mine, strong) = len(lesson.chosen_B), self._rows(lesson, piece)
        taught = self._pass(lesson, mine, strong)
        here = mine.stop - mine.start
        labelled, beside = taught.losses_B[:here].sum() / count, taught.losses_B.new_zeros(())
        unlabelled = beside
        if lesson.verdict is not None:
            unlabelled = (taught.losses_B[here:] * lesson.verdict.weights_B[strong]).sum() / lesson.looked
            beside = self._beside(taught.logits_BK[here:], lesson, strong, known_BK)
        first = self.together.first and piece == 0  # everyone has the whole of what stands beside
        told = unlabelled + beside if first else unlabelled
        loss = labelled + lesson.trust * (unlabelled + beside)
        return loss, torch.stack([labelled, told, taught.plain_B[:here].sum() / count]).detach()

    def _pass(self, lesson: Lesson, mine: slice, strong: slice) -> Taught:
        """Losses of these labelled images and these believed ones."""
        count, chosen_B = len(lesson.chosen_B), lesson.chosen_B[mine]
        inputs_BCHW = _within(lesson.views_BCHW, mine, self.together.part(count))
        targets_B, numbers_B = lesson.labels_B[mine], torch.arange(mine.start, mine.stop)
        if lesson.verdict is not None:
            more_BCHW = _within(lesson.strong_BCHW, strong, self.together.part(lesson.taught))
            inputs_BCHW = torch.cat([inputs_BCHW, more_BCHW])
            targets_B = torch.cat([targets_B, lesson.verdict.targets_B[strong]])
            numbers_B = torch.cat([numbers_B, count + torch.arange(strong.start, strong.stop)])
        told = None
        if self.regions_N4 is not None:
            told = torch.from_numpy(self.regions_N4[chosen_B]), lesson.theta_B23[mine]
        rows, certainty = (
            noise.Rows(self.generator, numbers_B, count + lesson.taught),
            self._certainty(chosen_B, targets_B),
        )
        with precision.computing(self.precision, self.device):
            return self.losses(inputs_BCHW, targets_B, certainty, rows, done=lesson.done, told=told)

    def _rows(self, lesson: Lesson, piece: int) -> tuple[slice, slice]:
        """Which labelled images and which believed ones belong to a piece."""
        parts = [self.together.part(total, piece, self.pieces) for total in (len(lesson.chosen_B), lesson.taught)]
        return parts[0], parts[1]

    def _certainty(self, chosen_B: NDArray[np.int64], targets_B: Tensor) -> Tensor:
        """What the cross-entropy sees: class indices, or where people disagree probabilities (pseudo-labels one-hot)."""
        if self.soft_NK is None:
            return targets_B
        soft_BK = F.one_hot(targets_B, self.soft_NK.shape[1]).float()
        soft_BK[: len(chosen_B)] = torch.from_numpy(self.soft_NK[chosen_B]).to(self.device)
        return soft_BK

    def _is_shared(self, lesson: Lesson) -> bool:
        """Whether the rule has a loss on all strong views at once, of which a pass here sees only some."""
        if lesson.verdict is None or self.pieces * self.together.count == 1:
            return False
        return type(self.rule).beside is not pseudo_labels.Rule.beside

    @torch.no_grad()
    def _logits(self, lesson: Lesson, begin: Tensor) -> Tensor:
        """Logits of all strong views, by a pass ahead of the one that learns."""
        found = []
        for piece in range(self.pieces):
            self.generator.set_state(begin)
            mine, strong = self._rows(lesson, piece)
            found.append(self._pass(lesson, mine, strong).logits_BK[mine.stop - mine.start :])
        self.losses.forget()
        return self.together.gather(torch.cat(found), lesson.taught)

    def _beside(self, logits_BK: Tensor, lesson: Lesson, strong: slice, known_BK: Tensor | None) -> Tensor:
        """The rule's further loss, in whose slope these logits have their share."""
        if known_BK is not None:
            logits_BK = torch.cat([known_BK[: strong.start], logits_BK, known_BK[strong.stop :]])
        rule: Any = self.rule
        return rule.beside(logits_BK, lesson.verdict)

    def _pieces(self, config: configs.TrainConfig, looked: int) -> int:
        """In how many pieces this process takes its part of a batch: as many as asked for, and as the memory wants."""
        share = config.batch_labelled // self.together.count
        pieces = max(1, min(config.accumulate, share))
        if config.fit_batch and self.device.type == "cuda":
            most = share + looked // self.together.count
            found = fitting.pieces(lambda count: fitting.fits(self.losses, self.precision, count), most, begin=pieces)
            pieces = int(self.together.most(min(found, share)))
        return pieces


def _within(views_BCHW: Tensor, rows: slice, own: slice) -> Tensor:
    """The views of rows of the whole batch, out of those of a process's own."""
    return views_BCHW[rows.start - own.start : rows.stop - own.start]
