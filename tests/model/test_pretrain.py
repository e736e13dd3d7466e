"""Distillation: the distance falls, a resumed run is the unbroken one, the file starts a network, refusals are by name."""

from __future__ import annotations

import dataclasses
import json
import types

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from model import checkpoint, config, errors, pretrain, pretrain_crops, pretrain_loss, together
from model.network import pretrained, raum_net

NANO = config.NetworkConfig("vmamba_nano", num_classes=1, image_size=32, seed=3, pretrained=False)


class _Edges(nn.Module):
    """A teacher small enough to be fast: a random convolution and its square; an inner map of grid 8, one of grid 4."""

    dim = 24

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.filters = nn.Conv2d(3, self.dim, 8, stride=8)

    def features(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        return self.maps(x_BCHW)[-1]

    def maps(self, x_BCHW: torch.Tensor) -> list[torch.Tensor]:
        fine = nn.functional.avg_pool2d(x_BCHW, x_BCHW.shape[-1] // 8).permute(0, 2, 3, 1)
        last = self.filters(x_BCHW)
        return [fine, last.permute(0, 2, 3, 1), last.square().permute(0, 2, 3, 1)]


@pytest.fixture
def groups() -> list[pretrain_crops.Group]:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (2, 12, 4, 4, 3), dtype=np.uint8)
    pictures = coarse.repeat(16, axis=2).repeat(16, axis=3)
    return [pretrain_crops.Group(pictures[0], 0.7), pretrain_crops.Group(pictures[1], 0.3)]


def _run(**changes: float) -> pretrain.Distillation:
    teacher = types.SimpleNamespace(
        backbone=_Edges(), config=dataclasses.replace(NANO, mean=(0.5,) * 3, std=(0.5,) * 3)
    )
    recipe = {"steps": 8, "batch": 8, "reuse": 2, "lr_matrix": 0.04, "warmup": 0.0, **changes}
    return pretrain.Distillation(raum_net.build(NANO), teacher, config.PretrainConfig(**recipe))


def test_the_distance_falls(groups):
    told = []
    run = _run(steps=24, batch=16, reuse=1, lr_projection=0.01)
    pretrain.distil(run, groups, log=lambda step, figures: told.append((figures["pooled"], figures["cells"])))
    start, end = np.mean(told[:4], axis=0), np.mean(told[-4:], axis=0)
    assert len(told) == 24
    assert (end < start - 0.1).all(), (start, end)


def test_hints_are_learnt_resumed_and_refused_where_a_teacher_has_none(groups, tmp_path):
    told = []
    run = _run(steps=24, batch=16, reuse=2, hints=1.0, lr_projection=0.01)
    pretrain.distil(run, groups, log=lambda step, figures: told.append(figures["hints"]))
    assert np.mean(told[-4:]) < np.mean(told[:4]) - 0.2, told
    assert run.hints.chosen == [0, 1, 1]
    pretrain.write_state(tmp_path / "run", run.state())
    again = _run(steps=24, batch=16, reuse=2, hints=1.0, lr_projection=0.01)
    again.restore(pretrain.read_state(tmp_path / "run"))
    assert all(torch.equal(a, b) for a, b in zip(run.hints.parameters(), again.hints.parameters(), strict=True))
    with pytest.raises(errors.BadCheckpoint, match="hints"):
        _run(steps=24, batch=16, reuse=2, lr_projection=0.01).restore(run.state())
    teacher = types.SimpleNamespace(backbone=nn.Linear(3, 3), config=NANO)
    teacher.backbone.dim = 3
    with pytest.raises(errors.BadConfig, match="no inner maps"):
        pretrain.Distillation(raum_net.build(NANO), teacher, config.PretrainConfig(steps=1, hints=1.0))


def test_stages_that_share_a_grid_divide_the_teachers_maps_of_it():
    assert pretrain_loss._paired([20, 10, 10], [80, 40, 40, 20, 20, 20, 10, 10, 10, 10, 10, 10, 10, 5, 5]) == [5, 9, 12]


def test_a_resumed_run_ends_with_the_weights_of_an_unbroken_one(groups, tmp_path):
    whole = _run(reuse=1)
    pretrain.distil(whole, groups)
    first = _run(reuse=1)
    while first.steps < 3:
        first.step(groups, first.done())
    pretrain.write_state(tmp_path / "run", first.state())
    second = _run(reuse=1)
    second.restore(pretrain.read_state(tmp_path / "run"))
    pretrain.distil(second, groups)
    assert second.steps == whole.steps == 8
    for name, tensor in whole.average.state_dict().items():
        assert torch.equal(tensor, second.average.state_dict()[name]), name


def test_what_the_teacher_said_is_asked_of_again_for_the_same_views_mirrored_or_not(groups):
    run = _run(reuse=4, remembered=2)
    lessons = []
    for run.steps in range(12):
        lessons.append(run._lesson(groups))
    asked = [lessons[at] for at in (0, 4, 8)]
    assert len(run.known) == 2
    for views, (told,) in lessons:
        assert any(
            (torch.allclose(views, seen, atol=0.02) and torch.allclose(told, said, rtol=0.02))
            or (torch.allclose(views, seen.flip(3), atol=0.02) and torch.allclose(told, said.flip(2), rtol=0.02))
            for seen, (said,) in asked
        )
    assert not torch.allclose(asked[0][0], asked[1][0], atol=0.02)


def test_another_recipe_is_not_resumed_and_a_longer_one_is(groups):
    state = _run().state()
    _run(steps=99).restore(state)
    with pytest.raises(errors.BadCheckpoint, match="batch 8"):
        _run(batch=16).restore(state)


def test_the_state_is_read_without_running_anything(tmp_path):
    (tmp_path / "run").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(errors.BadCheckpoint, match="cannot read the run"):
        pretrain.read_state(tmp_path / "run")


def test_the_file_starts_a_network_and_no_checkpoint_needs_it(groups, tmp_path, monkeypatch):
    run = _run(steps=2)
    pretrain.distil(run, groups)
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path)
    wanted = dataclasses.replace(NANO, pretrained=True)
    before = raum_net.build(wanted)
    assert pretrained.mark(wanted) == ""
    pretrain.save(pretrained.bundled("vmamba_nano"), run, {"data": ["12 of noise"], "licence": "none needed"})
    net, fresh = raum_net.build(wanted), raum_net.build(NANO)
    for name, tensor in run.average.state_dict().items():
        assert torch.equal(net.backbone.state_dict()[name], tensor)
        assert torch.equal(fresh.backbone.state_dict()[name], before.backbone.state_dict()[name])
    assert pretrained.describe(pretrained.bundled("vmamba_nano"))["recipe"]["batch"] == 8
    mark = pretrained.mark(wanted)
    assert len(mark) == 8
    assert pretrained.mark(NANO) == ""
    checkpoint.save(tmp_path / "net.safetensors", net, class_ids=[5], meta={})
    pretrained.bundled("vmamba_nano").write_bytes(b"broken")
    assert pretrained.mark(wanted) != mark
    loaded = checkpoint.load(tmp_path / "net.safetensors").net
    assert loaded.config == wanted
    assert torch.equal(loaded.backbone.patch_embed[0].weight, net.backbone.patch_embed[0].weight)
    with pytest.raises(errors.BadCheckpoint, match="cannot read the backbone"):
        raum_net.build(wanted)


