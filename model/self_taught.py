"""Pretraining on a pool's own images without labels or a teacher: two views of an image are to look alike, images not.

For pictures that no pretrained weights know, microscopy or X-ray. Three objectives by name in one table.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model import averaging, errors, optimizers, self_taught_config
from model import config as configs
from model.data import augment
from model.network import raum_net
from model.pretrain_crops import Group
from model.semi import schedules

VIEW = augment.Strength(
    crop=0.45, stretch=1.2, rotate=20.0, brightness=0.4, contrast=0.4, saturation=0.4, hue=15.0, grey=0.1, blur=0.3
)
HIDDEN = 512
SAME, SPREAD, APART = 25.0, 25.0, 1.0  # of VICReg's terms
PROTOTYPES, WARM, SHARP, CENTRE = 256, 0.1, 0.04, 0.9  # of DINO: temperatures of student and teacher, momentum


class VICReg(nn.Module):
    """Variance, invariance, covariance (Bardes, Ponce and LeCun 2022, arXiv 2105.04906) after an expander."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.expander = _layers(dim, HIDDEN, HIDDEN, HIDDEN)

    def forward(self, one_BD: Tensor, two_BD: Tensor, taught: Sequence[Tensor]) -> Tensor:
        """25 mean squared distance + 25 hinge on each dimension's deviation below 1 + squared covariances / D."""
        one_BE, two_BE = self.expander(one_BD), self.expander(two_BD)
        loss = SAME * F.mse_loss(one_BE, two_BE)
        for each_BE in (one_BE, two_BE):
            centred_BE = each_BE - each_BE.mean(dim=0)
            deviation_E = (centred_BE.square().sum(dim=0) / (len(each_BE) - 1) + 1e-4).sqrt()
            covariance_EE = centred_BE.T @ centred_BE / (len(each_BE) - 1)
            beside = covariance_EE.square().sum() - covariance_EE.diagonal().square().sum()
            loss = loss + SPREAD / 2 * F.relu(1 - deviation_E).mean() + APART * beside / each_BE.shape[1]
        return loss


