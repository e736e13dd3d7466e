"""Random numbers of a batch of which only some rows are made here: the same numbers, whoever makes which rows."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Rows(NamedTuple):
    """The rows `rows_B` (int64) of a batch of `count`: all that is drawn from `generator` is drawn for the whole batch.

    So a batch that several processes, or several passes, share sees the noise that it would see in one piece, and the
    generator is afterwards where it would be.
    """

    generator: torch.Generator
    rows_B: Tensor
    count: int

    @property
    def device(self) -> torch.device:
        return self.generator.device


Source = torch.Generator | Rows


def rand(count: int, *rest: int, source: Source | None, device: torch.device | str | None = None) -> Tensor:
    """Uniform numbers (count, *rest); of Rows, `count` is how many those are. `device`: as torch.rand's."""
    if isinstance(source, Rows):
        whole = torch.rand(source.count, *rest, generator=source.generator, device=device)
        return whole[source.rows_B.to(whole.device)]
    return torch.rand(count, *rest, generator=source, device=device)


def whole(count: int, source: Source) -> tuple[torch.Generator, int, list[int]]:
    """The generator, the size of the whole batch, and which of its rows the `count` rows at hand are."""
    if isinstance(source, Rows):
        return source.generator, source.count, source.rows_B.tolist()
    return source, count, list(range(count))
