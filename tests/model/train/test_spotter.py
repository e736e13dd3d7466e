"""The spotter tells which cells speak for a class."""

from __future__ import annotations

import pytest
import torch

from model import config
from model.network import raum_net
from model.semi import spotter


@pytest.fixture
def net():
    return raum_net.build(config.NetworkConfig("vmamba_nano", num_classes=3, image_size=32))


def test_evidence_is_where_the_channels_of_the_class_peak(net):
    spot = spotter.Spotter(net, torch.Generator().manual_seed(0))
    with torch.no_grad():
        spot.weight.zero_()
        spot.weight[1, 0], spot.weight[1, 1], spot.weight[2, 2] = 2.0, 1.0, 5.0
    width = spot.weight.shape[1]
    map_BHWC = torch.zeros(1, 4, 4, width)
    map_BHWC[0, 0, 0, 0] = 1.0  # speaks for class 1, twice as loudly as
    map_BHWC[0, 3, 3, 1] = 1.0  # this one
    map_BHWC[0, 2, 0, 2] = 9.0  # speaks for class 2 alone
    told_BHW = spot.evidence(map_BHWC.amax(dim=(1, 2)), map_BHWC, torch.tensor([1]), grid=(2, 2))
    assert told_BHW[0].tolist() == [pytest.approx([2 / 3, 0.0]), pytest.approx([0.0, 1 / 3])]
    told_BHW = spot.evidence(map_BHWC.amax(dim=(1, 2)), map_BHWC, torch.tensor([2]), grid=(4, 4))
    assert told_BHW[0, 2, 0].item() == pytest.approx(1.0)


def test_the_spotter_reads_the_second_stage_and_leaves_no_trace(net):
    spot = spotter.Spotter(net, torch.Generator().manual_seed(0))
    output = net(torch.randn(2, 3, 32, 32))
    logits_BK, largest_BC, map_BHWC = spot(output.features)
    assert logits_BK.shape == (2, 3)
    assert map_BHWC.shape == (2, 4, 4, net.backbone.variant.dims[1])
    assert torch.equal(largest_BC, map_BHWC.flatten(1, 2).amax(1))
    spot.close()
    net(torch.randn(1, 3, 32, 32))
    assert spot.maps == []
