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
            moved = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not moved:
                continue
            for parameter in moved:
                if "momentum" not in self.state[parameter]:
                    self.state[parameter]["momentum"] = torch.zeros_like(parameter)
            gradients, momenta = [each.grad for each in moved], [self.state[each]["momentum"] for each in moved]
            torch._foreach_mul_(momenta, group["momentum"])
            torch._foreach_add_(momenta, gradients)
            ahead = torch._foreach_add(gradients, momenta, alpha=group["momentum"])
            torch._foreach_mul_(moved, 1 - group["lr"] * group["weight_decay"])
            self._turn(moved, ahead, group["lr"])

    def _turn(self, moved: list[Any], ahead: list[Tensor], lr: float) -> None:
        """Move along the momenta made orthogonal; those of one shape together, as a GPU waits for every call."""
        alike: dict[tuple[int, ...], list[int]] = {}
        for at, parameter in enumerate(moved):
            alike.setdefault((parameter.shape[0], parameter[0].numel()), []).append(at)
        for (rows, columns), members in alike.items():
            found_NRC = orthogonal(torch.stack([ahead[at].flatten(1) for at in members]))
            found_NRC *= -lr * max(1.0, rows / columns) ** 0.5
            torch._foreach_add_(
                [moved[at] for at in members],
                [found.view_as(moved[at]) for at, found in zip(members, found_NRC, strict=True)],
            )


def orthogonal(matrices_NRC: Tensor) -> Tensor:
    """Each matrix with its singular values brought into about 0.7 to 1.2, by five Newton-Schulz passes in fp32."""
    tall = matrices_NRC.shape[1] > matrices_NRC.shape[2]
    x = (matrices_NRC.mT if tall else matrices_NRC).float()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    linear, cubic, quintic = _QUINTIC
    for _ in range(5):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=cubic, alpha=quintic), x, beta=linear)
    return (x.mT if tall else x).to(matrices_NRC.dtype)


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
