"""Several processes that train one network, as torchrun starts them; alone, every call gives back what it got."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor


class Together:
    """rank: which of `count` processes this is. Made with count 1 it needs no torch.distributed."""

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean of every process's tensor."""
        if self.count == 1:
            return tensor
        torch.distributed.all_reduce(tensor)
        return tensor / self.count

    def most(self, value: float) -> float:
        """The largest of every process's values."""
        if self.count == 1:
            return value
        device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
        held = torch.tensor(value, dtype=torch.float64, device=device)
        torch.distributed.all_reduce(held, op=torch.distributed.ReduceOp.MAX)
        return float(held)

    def leave(self) -> None:
        """End what `join` began, once everyone has come so far: a process whose peer is gone is aborted."""
        if self.count > 1:
            torch.distributed.barrier()
            torch.distributed.destroy_process_group()

    def share_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Give every process the mean of all gradients."""
        if self.count == 1:
            return
        held = [parameter.grad for parameter in parameters if parameter.grad is not None]
        flat = self.mean(torch.cat([gradient.flatten() for gradient in held]))
        for gradient, part in zip(held, flat.split([gradient.numel() for gradient in held]), strict=True):
            gradient.copy_(part.view_as(gradient))


def join(environment: Mapping[str, str], device: str) -> Together:
    """The processes that torchrun's environment describes, each with a GPU of its own, or this one without it."""
    count = int(environment.get("WORLD_SIZE", "1"))
    if count == 1:
        return Together()
    if device == "cuda":
        torch.cuda.set_device(int(environment["LOCAL_RANK"]))
    torch.distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    return Together(int(environment["RANK"]), count)
