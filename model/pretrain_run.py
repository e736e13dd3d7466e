"""What every pretraining shows to the loop that steps it, and to the file that it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import nn

from model import config as configs
from model.pretrain_crops import Group


class Run(Protocol):
    """A pretraining of any kind, stepped by model/pretrain.py: its own, or model/self_taught.py's."""

    config: Any
    student_input: configs.NetworkConfig
    average: nn.Module
    steps: int
    seconds: float

    def done(self) -> float: ...

    def step(self, groups: Sequence[Group], done: float) -> dict[str, float]: ...

    def message(self, figures: dict[str, float]) -> str: ...

    def state(self) -> dict[str, Any]: ...
