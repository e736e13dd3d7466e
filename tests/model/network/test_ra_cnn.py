"""RA-CNN's boxes and zooms, the gates of AAM and CBAM at their start, and options that do not exist."""

from __future__ import annotations

import pytest
import torch

from model import config, errors
from model.network import hf_backbone, raum_net
from model.network.attention import aam, apn, cbam, contract, ra_cnn
from model.semi import spotter


def box(*values):
    return torch.tensor([values], dtype=torch.float32)


def ramp(side=32):
    """A picture that holds its own coordinates, from -1 to 1, in its first two channels."""
    at = (2 * torch.arange(side) + 1) / side - 1
    across = at.expand(side, side)
    return torch.stack([across, across.T, torch.zeros(side, side)])[None]


@pytest.mark.parametrize("cut", [apn.cut, apn.cut_masked])
def test_a_cut_shows_the_box_enlarged(cut):
    held = cut(ramp(), box(0.2, -0.3, 0.5))
    assert held.shape == (1, 3, 32, 32)
    wanted = ramp() * 0.5 + torch.tensor([0.2, -0.3, 0.0])[None, :, None, None]
    torch.testing.assert_close(held[:, :2], wanted[:, :2], rtol=0, atol=1e-5)
    torch.testing.assert_close(cut(ramp(), box(0.0, 0.0, 1.0)), ramp())


@pytest.mark.parametrize("cut", [apn.cut, apn.cut_masked])
def test_the_gradient_moves_the_box_to_what_is_wanted(cut):
    picture = torch.zeros(1, 3, 32, 32)
    picture[..., 18:] = 1.0  # bright on the right of the box's middle
    where = box(0.0, 0.0, 0.5).requires_grad_()
    cut(picture, where).sum().backward()
    x, y, half = where.grad[0].tolist()
    assert x > 1.0  # to the right there is more of it
    assert abs(y) < 1e-2 * x
    assert half != 0.0


def test_boxes_lie_inside_and_nest():
    for paper in (False, True):
        proposal = apn.APN(16, paper=paper)
        torch.nn.init.normal_(proposal.box.weight, std=3.0)
        boxes = proposal(torch.randn(50, 5, 5, 16, generator=torch.Generator().manual_seed(0)))
        assert (boxes[:, :2].abs().amax(1) + boxes[:, 2] <= 1 + 1e-6).all()
        assert (boxes[:, 2] >= apn.LEAST).all()
    assert apn.inside(box(0.5, 0.0, 0.5), box(-0.5, 0.5, 0.5)).tolist() == [[0.25, 0.25, 0.25]]


def test_peaks_are_found_one_after_the_other():
    held = torch.zeros(1, 8, 8, 4)
    held[0, 1, 6], held[0, 6, 1], held[0, 1, 5] = 5.0, 3.0, 4.0
    first, second = apn.peaks([held], (0, 0))[0].tolist()
    assert first == [0.5, -0.5, 0.5]  # the centre (0.625, -0.625) kept inside
    assert second == [-0.5, 0.5, 0.5]  # not the neighbour of the first


def test_what_a_zoom_saw_is_laid_back_in_its_place():
    held = torch.rand(1, 6, 6, 3, generator=torch.Generator().manual_seed(0))
    for where in (box(0.0, 0.0, 1.0), box(0.5, -0.5, 0.5), box(-0.1, 0.3, 1 / 3)):
        laid = apn.laid_back(held, where, (6, 6))
        torch.testing.assert_close(laid.mean((1, 2)), held.mean((1, 2)))
    laid = apn.laid_back(held, box(0.5, -0.5, 0.5), (6, 6))
    assert (laid[0, :3, 3:] > 0).all()
    assert laid[0, 4:].abs().max() == 0  # beyond the neighbours of the box there is nothing
    assert laid[0, :, :2].abs().max() == 0
    torch.testing.assert_close(apn.laid_back(held, box(0.0, 0.0, 1.0), (6, 6)), held)


