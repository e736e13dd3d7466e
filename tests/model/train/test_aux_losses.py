"""Auxiliary losses: the papers' equations by hand, a run with each, and no trace in the network."""

from __future__ import annotations

import types

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from model import config, errors, together, train
from model.network import raum_net
from model.semi import aux_losses

pytestmark = pytest.mark.usefixtures("one_thread")


def shape(classes, dim):
    """As much of a network as a loss asks for."""
    return types.SimpleNamespace(dim=dim, config=types.SimpleNamespace(num_classes=classes))


def output(embedding_BE=None, features_BEHW=None):
    return types.SimpleNamespace(embedding=embedding_BE, features=features_BEHW)


def random(seed=0):
    return torch.Generator().manual_seed(seed)


def test_centres_pull_and_follow_by_half_of_the_damped_mean_distance():
    loss = aux_losses.build("center", shape(3, 2), random())
    rows = torch.tensor([[0.0, 4.0], [10.0, 2.0], [1.0, 9.0]])  # normed: (-1, 1), (1, -1), (-1, 1)
    targets = torch.tensor([0, 0, 2])
    first = loss(output(rows), targets, random())
    torch.testing.assert_close(first, torch.ones(3), rtol=1e-3, atol=1e-3)  # 1/2 (1 + 1): the centres begin at 0
    loss.follow(together.Together())
    expected = torch.tensor([[0.0, 0.0], [0.0, 0.0], [-0.25, 0.25]])  # class 0's two cancel; class 2: 1/2 * 1/(1 + 1)
    torch.testing.assert_close(loss.centres_KE, expected, rtol=1e-3, atol=1e-3)
    second = loss(output(rows), targets, random())
    torch.testing.assert_close(second[2], torch.tensor(0.75**2), rtol=1e-3, atol=1e-3)


def test_the_centre_loss_cannot_vanish_by_shrinking_and_its_centres_carry_no_gradient():
    loss = aux_losses.build("center", shape(2, 8), random())
    rows = torch.randn(4, 8, generator=random()).requires_grad_()
    targets = torch.tensor([0, 1, 0, 1])
    large = loss(output(rows), targets, random())
    large.sum().backward()
    assert rows.grad.abs().max() > 0
    assert torch.equal((rows.grad * rows).sum(1).abs() < 1e-3, torch.ones(4, dtype=torch.bool))  # no slope along scale
    assert list(loss.parameters()) == []
    again = aux_losses.build("center", shape(2, 8), random())
    torch.testing.assert_close(
        again(output(0.1 * rows.detach()), targets, random()), large.detach(), rtol=1e-2, atol=1e-2
    )


@pytest.mark.parametrize(("classes", "dim", "channels"), [(4, 12, 3), (2, 8, 4), (5, 12, 3), (12, 12, 3)])
def test_mutual_channels_are_the_authors_two_parts(classes, dim, channels):
    loss = aux_losses.build("mc", shape(classes, dim), random())
    assert loss.channels == channels
    features = torch.randn(3, dim, 2, 3, generator=random(1))
    targets = torch.tensor([0, classes - 1, 1])
    found = loss(output(features_BEHW=features), targets, random(2))
    drawn = loss._draw(random(2))
    assert drawn.sum(1).tolist() == [2 * channels // 3] * classes
    dealt = features.flatten(2)
    if dim % classes or dim == classes:
        dealt = loss.deal.weight.detach() @ dealt
    for image, target in enumerate(targets):
        scores, covered = [], []
        for group in range(classes):
            own = dealt[image, group * channels : (group + 1) * channels]
            scores.append(own[drawn[group]].max(0).values.mean())
            covered.append(own.softmax(1).max(0).values.sum())
        plain = F.cross_entropy(torch.stack(scores)[None], target[None])
        diverse = 1 - torch.stack(covered).mean() / channels
        torch.testing.assert_close(found[image].detach(), 1.5 * plain + 20 * diverse, rtol=1e-4, atol=1e-4)


def test_channels_that_look_apart_cover_more():
    loss = aux_losses.build("mc", shape(2, 4), random())
    alike, apart = torch.zeros(1, 4, 1, 2), torch.zeros(1, 4, 1, 2)
    alike[0, :, 0, 0] = 20.0
    apart[0, ::2, 0, 0], apart[0, 1::2, 0, 1] = 20.0, 20.0
    values = [loss(output(features_BEHW=each), torch.tensor([0]), random()).item() for each in (alike, apart)]
    assert values[0] - values[1] == pytest.approx(20 * 0.5, abs=0.1)


def pictures(count):
    rng = np.random.default_rng(0)
    found = rng.integers(60, 100, (count, 32, 32, 3), dtype=np.uint8)
    labels_N = np.arange(count) % 2
    found[labels_N == 1, 8:24, 8:24] = 250
    return found, labels_N


def run(name, attention="region", steps=4, **changes):
    net = raum_net.build(config.NetworkConfig("vmamba_nano", num_classes=2, attention=attention, image_size=32))
    before = set(net.state_dict())
    found, labels_N = pictures(12)
    chosen = config.TrainConfig(method="supervised", steps=steps, batch_labelled=6, aux_loss=name, **changes)
    report = train.train(net, labelled_images=found, labels_N=labels_N, unlabelled_images=found[:0], config=chosen)
    assert set(net.state_dict()) == before
    return net, report


@pytest.mark.parametrize("attention", ["region", "sam_bilinear", "acol"])
@pytest.mark.parametrize("name", ["center", "mc"])
def test_every_attention_trains_with_every_loss_and_keeps_no_trace(name, attention):
    net, report = run(name, attention)
    assert report.steps == 4
    assert all(tensor.isfinite().all() for tensor in net.state_dict().values())


def test_the_loss_changes_what_is_learned_by_its_weight():
    plain, plain_too = run("none")[0], run("center", aux_weight=0.0)[0]
    pulled = run("center", aux_weight=1.0)[0]
    weights = [net.backbone.state_dict()["layers.0.blocks.0.mlp.fc1.weight"] for net in (plain, plain_too, pulled)]
    torch.testing.assert_close(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize("name", ["center", "mc"])
def test_a_few_steps_lower_it(name):
    net = raum_net.build(config.NetworkConfig("vmamba_nano", num_classes=2, attention="cam", image_size=32))
    loss = aux_losses.build(name, net, random())
    steps = torch.optim.Adam([*net.parameters(), *loss.parameters()], lr=2e-3)
    images, targets = torch.randn(4, 3, 32, 32, generator=random()), torch.tensor([0, 1, 0, 1])
    seen = []
    for _ in range(10):
        value = loss(net.train()(images, random()), targets, random()).mean()
        seen.append(value.item())
        steps.zero_grad()
        value.backward()
        steps.step()
        if name == "center":
            loss.follow(together.Together())
    assert seen[-1] < 0.9 * seen[0]


def test_a_name_that_does_not_exist_is_refused():
    with pytest.raises(errors.UnknownName, match="did you mean 'center'"):
        run("centre")
