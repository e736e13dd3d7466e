"""How much of a batch fits into a GPU's memory at once: found by trying."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import torch

from model import averaging, noise, precision

SPARE = 0.05  # of the memory stays free: batches of other images, and what else the GPU is used for


def pieces(fits: Callable[[int], bool], most: int, *, begin: int = 1) -> int:
    """The least number of pieces, `begin` doubled and doubled again, in which `most` images fit; one image each at last."""
    count = max(1, begin)
    while count < most and not fits(-(-most // count)):
        count *= 2
    return min(count, max(1, most))


def fits(losses: Any, name: str, count: int) -> bool:
    """Whether a step on `count` images, and what the optimiser keeps, goes into the memory; it leaves no trace.

    losses: the run's own (train_losses.Losses); name: of the precision.
    """
    net, device, generator = losses.net, losses.device, torch.Generator().manual_seed(0)
    side, was = net.config.image_size, net.training
    averaging.begin(net, keep_norms=True)  # zeros would spoil what they remember
    try:
        blank = torch.zeros(count, 3, side, side, device=device)
        targets_B = torch.zeros(count, dtype=torch.long, device=device)
        rows = noise.Rows(generator, torch.arange(count), count)
        with precision.computing(name, device):
            found = losses(blank, targets_B, targets_B, rows, done=0.0)
        found.losses_B.sum().backward()
        kept = sum(2 * each.numel() * each.element_size() for each in net.parameters() if each.requires_grad)
        free, total = torch.cuda.mem_get_info(device)
        return free - kept >= SPARE * total
    except torch.OutOfMemoryError:
        return False
    finally:
        losses.forget()
        for module in (net, losses.helpers):
            module.zero_grad(set_to_none=True)
        averaging.begin(net, keep_norms=losses.config.keep_norms).train(was)
        blank = found = None  # the last try's memory is free for the next
        gc.collect()
        torch.cuda.empty_cache()
