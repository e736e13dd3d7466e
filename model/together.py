"""Several processes that train one network, as torchrun starts them; alone, every call gives back what it got."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from model import errors

PATIENCE = datetime.timedelta(hours=1)  # for the slowest process; one that has ended is noticed at once
_FAILED = "failed"


class Together:
    """rank: which of `count` processes this is. Made with count 1 it needs no torch.distributed."""

    def __init__(self, rank: int = 0, count: int = 1, store: Any = None) -> None:
        self.rank, self.count, self.store = rank, count, store

    @property
    def first(self) -> bool:
        """Whether this process writes what comes of it."""
        return self.rank == 0

    def part(self, total: int, piece: int = 0, pieces: int = 1) -> slice:
        """Which of `total` rows are this process's, or its `piece` of `pieces` of those: without gaps, in order."""
        at, of = self.rank * pieces + piece, self.count * pieces
        return slice(total * at // of, total * (at + 1) // of)

    def gather(self, own: Tensor, total: int) -> Tensor:
        """All `total` rows, of which everyone brings those of its part()."""
        if self.count == 1:
            return own
        rows = own.new_zeros(total, *own.shape[1:])
        rows[self.part(total)] = own
        return self.sum(rows)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of every process's tensor, in place."""
        if self.count > 1:
            torch.distributed.all_reduce(tensor)
        return tensor

    def mean(self, tensor: Tensor) -> Tensor:
        """The mean of every process's tensor."""
        return tensor if self.count == 1 else self.sum(tensor) / self.count

    def most(self, value: float) -> float:
        """The largest of every process's values."""
        if self.count == 1:
            return value
        held = torch.tensor(value, dtype=torch.float64)
        torch.distributed.all_reduce(held, op=torch.distributed.ReduceOp.MAX)
        return float(held)

    def same(self, tensors: Iterable[Tensor]) -> None:
        """Give every process the first one's tensors, in place."""
        if self.count > 1:
            for tensor in tensors:
                torch.distributed.broadcast(tensor, 0)

    def tell(self, value: Any = None) -> Any:
        """What the first process says, plain values; everyone calls it."""
        if self.count == 1:
            return value
        said = json.dumps(value).encode() if self.first else b""
        size = torch.tensor(len(said))
        self.same([size])
        held = (
            torch.frombuffer(bytearray(said), dtype=torch.uint8) if said else torch.zeros(int(size), dtype=torch.uint8)
        )
        self.same([held])
        return json.loads(held.numpy().tobytes())

    def share_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Give every process the mean of all gradients."""
        if self.count > 1:
            _replace(parameters, self.mean)

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter], figures: Tensor) -> Tensor:
        """Give every process the sum of all gradients; returns the sum of the figures, too."""
        if self.count > 1:
            _replace(parameters, self.sum)
        return self.sum(figures)

    def complain(self, problem: BaseException) -> None:
        """Leave word of why this process ends, for the first one to tell."""
        if self.store is not None:
            self.store.set(_FAILED, f"process {self.rank + 1} of {self.count}: {problem or type(problem).__name__}")

    def complaint(self) -> str:
        """Why another process ended, where it left word; else ""."""
        if self.store is None or not self.store.check([_FAILED]):
            return ""
        return str(self.store.get(_FAILED).decode())

    def leave(self) -> None:
        """End what `join` began, once everyone has come so far: a process whose peer is gone is aborted."""
        if self.count > 1:
            torch.distributed.barrier()
            torch.distributed.destroy_process_group()


def _replace(parameters: Iterable[torch.nn.Parameter], shared: Any) -> None:
    """Put shared(all gradients as one vector) in their place."""
    held = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = shared(torch.cat([gradient.flatten() for gradient in held]))
    for gradient, part in zip(held, flat.split([gradient.numel() for gradient in held]), strict=True):
        gradient.copy_(part.view_as(gradient))


def described(environment: Mapping[str, str]) -> bool:
    """Whether torchrun started this process as one of several."""
    return int(environment.get("WORLD_SIZE", "1")) > 1


def join(environment: Mapping[str, str], device: str) -> Together:
    """The processes that torchrun's environment describes, each with a GPU of its own, or this one without it.

    Raises BadConfig where there are fewer GPUs than processes on this machine.
    """
    if not described(environment):
        return Together()
    if device == "cuda":
        local, there = int(environment.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= there:
            raise errors.BadConfig(f"process {local + 1} of this machine has no GPU: there are {there}; start as many")
        torch.cuda.set_device(local)
    from torch.distributed.rendezvous import rendezvous  # not every build of torch has it

    store, rank, count = next(rendezvous("env://"))
    store = torch.distributed.PrefixStore("raum", store)
    backend = "cpu:gloo,cuda:nccl" if device == "cuda" else "gloo"  # plain values go by gloo, whatever computes
    torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=PATIENCE)
    return Together(rank, count, store)
