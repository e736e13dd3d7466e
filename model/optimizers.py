"""What moves the weights: Muon for the network's matrices when it learns from scratch, AdamW for all else.

Muon (K. Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/) replaces a matrix's momentum by a nearly
orthogonal one, so that directions which few images speak for move as far as the common ones. From scratch that is what
few labels need: on the demo pool 300 labels and 330 steps gave 96 % with it and 80 % without, and no seed fails.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from model import config as configs
from model import errors

_NO_DECAY = ("A_logs", "Ds", "bias", "gamma")
_LEAST_SIDE = 32  # of a matrix worth orthogonalising: stems, depth-wise filters and scores stay with AdamW
_MOST_ENTRIES = 5_000_000  # beyond, as in RA-CNN's first layer, it takes longer than all else in a step
_QUINTIC = (3.4445, -4.7750, 2.0315)  # the published coefficients: five passes bring all singular values near 1


def check(loss: float, *, step: int, lr: float) -> None:
    """Raises TrainingDiverged by name where a loss is not finite; `step` counts from 1."""
    if not math.isfinite(loss):
        raise errors.TrainingDiverged(f"the loss became {loss} at step {step}; lower lr (now {lr}) and run again")


class Muon(Optimizer):
    """Nesterov momentum, made orthogonal, times lr sqrt(max(1, rows/columns)); filters (O, I, h, w) count as O x Ihw.

    torch.optim.Muon computes in bfloat16, which on a CPU without such units takes thirty times as long, and refuses
    filters.
    """

    def __init__(self, parameters: list[nn.Parameter], *, lr: float, weight_decay: float, momentum: float = 0.95):
        super().__init__(parameters, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """Move every parameter that has a gradient; a closure is not called."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].mul_(group["momentum"]).add_(parameter.grad)
                ahead = parameter.grad.add(state["momentum"], alpha=group["momentum"]).flatten(1)
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                stretch = max(1.0, ahead.shape[0] / ahead.shape[1]) ** 0.5
                parameter.add_(orthogonal(ahead).view_as(parameter), alpha=-group["lr"] * stretch)


def orthogonal(matrix_RC: Tensor) -> Tensor:
    """The matrix with its singular values brought into about 0.7 to 1.2, by five Newton-Schulz passes in fp32."""
    tall = matrix_RC.shape[0] > matrix_RC.shape[1]
    x = (matrix_RC.T if tall else matrix_RC).float()
    x = x / x.norm().clamp(min=1e-7)
    linear, cubic, quintic = _QUINTIC
    for _ in range(5):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=cubic, alpha=quintic), x, beta=linear)
    return (x.T if tall else x).to(matrix_RC.dtype)


class Optimizers:
    """The optimisers of one run behind one face; `helper` is a module that exists only while training.

    With config.sgd everything is moved by SGD of that momentum, and every weight decays, as in the recipes that ask for it.
    """

    def __init__(self, net: nn.Module, config: configs.TrainConfig, helper: nn.Module) -> None:
        classifiers = _classifiers(net)
        matrices: list[nn.Parameter] = []
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in net.named_parameters():
            if not parameter.requires_grad:
                continue
            if (
                config.lr_matrix > 0
                and config.sgd == 0
                and _is_matrix(name, parameter)
                and not name.startswith(classifiers)
            ):
                matrices.append(parameter)
                continue
            decays = config.sgd > 0 or (parameter.ndim >= 2 and not name.endswith(_NO_DECAY))
            peak = config.lr_head if name.startswith(("head", "attention")) else config.lr
            groups.setdefault((peak, config.weight_decay if decays else 0.0), []).append(parameter)
        groups.setdefault((config.lr_head, 0.0), []).extend(helper.parameters())
        rest = [{"params": held, "lr": peak, "weight_decay": decay} for (peak, decay), held in groups.items()]
        self._all: list[Optimizer] = [SGD(rest, momentum=config.sgd) if config.sgd else AdamW(rest, betas=(0.9, 0.99))]
        if matrices:
            self._all.append(Muon(matrices, lr=config.lr_matrix, weight_decay=config.weight_decay))
        self._peaks = [group["lr"] for group in self.groups]

    @property
    def groups(self) -> list[dict[str, Any]]:
        """Every group of parameters with its rate; restoring a state makes new ones."""
        return [group for optimizer in self._all for group in optimizer.param_groups]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for optimizer in self._all:
            optimizer.zero_grad(set_to_none=True)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Everything that is moved."""
        return [parameter for group in self.groups for parameter in group["params"]]

    def unscale(self, scaler: torch.amp.GradScaler) -> None:
        """Take a scale off the gradients."""
        for optimizer in self._all:
            scaler.unscale_(optimizer)

    def step(self, factor: float, scaler: torch.amp.GradScaler | None = None) -> None:
        """One step at `factor` of the peak rates; with a scaler none where a gradient was too large for its numbers."""
        for group, peak in zip(self.groups, self._peaks, strict=True):
            group["lr"] = peak * factor
        for optimizer in self._all:
            if scaler is None:
                optimizer.step()
            else:
                scaler.step(optimizer)
        if scaler is not None:
            scaler.update()

    def state(self) -> list[dict[str, Any]]:
        """What `restore` needs to go on as if nothing had happened."""
        return [optimizer.state_dict() for optimizer in self._all]

    def restore(self, state: list[dict[str, Any]]) -> None:
        """Take over a state of the same parameters."""
        for optimizer, held in zip(self._all, state, strict=True):
            optimizer.load_state_dict(held)


def _classifiers(net: nn.Module) -> tuple[str, ...]:
    """Beginnings of the names of the layers whose outputs are the classes."""
    attention = getattr(net, "attention", None)
    return (
        ("head", *(f"attention.{name}." for name in attention.class_layers())) if attention is not None else ("head",)
    )


def _is_matrix(name: str, parameter: nn.Parameter) -> bool:
    """A linear map or a convolution that is large both ways."""
    if parameter.ndim not in (2, 4) or name.endswith(_NO_DECAY):
        return False
    return min(len(parameter), parameter[0].numel()) >= _LEAST_SIDE and parameter.numel() <= _MOST_ENTRIES
