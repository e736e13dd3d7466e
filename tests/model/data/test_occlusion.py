"""Occluders hide exactly the share that was asked for, in every shape."""

from __future__ import annotations

import pytest
import torch

from model.data import occlusion


@pytest.mark.parametrize("shape", occlusion.SHAPES)
@pytest.mark.parametrize("size", [64, 96, 224])
def test_the_hidden_area_is_exact_to_half_a_per_cent(shape, size):
    fractions_B = torch.tensor([0.0, 0.05, 0.2, 0.3, 0.4, 0.65, 1.0])
    generator = torch.Generator().manual_seed(0)
    hidden_BHW = occlusion.masks(7, size=size, fractions_B=fractions_B, generator=generator, shapes=(shape,))
    assert (hidden_BHW.float().mean((1, 2)) - fractions_B).abs().max() <= 0.005


def test_a_sector_is_one_wedge_about_its_apex():
    generator = torch.Generator().manual_seed(3)
    hidden_BHW = occlusion.masks(
        50, size=64, fractions_B=torch.full((50,), 0.1), generator=generator, shapes=("sector",)
    )
    boxes = [hidden.nonzero() for hidden in hidden_BHW]
    filled = [len(cells) / float((cells.amax(0) - cells.amin(0) + 1).prod()) for cells in boxes]
    assert 0.3 < sum(filled) / 50 < 0.9  # neither scattered pixels nor rectangles


def test_a_box_is_a_rectangle():
    generator = torch.Generator().manual_seed(3)
    hidden_BHW = occlusion.masks(20, size=64, fractions_B=torch.full((20,), 0.1), generator=generator, shapes=("box",))
    for hidden in hidden_BHW:
        cells = hidden.nonzero()
        assert len(cells) >= 0.85 * float((cells.amax(0) - cells.amin(0) + 1).prod())


def test_the_generator_decides_and_nothing_asked_is_nothing_drawn():
    def drawn(seed):
        generator = torch.Generator().manual_seed(seed)
        return occlusion.masks(4, size=32, fractions_B=torch.full((4,), 0.3), generator=generator)

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
    assert occlusion.masks(0, size=32, fractions_B=torch.zeros(0), generator=torch.Generator()).shape == (0, 32, 32)
