"""How cells count before the region attention has learnt anything: alike, or by how much they stand out."""

from __future__ import annotations

import pytest
import torch

from model import config, errors
from model.network import raum_net
from model.network.attention import region


def test_what_differs_from_the_edge_counts_wherever_it_lies() -> None:
    features_BHWD = torch.zeros(2, 6, 6, 8) + 3.0
    features_BHWD[0, 1, 4, 2] = 5.0
    features_BHWD[1, 4, 2, 5] = -1.0
    counts_BHW = region.salient(features_BHWD)
    torch.testing.assert_close(counts_BHW.sum((1, 2)), torch.ones(2))
    assert counts_BHW[0, 1, 4] > 0.999
    assert counts_BHW[1, 4, 2] > 0.999


def test_the_share_is_the_sixth_power_of_the_distance_from_the_edges_mean() -> None:
    features_BHWD = torch.zeros(1, 3, 4, 1)
    features_BHWD[0, 1, 1:3, 0] = torch.tensor([1.0, 2.0])
    counts_BHW = region.salient(features_BHWD)
    assert counts_BHW[0, 1, 2] / counts_BHW[0, 1, 1] == pytest.approx(64.0, rel=1e-3)


@pytest.mark.parametrize("side", [1, 2, 5])
def test_where_all_cells_are_alike_all_count_alike(side: int) -> None:
    counts_BHW = region.salient(torch.full((2, side, side, 4), 0.7))
    torch.testing.assert_close(counts_BHW, torch.full_like(counts_BHW, 1 / side**2))


@pytest.mark.parametrize("pooling", config.POOLINGS)
def test_the_embedding_is_the_pooled_map_at_once_and_while_it_learns(pooling: str) -> None:
    wanted = config.NetworkConfig("vmamba_nano", num_classes=3, image_size=48, pooling=pooling, pretrained=False)
    net = raum_net.build(wanted).train()
    images_BCHW = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    output = net(images_BCHW)
    pooled_BD = (output.attention[:, None] * output.features).sum((2, 3))
    torch.testing.assert_close(output.embedding, pooled_BD, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(output.attention.sum((1, 2)), torch.ones(2))
    alike = torch.full_like(output.attention, 1 / output.attention[0].numel())
    assert (output.attention - alike).abs().max() / alike.max() > (2.0 if pooling == config.SALIENT else 0)
    assert (output.attention - alike).abs().max() / alike.max() < (100.0 if pooling == config.SALIENT else 0.5)
    output.logits.sum().backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in net.attention.parameters())


def test_a_checkpoint_says_so_and_older_ones_mean_the_mean() -> None:
    plain = config.NetworkConfig("vmamba_nano", num_classes=2)
    assert "pooling" not in config.to_dict(plain)
    salient = config.NetworkConfig("vmamba_nano", num_classes=2, pooling=config.SALIENT)
    assert config.from_dict(config.to_dict(salient)).pooling == config.SALIENT
    assert config.from_dict(config.to_dict(plain)).pooling == config.MEAN
    with pytest.raises(errors.UnknownName, match="pooling"):
        config.from_dict({**config.to_dict(plain), "pooling": "salt"})
