"""Every attention on every kind of backbone: it trains, its pooling is exact, its pictures are sound, classes may change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from model import checkpoint, config, train
from model.network import raum_net
from model.network.attention import evidence

BACKBONES = {"vmamba_nano": 32, "resnet18": 48, "vgg16": 32}  # with the side of the input
MORE = {  # further forms of some, on our own small backbone
    "aam": {"at": "stages", "descriptor": "gmp+gap", "k": 3},
    "cbam": {"at": "stages", "kernel": 3, "ratio": 8},
    "ra_cnn": {"form": "seed", "scales": 3},
}
CASES = [(backbone, name, {}) for backbone in BACKBONES for name in raum_net.ATTENTIONS]
CASES += [("vmamba_nano", name, options) for name, options in MORE.items()]
CASES += [("resnet18", "cbam", {"at": "stages"}), ("vgg16", "aam", {"at": "stages"})]
CASES += [("vmamba_nano", "ra_cnn", {"regions": 2, "whole": False})]


pytestmark = pytest.mark.usefixtures("one_thread")


def build(backbone, name, options):
    settings = config.NetworkConfig(
        backbone, num_classes=3, attention=name, attention_options=options, image_size=BACKBONES[backbone]
    )
    return raum_net.build(settings)


def images(net, count=2):
    side = net.config.image_size
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("backbone", "name", "options"), CASES, ids=str)
def test_every_attention_trains_and_gives_sound_output_on_every_backbone(backbone, name, options):
    net = build(backbone, name, options).train()
    x_BCHW, targets_B = images(net), torch.tensor([2, 0])
    held = [parameter.detach().clone() for parameter in net.attention.parameters()]
    mover = torch.optim.AdamW([*net.attention.parameters(), *net.head.parameters()], lr=1e-2)
    for done in (0.02, 0.5):
        output = net(x_BCHW, torch.Generator().manual_seed(1))
        own = net.losses(output, targets_B, done=done)
        assert all(loss.shape == (2,) and loss.isfinite().all() for loss in own.values())
        told = -0.1 * output.alpha.clamp(min=1e-6).log().flatten(1)[:, 0].mean()  # as what knows where to look does
        net.zero_grad()
        (F.cross_entropy(output.logits, targets_B) + told + sum(own.values(), torch.zeros(2)).mean()).backward()
        mover.step()
    first = next(net.backbone.parameters())
    assert first.grad.isfinite().all()
    assert first.grad.abs().max() > 0
    for (label, parameter), before in zip(net.attention.named_parameters(), held, strict=True):
        assert not torch.equal(parameter, before), f"{label} does not learn"

    with torch.no_grad():
        output, alone = net.eval()(x_BCHW), net(x_BCHW[:1])
        told = net.overlays(output, output.logits.argmax(1))
    pooled_BE = (output.features * output.attention[:, None]).sum((2, 3))
    torch.testing.assert_close(output.embedding, pooled_BE, rtol=1e-4, atol=1e-4)
    assert output.embedding.shape == (2, net.dim)
    for map_BHW in (output.attention, output.alpha):
        assert map_BHW.shape == (2, *output.features.shape[2:])
        torch.testing.assert_close(map_BHW.sum((1, 2)), torch.ones(2))
    torch.testing.assert_close(output.logits[:1], alone.logits, rtol=1e-3, atol=1e-4)  # no batch mate has a say
    with torch.no_grad():
        directions, scale, offset = net.head.linear_form(output.embedding)
    maps = evidence.evidence(output.features, output.attention, directions, torch.arange(3).expand(2, 3))
    torch.testing.assert_close(maps.sum((2, 3)) * scale[:, None] + offset, output.logits, rtol=1e-3, atol=1e-3)
    assert set(told) == set(net.attention.KINDS)
    for overlay in told.values():
        assert overlay.maps_BHW.dim() == 3
        assert (overlay.maps_BHW >= 0).all()
        assert (overlay.maps_BHW <= 1).all()
        if overlay.boxes_B4 is not None:
            assert (overlay.boxes_B4[:, :2] <= overlay.boxes_B4[:, 2:]).all()
        if overlay.votes_BSK is not None:
            torch.testing.assert_close(overlay.votes_BSK.sum(2), torch.ones(overlay.votes_BSK.shape[:2]))


@pytest.mark.parametrize("name", raum_net.ATTENTIONS)
def test_a_run_a_checkpoint_and_other_classes(name, tmp_path):
    net = build("vmamba_nano", name, {"form": "seed"} if name == "ra_cnn" else MORE.get(name, {}))
    pixels = np.random.default_rng(0).integers(0, 255, (6, 32, 32, 3), dtype=np.uint8)
    chosen = config.TrainConfig(
        steps=2, batch_labelled=3, batch_unlabelled=2, ramp_start=0.0, ramp=0.0, tau=0.0, kappa=1.0
    )
    report = train.train(
        net, labelled_images=pixels, labels_N=np.arange(6) % 3, unlabelled_images=pixels, config=chosen
    )
    assert report.steps == 2
    checkpoint.save(tmp_path / "net.safetensors", net, class_ids=[4, 5, 6], meta={})
    loaded = checkpoint.load(tmp_path / "net.safetensors").net
    with torch.no_grad():
        before = net(images(net))
        torch.testing.assert_close(loaded(images(net)).logits, before.logits)
        raum_net.reclass(net, [2, None, 0], seed=1)
        torch.testing.assert_close(net(images(net)).logits[:, [0, 2]], before.logits[:, [2, 0]])
    for layer in net.attention.class_layers().values():
        assert len(layer.weight) == 3
