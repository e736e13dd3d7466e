"""Evidence regions teach the attention: boxes go where their views go, and a training looks where it was told."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from model import config, errors, train, train_inputs
from model.data import augment
from model.network import raum_net
from model.semi import evidence

NAN = float("nan")


def test_a_box_lies_where_the_view_shows_what_was_in_it() -> None:
    rng, size, grid = torch.Generator().manual_seed(3), 96, (12, 12)
    theta_B23 = augment.geometry(40, augment.STRONG, rng)
    boxes_B4 = torch.rand(40, 4, generator=rng) * 0.4 + 0.1
    marked_BHWC = torch.zeros(40, size, size, 3, dtype=torch.uint8)
    for picture, (x, y, w, h) in zip(marked_BHWC, (boxes_B4 * size).round().int().tolist(), strict=True):
        picture[y : y + h, x : x + w] = 255
    seen = augment.cut(marked_BHWC, augment.STRONG, size=size, generator=rng, theta_B23=theta_B23)
    shares_BHW = F.avg_pool2d(seen[:, :1], size // grid[0])[:, 0]
    told_BHW = augment.boxes((boxes_B4 * size).round() / size, theta_B23, grid=grid)
    reflected = (seen.amax(dim=(1, 2, 3)) > 0) & (
        told_BHW.sum(dim=(1, 2)) == 0
    )  # beyond the picture's edge it is mirrored
    apart_B = (shares_BHW - told_BHW).abs().mean(dim=(1, 2))[~reflected]
    assert apart_B.median() < 0.01
    assert apart_B.quantile(0.9) < 0.05


def test_the_geometry_drawn_beforehand_is_the_one_that_the_view_would_draw() -> None:
    pictures = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    shown = {"size": 32, "mean": config.IMAGENET_MEAN, "std": config.IMAGENET_STD}
    plain = augment.view(pictures, augment.LABELLED, **shown, generator=torch.Generator().manual_seed(5))
    rng = torch.Generator().manual_seed(5)
    theta_B23 = augment.geometry(4, augment.LABELLED, rng)
    torch.testing.assert_close(
        plain, augment.view(pictures, augment.LABELLED, **shown, generator=rng, theta_B23=theta_B23)
    )


def test_attention_inside_costs_nothing_and_nobody_is_told_where_nobody_drew() -> None:
    still = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]]).repeat(3, 1, 1)
    alpha_BHW = torch.zeros(4, 4, 4)
    alpha_BHW[:, 0, 0] = 1.0  # all of it in the upper left
    regions_C4 = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5], [NAN, NAN, NAN, NAN]])
    cost_B, said_B = evidence.outside(alpha_BHW, regions_C4, still)
    assert said_B.tolist() == [True, True, False, False]
    assert cost_B[0] == 0
    assert cost_B[1] == pytest.approx(-np.log(1e-4), rel=1e-4)
    assert cost_B[2:].tolist() == [0, 0]


@pytest.mark.parametrize(
    "wrong", [[0.5, 0.5, 0.6, 0.2], [-0.1, 0, 0.2, 0.2], [0, 0, 0, 0.5]], ids=["beyond", "below 0", "empty"]
)
def test_what_is_no_region_is_refused_by_its_value(wrong: list[float]) -> None:
    with pytest.raises(errors.BadInput, match="no region"):
        train_inputs.regions(np.array([wrong, [NAN] * 4]), np.zeros(2))
    with pytest.raises(errors.BadInput, match="shape"):
        train_inputs.regions(np.zeros((3, 4)), np.zeros(2))
    assert train_inputs.regions(np.full((2, 4), NAN), np.zeros(2)) is None


def test_a_training_looks_where_people_said() -> None:
    rng = np.random.default_rng(0)
    labels_N = np.arange(32) % 2
    images = rng.integers(0, 255, (32, 32, 32, 3)).astype(np.uint8)
    images[labels_N == 1, :, :, 0] = (
        255  # the class is told by colour everywhere: nothing but the box says where to look
    )
    regions_N4 = np.tile(np.array([0.5, 0.0, 0.5, 0.5], np.float32), (32, 1))
    shares = []
    for told in (None, regions_N4):
        network = dataclasses.replace(
            config.for_backbone("vmamba_nano", num_classes=2), image_size=32, pretrained=False, attention="region"
        )
        net = raum_net.build(network)
        train.train(
            net, labelled_images=images, labels_N=labels_N, unlabelled_images=images[:0], regions_N4=told,
            config=config.TrainConfig(method="supervised", steps=40, batch_labelled=16, spot=0.0, region=2.0),
        )  # fmt: skip
        shown = augment.center(torch.from_numpy(images), size=32, mean=network.mean, std=network.std)
        with torch.no_grad():
            alpha_BHW = net(shown).alpha
        inside = augment.boxes(
            torch.from_numpy(regions_N4),
            torch.eye(2, 3).expand(32, 2, 3),
            grid=(alpha_BHW.shape[1], alpha_BHW.shape[2]),
        )
        shares.append(float((alpha_BHW * inside).sum(dim=(1, 2)).mean()))
    assert shares[1] > shares[0] + 0.2