class SimSiam(nn.Module):
    """Simple siamese networks (Chen and He 2021, arXiv 2011.10566): a predictor, and no gradient through what it is to hit."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.projector = nn.Sequential(_layers(dim, HIDDEN, HIDDEN, HIDDEN), nn.BatchNorm1d(HIDDEN, affine=False))
        self.predictor = _layers(HIDDEN, HIDDEN // 4, HIDDEN)

    def forward(self, one_BD: Tensor, two_BD: Tensor, taught: Sequence[Tensor]) -> Tensor:
        """Mean of the two negative cosines."""
        one_BE, two_BE = self.projector(one_BD), self.projector(two_BD)
        pairs = ((self.predictor(one_BE), two_BE), (self.predictor(two_BE), one_BE))
        return torch.stack([-F.cosine_similarity(said_BE, to_BE.detach()).mean() for said_BE, to_BE in pairs]).mean()


class Dino(nn.Module):
    """Self-distillation (Caron et al. 2021, arXiv 2104.14294) with two whole views: the averaged network teaches.

    Where theirs has an own average of the head, the head is the student's, without gradient: one thing less to keep.
    """

    wants_teacher = True

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.projector = _layers(dim, HIDDEN, HIDDEN, HIDDEN // 4)
        self.prototypes = nn.Linear(HIDDEN // 4, PROTOTYPES, bias=False)
        self.register_buffer("centre_P", torch.zeros(PROTOTYPES))

    def forward(self, one_BD: Tensor, two_BD: Tensor, taught: Sequence[Tensor]) -> Tensor:
        """Cross-entropy of each view's student with the other view's centred and sharpened teacher."""
        with torch.no_grad():
            told = [self._scores(each_BD) for each_BD in taught]
            targets = [((each_BP - self.centre_P) / SHARP).softmax(dim=1) for each_BP in told]
            self.centre_P.lerp_(torch.cat(told).mean(dim=0), 1 - CENTRE)
        said = [(self._scores(each_BD) / WARM).log_softmax(dim=1) for each_BD in (one_BD, two_BD)]
        return -(targets[1] * said[0] + targets[0] * said[1]).sum(dim=1).mean() / 2

    def _scores(self, pooled_BD: Tensor) -> Tensor:
        to_PE = F.normalize(self.prototypes.weight, dim=1)
        return F.normalize(self.projector(pooled_BD), dim=1) @ to_PE.T


def _layers(*widths: int) -> nn.Sequential:
    """Linear layers, a batch norm and a ReLU between two."""
    parts: list[nn.Module] = []
    for given, wanted in itertools.pairwise(widths[:-1]):
        parts += [nn.Linear(given, wanted, bias=False), nn.BatchNorm1d(wanted), nn.ReLU()]
    return nn.Sequential(*parts, nn.Linear(widths[-2], widths[-1]))


OBJECTIVES: dict[str, Callable[[int], nn.Module]] = {"vicreg": VICReg, "simsiam": SimSiam, "dino": Dino}


class SelfTaught:
    """The state of one run, to be stepped by `model.pretrain.distil`: backbone, its average, objective, optimisers.

    `average` holds the weights worth keeping. Of the raum_net network only the backbone is used.
    """

    def __init__(self, net: raum_net.RaumNet, config: self_taught_config.SelfTaughtConfig) -> None:
        if config.objective not in OBJECTIVES:
            raise errors.UnknownName("objective", config.objective, OBJECTIVES)
        if config.batch < 4:
            raise errors.BadConfig(f"a batch of {config.batch} images cannot be told apart; 4 are the least")
        if config.steps <= 0 and config.seconds <= 0:
            raise errors.BadConfig("give steps or seconds; both are 0 and the run would never end")
        self.config, self.student, self.student_input = config, net.backbone.train(), net.config
        self.device = next(self.student.parameters()).device
        self.average = copy.deepcopy(self.student).eval().requires_grad_(False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.objective = OBJECTIVES[config.objective](self.student.dim).to(self.device)
        share = config.gentle if net.config.pretrained and net.config.weights else 1.0
        rates = configs.TrainConfig(
            lr=share * config.lr, lr_head=config.lr_head, lr_matrix=share * config.lr_matrix,
            weight_decay=config.weight_decay,
        )  # fmt: skip
        self.optimizers = optimizers.Optimizers(self.student, rates, self.objective)
        self.generator = torch.Generator().manual_seed(config.seed)
        self.steps, self.seconds = 0, 0.0

    def done(self) -> float:
        """Share of the run that is over, by steps or by time, whichever limit is nearer."""
        by_steps = self.steps / self.config.steps if self.config.steps else 0.0
        by_time = self.seconds / self.config.seconds if self.config.seconds else 0.0
        return max(by_steps, by_time)

    def step(self, groups: Sequence[Group], done: float) -> dict[str, float]:
        """One step at `done` of the run, on images of the one group; its loss and the factor of the peak rates."""
        began = time.perf_counter()
        images_NHWC = groups[0].images_NHWC
        count = min(self.config.batch, len(images_NHWC))
        chosen_B = torch.randperm(len(images_NHWC), generator=self.generator)[:count].numpy()
        batch_BHWC = torch.from_numpy(images_NHWC[chosen_B]).to(self.device)
        one, two = self._view(batch_BHWC), self._view(batch_BHWC)
        both_BD = self.student.features(torch.cat([one, two]), self.generator).mean(dim=(1, 2)).float()
        taught: Sequence[Tensor] = ()
        if getattr(self.objective, "wants_teacher", False):
            with torch.no_grad():
                taught = self.average.features(torch.cat([one, two])).mean(dim=(1, 2)).float().chunk(2)
        loss = self.objective(*both_BD.chunk(2), taught)
        factor = schedules.learning_rate(done + 1e-4, warmup=self.config.warmup)
        self._descend(loss, factor)
        self.seconds += time.perf_counter() - began
        spread = F.normalize(both_BD.detach(), dim=1).std(dim=0).mean().item() * math.sqrt(both_BD.shape[1])
        return {"loss": loss.item(), "spread": spread, "rate": factor, "seconds": self.seconds}

    def _view(self, batch_BHWC: Tensor) -> Tensor:
        to = self.student_input
        side = self.config.side or to.image_size
        return augment.view(batch_BHWC, VIEW, size=side, mean=to.mean, std=to.std, generator=self.generator)

    def _descend(self, loss: Tensor, factor: float) -> None:
        optimizers.check(loss.item(), step=self.steps + 1, lr=self.config.lr)
        self.optimizers.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([*self.student.parameters(), *self.objective.parameters()], self.config.clip_norm)
        self.optimizers.step(factor)
        averaging.follow(self.average, self.student, self.config.ema, self.steps)
        self.steps += 1

    def state(self) -> dict[str, Any]:
        """Tensors and plain values to go on from."""
        return {
            "recipe": dataclasses.asdict(self.config),
            "steps": self.steps,
            "seconds": self.seconds,
            "student": self.student.state_dict(),
            "average": self.average.state_dict(),
            "objective": self.objective.state_dict(),
            "optimizers": self.optimizers.state(),
            "generator": self.generator.get_state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state. Raises BadCheckpoint where it is of another network or recipe."""
        if state.get("recipe") != dataclasses.asdict(self.config):
            raise errors.BadCheckpoint("the run to resume had another recipe")
        try:
            self.student.load_state_dict(state["student"])
            self.average.load_state_dict(state["average"])
            self.objective.load_state_dict(state["objective"])
            self.optimizers.restore(state["optimizers"])
        except (RuntimeError, KeyError, ValueError) as problem:
            raise errors.BadCheckpoint(f"the run to resume had another network: {problem}") from problem
        self.steps, self.seconds = state["steps"], state["seconds"]
        self.generator.set_state(state["generator"].cpu())

    def message(self, figures: dict[str, float]) -> str:
        """One line for a progress bar."""
        return f"step {self.steps}: loss {figures['loss']:.3f}, spread {figures['spread']:.2f}"
