"""What a training step is given: the next labelled images, and those of the unlabelled that the method believes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from model import averaging, precision
from model import config as configs
from model.data import augment
from model.semi import batches, methods, pseudo_labels
from model.together import Together
from model.train_views import Views


@dataclasses.dataclass
class Lesson:
    """A step's batch: `chosen_B` labelled images and `taught` believed ones, and the views of those of them that are this
    process's; the rest says something of all. looked: unlabelled images that were looked at."""

    chosen_B: NDArray[np.int64]
    labels_B: Tensor
    theta_B23: Tensor
    views_BCHW: Tensor
    strong_BCHW: Tensor
    verdict: pseudo_labels.PseudoLabels | None
    looked: int
    done: float
    trust: float

    @property
    def taught(self) -> int:
        return 0 if self.verdict is None else len(self.verdict.targets_B)


class Lessons:
    """Makes them, one after the other; of each the views of this process's rows alone."""

    def __init__(
        self,
        net: Any,
        images: Any,
        labels_N: NDArray[np.int64],
        unlabelled: Any,
        config: configs.TrainConfig,
        generator: torch.Generator,
        together: Together,
    ) -> None:
        self.net, self.config, self.generator, self.together = net, config, generator, together
        self.device = next(net.parameters()).device
        self.images, self.labels_N, self.unlabelled = images, np.asarray(labels_N), unlabelled
        self.rule = methods.rule(config, classes=net.config.num_classes, images=len(unlabelled))
        self.views = Views(net, config, generator)
        self.precision = precision.chosen(config.precision, self.device)
        rng = np.random.default_rng(config.seed)
        self.labelled_order = batches.labelled(config.oversample, self.labels_N, rng)
        self.unlabelled_order = batches.unlabelled(len(unlabelled), config.shown, config.cycle, rng)

    @property
    def looked(self) -> int:
        """Unlabelled images that a step looks at, once it does."""
        if self.rule is None or len(self.unlabelled) == 0:
            return 0
        return configs.looked(self.config)

    def next(self, done: float, trust: float, teacher: Any, pieces: int) -> Lesson:
        """The lesson at `done` of the run, with `trust` in what `teacher` believes, who looks in so many pieces."""
        chosen_B = self.labelled_order.take(self.config.batch_labelled)
        strength = self.views.strength(augment.LABELLED, done)
        theta_B23 = augment.geometry(len(chosen_B), strength, self.generator)
        views_BCHW = self.views.make(self.images, chosen_B, self.together.part(len(chosen_B)), strength, theta_B23)
        labels_B = torch.from_numpy(self.labels_N[chosen_B]).to(self.device)
        strong_BCHW, verdict = self._believed(teacher, pieces, done) if trust else (views_BCHW[:0], None)
        return Lesson(chosen_B, labels_B, theta_B23, views_BCHW, strong_BCHW, verdict, self.looked, done, trust)

    def _believed(self, teacher: Any, pieces: int, done: float) -> tuple[Tensor, pseudo_labels.PseudoLabels | None]:
        """Strong views of the images that teach, and the verdict on those.

        The others have weight 0 in the loss, so their strong views are never made: the same gradient for less. All
        processes hear everything that was seen: what the method remembers is the same in all of them.
        """
        chosen_B = self.unlabelled_order.take(self.looked)
        weak_BCHW = self.views.make(self.unlabelled, chosen_B, self.together.part(len(chosen_B)), augment.WEAK)
        seen_BSK = self.together.gather(self._posterior(teacher, weak_BCHW, pieces), len(chosen_B))
        verdict = self.rule.judge(seen_BSK, torch.from_numpy(chosen_B))
        self.together.same(each for each in verdict if each is not None)  # other processors may round otherwise
        teaching_B = verdict.mask_B.cpu().numpy()
        if not teaching_B.any():
            return weak_BCHW[:0], None
        taught_B, strength = chosen_B[teaching_B], self.views.strength(augment.STRONG, done)
        strong_BCHW = self.views.make(self.unlabelled, taught_B, self.together.part(len(taught_B)), strength)
        return strong_BCHW, verdict.taken()

    @torch.no_grad()
    def _posterior(self, teacher: Any, weak_BCHW: Tensor, pieces: int) -> Tensor:
        """log_probs_BSK of the teacher without dropout, or posterior draws of its head where the method wants them."""
        teacher.eval()
        with precision.computing(self.precision, self.device):
            parts = [teacher(part_BCHW) for part_BCHW in weak_BCHW.tensor_split(min(pieces, len(weak_BCHW)))]
        averaging.begin(self.net, keep_norms=self.config.keep_norms)
        if self.config.draws:
            embedding_BD = torch.cat([part.embedding for part in parts])
            return teacher.posterior(embedding_BD, self.config.draws, self.generator)
        return F.log_softmax(torch.cat([part.logits for part in parts]).float(), dim=-1)[:, None]