def test_a_file_of_another_variant_or_for_other_pixels_is_refused_by_name(tmp_path):
    path = tmp_path / "nano.safetensors"
    pretrain.save(path, _run(), {})
    net = raum_net.build(NANO)
    with pytest.raises(errors.WrongVariant, match="holds vmamba_nano, the network is vmamba_tiny"):
        pretrained.load(net.backbone, path, config.NetworkConfig("vmamba_tiny", num_classes=1))
    with pytest.raises(errors.BadConfig, match="pixels with mean"):
        pretrained.load(net.backbone, path, dataclasses.replace(NANO, mean=(0.5, 0.5, 0.5)))
    pretrain.save(path, _run(), {"pooling": "salt"})
    assert pretrained.pixels(path, "vmamba_nano")["pooling"] == config.MEAN, "the run's own word counts"
    header = json.dumps({**pretrained.describe(path), "pooling": "salt"})
    safetensors.torch.save_file(safetensors.torch.load_file(path), path, metadata={"raum": header})
    with pytest.raises(errors.BadCheckpoint, match="the pooling 'salt', which this version does not know"):
        pretrained.pixels(path, "vmamba_nano")
    checkpoint.save(tmp_path / "net.safetensors", net, class_ids=[0], meta={})
    with pytest.raises(errors.BadCheckpoint, match="is no backbone of this program"):
        pretrained.load(net.backbone, tmp_path / "net.safetensors", NANO)


def test_runs_that_cannot_be_are_refused():
    with pytest.raises(errors.BadConfig, match="cannot hold"):
        _run(batch=7)
    with pytest.raises(errors.BadConfig, match="never end"):
        _run(steps=0)
    with pytest.raises(errors.BadInput, match="no picture"):
        pretrain.distil(_run(), [])
    with pytest.raises(errors.BadInput, match="float64"):
        pretrain.distil(_run(), [pretrain_crops.Group(np.zeros((2, 8, 8, 3)), 1.0)])


def test_the_spread_is_that_of_everything_seen():
    rows = torch.randn(40, 6, 5, generator=torch.Generator().manual_seed(0)) * 3 + 7
    spread = pretrain_loss.Spread(5)
    for part in rows:
        spread.watch(part, together.Together())
    flat = rows.flatten(0, 1)
    torch.testing.assert_close(spread.mean, flat.mean(0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(spread(flat).std(0), torch.ones(5), rtol=0.1, atol=0)


def test_maps_of_different_grids_meet_on_the_coarser_one():
    loss = pretrain_loss.FeatureLoss(4, 4)
    with torch.no_grad():
        for layer in (loss.to_mean, loss.to_cell):
            layer.weight.copy_(torch.eye(4))
            layer.bias.zero_()
    coarse = torch.randn(2, 3, 3, 4, generator=torch.Generator().manual_seed(0))
    fine = coarse.repeat_interleave(2, 1).repeat_interleave(2, 2)
    for student, teacher in ((coarse, fine), (fine, coarse)):
        assert max(each.item() for each in loss(student, teacher)) < 1e-5
