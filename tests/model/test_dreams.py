"""Dreams: nearer to their classes and to the norms than their starts, the same from a seed, refused without norms."""

from __future__ import annotations

import types

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from model import dreams, errors


class _Classifier(nn.Module):
    """Three classes, by colour; its norm knows pictures that are bright and of little contrast."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)
        self.norm.running_mean.fill_(1.0)
        self.norm.running_var.fill_(0.05)

    def forward(self, x_BCHW: torch.Tensor) -> types.SimpleNamespace:
        return types.SimpleNamespace(logits=4 * self.norm(x_BCHW).mean((2, 3)))


def _dreamt(seed: int = 0) -> tuple[dreams.Dreamer, np.ndarray, np.ndarray]:
    starts = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    dreamer = dreams.Dreamer(_Classifier(), mean=(0.5,) * 3, std=(0.25,) * 3)
    return dreamer, starts, dreamer(starts, torch.arange(6) % 3, torch.Generator().manual_seed(seed))


def _far(dreamer: dreams.Dreamer, pictures: np.ndarray) -> tuple[float, float]:
    """Cross-entropy and the distance from the norm."""
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    pixels = F.interpolate(pixels, size=(dreams.SIDE, dreams.SIDE), mode="bilinear", antialias=True)
    dreamer._far.clear()
    logits = dreamer.classifier((pixels - 0.5) / 0.25).logits
    return F.cross_entropy(logits, torch.arange(6) % 3).item(), dreamer._far[0].item()


def test_a_dream_is_nearer_to_its_class_and_to_the_norms_than_its_start() -> None:
    dreamer, starts, made = _dreamt()
    assert made.shape == (6, dreams.SIDE, dreams.SIDE, 3)
    assert made.dtype == np.uint8
    before, after = _far(dreamer, starts), _far(dreamer, made)
    assert after[0] < 0.5 * before[0], (before, after)
    assert after[1] < 0.5 * before[1], (before, after)


def test_a_seed_gives_the_same_dream_and_another_seed_another() -> None:
    first, again, other = (_dreamt(seed)[2] for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_teacher_without_batch_norms_is_refused() -> None:
    with pytest.raises(errors.BadConfig, match="no batch norms"):
        dreams.Dreamer(nn.Linear(3, 3), mean=(0.5,) * 3, std=(0.5,) * 3)
