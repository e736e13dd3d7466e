"""Pretraining on a pool's own images: the objectives' losses by hand, a run that goes on where it was, what it leaves."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from model import config, errors, pretrain, pretrain_crops, self_taught, self_taught_config
from model.network import pretrained, raum_net

RECIPE = self_taught_config.SelfTaughtConfig(steps=3, seconds=0.0, batch=6, side=32)
NETWORK = config.NetworkConfig("vmamba_nano", num_classes=2, image_size=32, pretrained=False)


def _pictures() -> list[pretrain_crops.Group]:
    rng = np.random.default_rng(0)
    return [pretrain_crops.Group(rng.integers(0, 255, (10, 32, 32, 3)).astype(np.uint8), 1.0)]


def _run(**changes: object) -> self_taught.SelfTaught:
    return self_taught.SelfTaught(raum_net.build(NETWORK), dataclasses.replace(RECIPE, **changes))


def test_vicreg_is_nothing_for_equal_views_that_spread_apart_and_much_for_a_collapse() -> None:
    loss = self_taught.VICReg(2)
    loss.expander = torch.nn.Identity()
    square = 2.0 * torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert loss(square, square, ()).item() == 0.0
    assert loss(torch.zeros(4, 2), torch.zeros(4, 2), ()).item() == pytest.approx(25 * (1 - 0.01), rel=1e-6)
    line = square * torch.tensor([[1.0, 0.0]]) @ torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    assert loss(line, line, ()).item() == pytest.approx(2 * 2 * (16 / 3) ** 2 / 2, rel=1e-4)  # covariance 16 / 3, twice
    assert loss(square, square + 1, ()).item() == pytest.approx(25.0)


def test_dino_wants_the_other_views_word_and_follows_its_centre() -> None:
    torch.manual_seed(0)
    loss = self_taught.Dino(4)
    one, two = torch.randn(6, 4), torch.randn(6, 4)
    told = loss(one, two, (one, two))
    assert 0 < told.item() < 100
    assert loss.centre_P.abs().sum() > 0
    told.backward()
    assert loss.prototypes.weight.grad is not None


def test_simsiam_is_minus_one_where_the_predictor_hits() -> None:
    loss = self_taught.SimSiam(4)
    loss.projector, loss.predictor = torch.nn.Identity(), torch.nn.Identity()
    views = torch.randn(6, 4)
    assert loss(views, 3 * views, ()).item() == pytest.approx(-1.0)


@pytest.mark.parametrize("objective", list(self_taught.OBJECTIVES))
def test_a_run_goes_on_where_it_was_and_leaves_a_backbone(objective: str, tmp_path: Path) -> None:
    whole, begun, resumed = (_run(objective=objective) for _ in range(3))
    pretrain.distil(whole, _pictures())
    stops = iter([False, True])
    kept: list[dict[str, object]] = []
    pretrain.distil(begun, _pictures(), stop=lambda: next(stops), keep=kept.append)
    assert (begun.steps, whole.steps) == (1, 3)
    pretrain.write_state(tmp_path / "run", kept[-1])
    resumed.restore(pretrain.read_state(tmp_path / "run"))
    pretrain.distil(resumed, _pictures())
    for one, two in zip(whole.average.parameters(), resumed.average.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-3, atol=1e-4)
    file = tmp_path / "vmamba_nano.safetensors"
    pretrain.save(file, whole, {"objective": objective})
    assert pretrained.describe(file)["objective"] == objective
    net = raum_net.build(dataclasses.replace(NETWORK, pretrained=True, weights=str(file)))
    assert torch.equal(next(net.backbone.parameters()), next(whole.average.parameters()))


def test_what_cannot_be_is_refused_by_name() -> None:
    with pytest.raises(errors.UnknownName, match=r"objective.*'dyno'.*did you mean 'dino'"):
        _run(objective="dyno")
    with pytest.raises(errors.BadConfig, match="batch of 3"):
        _run(batch=3)
    with pytest.raises(errors.BadConfig, match="steps or seconds"):
        _run(steps=0)
    with pytest.raises(errors.BadCheckpoint, match="another recipe"):
        _run().restore(_run(objective="dino").state())
