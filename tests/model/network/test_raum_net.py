"""RAUM-Net: pooling that is exact, a posterior that depends on no neighbour, evidence that sums to the logit."""

from __future__ import annotations

import pytest
import torch

from model import config, errors
from model.network import raum_net
from model.network.attention import evidence


@pytest.fixture(params=["region", "cam"])
def net(request):
    settings = config.NetworkConfig("vmamba_nano", num_classes=6, attention=request.param, image_size=64, seed=1)
    return raum_net.build(settings).eval()


def images(count=4):
    return torch.randn(count, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_the_embedding_is_the_pooled_features_exactly(net):
    output = net(images())
    pooled = (output.features * output.attention[:, None]).sum((2, 3))
    torch.testing.assert_close(output.embedding, pooled, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(output.attention.sum((1, 2)), torch.ones(4))
    torch.testing.assert_close(output.alpha.sum((1, 2)), torch.ones(4))
    torch.testing.assert_close(output.features, net.features(images()))


def test_the_gate_starts_half_open_from_scratch_and_opens_to_the_attention():
    net = raum_net.build(config.NetworkConfig("vmamba_nano", num_classes=3, image_size=64)).eval()
    torch.nn.init.normal_(net.attention.score.weight, std=3.0)
    output = net(images())
    gate = torch.sigmoid(torch.tensor(0.0))
    uniform = torch.full_like(output.alpha, 1 / output.alpha[0].numel())
    torch.testing.assert_close(output.attention, (1 - gate) * uniform + gate * output.alpha)
    with torch.no_grad():
        net.attention.gamma.fill_(40.0)
    assert (net(images()).attention - uniform).abs().max() > 1e-3


def test_evidence_sums_to_the_logit(net):
    torch.nn.init.normal_(net.head.norm.weight)
    torch.nn.init.normal_(net.head.norm.bias)
    output = net(images())
    directions, scale, offset = net.head.linear_form(output.embedding)
    classes = torch.arange(6).expand(4, 6)
    maps = evidence.evidence(output.features.detach(), output.attention, directions, classes)
    assert maps.shape == (4, 6, *output.attention.shape[1:])
    torch.testing.assert_close(maps.sum((2, 3)) * scale[:, None] + offset, output.logits, rtol=1e-4, atol=1e-4)
    some = evidence.evidence(output.features.detach(), output.attention, directions, torch.tensor([[3], [0], [5], [1]]))
    torch.testing.assert_close(some[:, 0], maps[torch.arange(4), torch.tensor([3, 0, 5, 1])])


def test_the_posterior_is_repeatable_and_independent_of_the_batch(net):
    embedding = net(images()).embedding
    first = net.posterior(embedding, 12, torch.Generator().manual_seed(7))
    assert first.shape == (4, 12, 6)
    torch.testing.assert_close(first.exp().sum(-1), torch.ones(4, 12))
    assert torch.equal(first, net.posterior(embedding, 12, torch.Generator().manual_seed(7)))
    assert not torch.allclose(first, net.posterior(embedding, 12, torch.Generator().manual_seed(8)))
    assert first.std(1).max() > 1e-3
    order = torch.tensor([2, 0, 3, 1])
    shuffled = net.posterior(embedding[order], 12, torch.Generator().manual_seed(7))
    torch.testing.assert_close(shuffled, first[order], rtol=1e-5, atol=1e-5)
    alone = net.posterior(embedding[1:2], 12, torch.Generator().manual_seed(7))
    torch.testing.assert_close(alone, first[1:2], rtol=1e-5, atol=1e-5)


def test_the_mean_of_many_draws_approaches_the_mean_network(net):
    output = net(images())
    mean = net.posterior(output.embedding, 4000, torch.Generator().manual_seed(0)).exp().mean(1)
    torch.testing.assert_close(mean, output.logits.softmax(1), rtol=0.1, atol=0.02)


def test_dropout_acts_in_training_and_follows_its_generator(net):
    embedding = net(images()).embedding.detach()
    plain = net.head(embedding)
    net.train()
    dropped = net.head(embedding, torch.Generator().manual_seed(1))
    assert torch.equal(dropped, net.head(embedding, torch.Generator().manual_seed(1)))
    assert not torch.allclose(dropped, plain)


def test_classes_can_be_added_dropped_and_reordered(net):
    before = net(images()).logits
    raum_net.reclass(net, [4, None, 0], seed=3)
    after = net(images()).logits
    assert net.config.num_classes == 3
    torch.testing.assert_close(after[:, [0, 2]], before[:, [4, 0]])
    with pytest.raises(errors.BadInput, match="must name classes"):
        raum_net.reclass(net, [3], seed=0)


def test_names_that_do_not_exist_are_refused():
    with pytest.raises(errors.UnknownName, match="did you mean 'region'"):
        raum_net.build(config.NetworkConfig("vmamba_nano", num_classes=2, attention="regoin"))
    with pytest.raises(errors.UnknownName, match="did you mean 'vmamba_nano'"):
        config.for_backbone("vmamba_nan", num_classes=2)
    with pytest.raises(errors.BadConfig, match="at least one class"):
        config.for_backbone("vmamba_nano", num_classes=0)


def test_overhead_over_the_bare_backbone_is_small():
    net = raum_net.build(config.NetworkConfig("vmamba_small", num_classes=200))
    extra = sum(p.numel() for p in net.parameters()) - sum(p.numel() for p in net.backbone.parameters())
    plain_head = 768 * 200 + 200
    assert extra - plain_head < 150_000


def test_the_names_that_need_no_torch_are_those_that_exist():
    assert set(config.ATTENTIONS) == set(raum_net.ATTENTIONS)
