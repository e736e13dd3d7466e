"""Views: their range, their repeatability, and that a plain view is the picture itself."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from model.data import augment

MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.2, 0.1)
PLAIN = augment.Strength(flip=0.0)


def images(count=4, side=40):
    generator = torch.Generator().manual_seed(7)
    small = torch.randint(0, 256, (count, 3, 6, 6), generator=generator).float()
    smooth = torch.nn.functional.interpolate(small, size=(side, side), mode="bilinear")
    return smooth.permute(0, 2, 3, 1).round().to(torch.uint8)


def view(strength, *, seed=0, size=40, batch=None):
    batch = images() if batch is None else batch
    return augment.view(batch, strength, size=size, mean=MEAN, std=STD, generator=torch.Generator().manual_seed(seed))


def plain(batch):
    pixels = batch.permute(0, 3, 1, 2).float() / 255
    return (pixels - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)


@pytest.mark.parametrize("name", ["weak", "strong"])
def test_the_generator_decides_every_view(name):
    def drawn(seed):
        generator = torch.Generator().manual_seed(seed)
        return getattr(augment, name)(images(), size=32, mean=MEAN, std=STD, generator=generator)

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


@pytest.mark.parametrize("strength", [augment.WEAK, augment.LABELLED, augment.STRONG])
def test_views_keep_shape_type_and_the_range_of_pixels(strength):
    views = view(strength, size=33)
    assert views.shape == (4, 3, 33, 33)
    assert views.dtype == torch.float32
    pixels = views * torch.tensor(STD).view(1, 3, 1, 1) + torch.tensor(MEAN).view(1, 3, 1, 1)
    assert pixels.min() >= -1e-5
    assert pixels.max() <= 1 + 1e-5


def test_no_strength_is_the_picture_itself():
    torch.testing.assert_close(view(PLAIN), plain(images()), rtol=0, atol=1e-4)


def test_a_certain_flip_mirrors():
    flipped = view(dataclasses.replace(PLAIN, flip=1.0))
    torch.testing.assert_close(flipped, plain(images()).flip(3), rtol=0, atol=1e-4)


def test_grey_has_equal_channels_of_the_pictures_brightness():
    views = view(dataclasses.replace(PLAIN, grey=1.0))
    pixels = views * torch.tensor(STD).view(1, 3, 1, 1) + torch.tensor(MEAN).view(1, 3, 1, 1)
    luma = (images().float() / 255 * torch.tensor([0.299, 0.587, 0.114])).sum(-1)
    for channel in range(3):
        torch.testing.assert_close(pixels[:, channel], luma, rtol=0, atol=1e-4)


def test_hue_turns_colour_and_keeps_the_sum_of_the_channels():
    muted = (images().float() * 0.3 + 80).to(torch.uint8)  # far from the ends, so that nothing is clipped
    pixels = view(dataclasses.replace(PLAIN, hue=60.0), batch=muted) * torch.tensor(STD).view(1, 3, 1, 1)
    pixels = pixels + torch.tensor(MEAN).view(1, 3, 1, 1)
    before = muted.permute(0, 3, 1, 2).float() / 255
    torch.testing.assert_close(pixels.sum(1), before.sum(1), rtol=0, atol=1e-4)
    assert (pixels - before).abs().max() > 0.02


def test_a_certain_blur_is_two_means_of_each_pixels_neighbours():
    wanted = images().permute(0, 3, 1, 2).float() / 255
    for _ in range(2):
        wanted = torch.nn.functional.avg_pool2d(wanted, 3, stride=1, padding=1, count_include_pad=False)
    blurred = augment.view(
        images(), dataclasses.replace(PLAIN, blur=1.0), size=40, mean=(0.0,) * 3, std=(1.0,) * 3,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert torch.allclose(blurred, wanted, atol=1e-5)


def test_what_is_hidden_becomes_the_mean_and_only_there():
    hidden = view(dataclasses.replace(PLAIN, occlude=1.0, occlusion=(0.3, 0.3)))
    zero_BHW = (hidden == 0).all(1)
    assert (zero_BHW.float().mean((1, 2)) - 0.3).abs().max() <= 0.01
    seen = ~zero_BHW[:, None].expand_as(hidden)
    torch.testing.assert_close(hidden[seen], plain(images())[seen], rtol=0, atol=1e-4)


def test_the_plain_view_scales_the_whole_picture():
    whole = augment.center(images(), size=20, mean=MEAN, std=STD)
    assert whole.shape == (4, 3, 20, 20)
    torch.testing.assert_close(whole.mean((2, 3)), plain(images()).mean((2, 3)), rtol=0, atol=0.02)
    same = augment.center(images(), size=40, mean=MEAN, std=STD)
    torch.testing.assert_close(same, plain(images()), rtol=0, atol=1e-5)