def test_a_finer_view_has_to_be_surer_and_the_coarser_one_is_not_made_less_sure():
    head = ra_cnn.RecurrentAttention(8, num_classes=2)
    votes = torch.tensor([[[2.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [3.0, 0.0]]]).requires_grad_()
    pooled = contract.Pooling(*(torch.zeros(2),) * 4, {"votes": votes})
    told = head.losses(pooled, None, torch.tensor([0, 0]), done=0.5)
    first = torch.tensor([2.0, 0.0]).softmax(0)[0] - 0.5 + ra_cnn.MARGIN
    torch.testing.assert_close(told["rank"], torch.stack([first, torch.tensor(0.0)]))
    told["rank"].sum().backward()
    assert votes.grad[:, 0].abs().max() == 0
    assert votes.grad[0, 1, 0] < 0


def test_the_spotter_keeps_the_map_of_the_whole_image():
    net = raum_net.build(config.NetworkConfig("vmamba_nano", num_classes=2, attention="ra_cnn", image_size=32)).eval()
    kept = []
    net.backbone.layers[1]["blocks"][-1].register_forward_hook(lambda _module, _inputs, given: kept.append(given))
    spot = spotter.Spotter(net, torch.Generator().manual_seed(0))
    for side in (32, 40):
        kept.clear()
        output = net(torch.randn(1, 3, side, side))
        assert len(kept) == 2
        assert spot.maps[0] is kept[0]
    assert torch.equal(spot(output.features)[2], kept[0])
    spot.close()


@pytest.mark.parametrize("kind", [aam.AggregateAttention, cbam.BlockAttention])
def test_gates_start_as_none_and_then_weigh_cells(kind):
    held = torch.randn(2, 6, 6, 32, generator=torch.Generator().manual_seed(0))
    gated = kind(32, (8, 16), at="stages")
    torch.testing.assert_close(gated(held, None).features, held)
    small = held[..., :16]
    torch.testing.assert_close(gated.after_stage(1, small), small)
    torch.nn.init.normal_(gated.gate.cells.conv.weight)
    pooled = gated(held, None)
    assert not torch.allclose(pooled.features, held)
    torch.testing.assert_close(pooled.embedding, pooled.features.mean((1, 2)))
    told = gated.overlays(pooled, None, torch.zeros(2).long())["gate"]
    assert not told.class_specific
    assert told.maps_BHW.flatten(1).argmax(1).equal(pooled.alpha.flatten(1).argmax(1))


def test_the_sizes_of_the_papers():
    assert [aam.adaptive(channels) for channels in (512, 1024, 2048)] == [5, 5, 7]
    assert sum(each.numel() for each in aam.AggregateAttention(2048).parameters()) == 7 + 98
    gate = cbam.BlockAttention(2048)
    assert sum(each.numel() for each in gate.parameters()) == 2 * 2048 * 128 + 128 + 2048 + 99
    light = ra_cnn.RecurrentAttention(512, num_classes=2).apns
    assert sum(each.numel() for each in light.parameters()) == 512 * 64 + 64 + 3136 * 128 + 128 + 128 * 3 + 3


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("ra_cnn", {"scales": 4}, "has 2 or 3"),
        ("ra_cnn", {"scales": 3, "regions": 2}, "regions is 2 with 3 scales"),
        ("ra_cnn", {"form": "sead"}, "did you mean 'seed'"),
        ("aam", {"k": 4}, "give an odd number"),
        ("aam", {"descriptor": "gap"}, "descriptor of an aam"),
        ("aam", {"at": "stage"}, "did you mean 'stages'"),
        ("cbam", {"kernel": 5}, "3 or 7"),
        ("cbam", {"ratoi": 8}, "did you mean 'ratio'"),
    ],
)
def test_options_that_do_not_exist_are_refused(name, options, said):
    with pytest.raises(errors.BadConfig, match=said):
        raum_net.build(config.NetworkConfig("vmamba_nano", num_classes=2, attention=name, attention_options=options))


def test_a_transformers_model_has_no_stages_to_offer():
    settings = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 8], "depths": [1, 1]}
    asked = config.NetworkConfig("hf:x/y", num_classes=2, attention="cbam", attention_options={"at": "stages"})
    with pytest.raises(errors.BadConfig, match="cbam at stages does not go with hf:x/y"):
        raum_net.build(asked, backbone_settings=settings)
    assert not hasattr(hf_backbone.from_settings(settings), "stage_dims")
