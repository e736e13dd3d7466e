"""Occluders hide exactly the share that was asked for, in every shape."""

from __future__ import annotations

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as some

from model import errors
from model.data import occlusion

RATES = some.floats(0.0, 1.0)
IDS = some.text(max_size=20)
SHAPES = some.sampled_from([("sector",), ("box",), occlusion.SHAPES])
few = hypothesis.settings(max_examples=40, deadline=None)


def white(count, size):
    return np.full((count, size, size, 3), 255, np.uint8)


def hidden(name, rate, size, shapes=occlusion.SHAPES):
    return (occlusion.cover(white(1, size), rate, ids=[name], shapes=shapes)[0] == occlusion.GREY).all(2)


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


@few
@hypothesis.given(RATES, some.integers(15, 90), IDS, SHAPES)
def test_any_rate_size_and_shape_is_met_to_half_a_per_cent(rate, size, name, shapes):
    assert abs(hidden(name, rate, size, shapes).mean() - rate) <= 0.005


@few
@hypothesis.given(RATES, RATES, IDS, SHAPES)
def test_a_larger_rate_covers_what_a_smaller_one_does(one, other, name, shapes):
    small, large = (hidden(name, rate, 40, shapes) for rate in sorted([one, other]))
    assert not (small & ~large).any()


@few
@hypothesis.given(RATES, some.lists(IDS, min_size=2, max_size=4), some.randoms())
def test_an_image_is_covered_by_its_id_whatever_stands_beside_it(rate, names, random):
    torch.manual_seed(random.randrange(1000))  # the global generator has no say
    together = occlusion.cover(white(len(names), 24), rate, ids=names)
    for at, name in enumerate(names):
        assert np.array_equal(together[at], occlusion.cover(white(1, 24), rate, ids=[name])[0])


def test_images_are_covered_differently_and_the_originals_stay():
    images = white(20, 32)
    covered = occlusion.cover(images, 0.2, ids=[f"{at}.jpg" for at in range(20)])
    assert (images == 255).all()
    assert len(np.unique(covered.reshape(20, -1), axis=0)) == 20
    assert np.array_equal(occlusion.cover(images, 0.0, ids=[""] * 20), images)


def test_a_rate_that_is_no_share_is_refused():
    with pytest.raises(errors.BadInput, match=r"a share of 20"):
        occlusion.cover(white(1, 8), 20, ids=["a"])
    with pytest.raises(errors.BadInput, match="2 images with 1 ids"):
        occlusion.cover(white(2, 8), 0.2, ids=["a"])


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="needs CUDA: masks made on a GPU are not held against the CPU's"
)
def test_masks_made_on_a_gpu_are_those_of_the_cpu():
    def drawn(device):
        generator = torch.Generator().manual_seed(1)
        fractions_B = torch.tensor([0.0, 0.05, 0.4, 1.0]).repeat(5)
        return occlusion.masks(20, size=96, fractions_B=fractions_B, generator=generator, device=device).cpu()

    assert (drawn("cuda") != drawn("cpu")).float().mean((1, 2)).max() < 0.001  # pixels on the edge may round otherwise
