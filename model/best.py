"""Which of a run's weights are kept: those that did best on images apart from both training and test."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

Check = Callable[[nn.Module], float]
LOOKS = (0.8, 0.85, 0.9, 0.95, 1.0)  # shares of a run


class Best:
    """Looks at the averaged weights a few times in the last fifth of a run; of equally good ones it keeps the later.

    Not earlier: while the rate is high and some methods have not begun to use the unlabelled images, few validation images
    would choose weights by chance that all others know to be worse.
    """

    def __init__(self, check: Check) -> None:
        self.check, self.due = check, list(LOOKS)
        self.score, self.at = -float("inf"), 0.0
        self.weights: dict[str, torch.Tensor] = {}

    def look(self, net: nn.Module, done: float) -> None:
        """Take `net` into account if a look is due at `done` of the run."""
        if not self.due or done < self.due[0]:
            return
        self.due = [each for each in self.due if each > done]
        score = self.check(net)
        if score >= self.score:
            self.score, self.at = score, done
            self.weights = {name: tensor.clone() for name, tensor in net.state_dict().items()}

    def give(self, net: nn.Module) -> None:
        """Put the kept weights into `net`; a run that was stopped before the first look keeps its own."""
        if self.weights:
            net.load_state_dict(self.weights)
