"""Adversarial complementary learning: what is erased, what each branch is told, what is drawn, where gradients go."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from model import checkpoint, config, errors, optimizers
from model.network import raum_net
from model.network.attention import acol, boxes, contract, evidence


def images(count=4):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def build(classes=3, **options):
    settings = config.NetworkConfig(
        "vmamba_nano", num_classes=classes, attention="acol", attention_options=options, image_size=32, seed=1
    )
    return raum_net.build(settings).eval()


def two_marks():
    """A map whose first channel speaks in the cell (0, 0) and whose second in the cell (2, 2), and a net whose class 0 is
    the sum of both, the first twice; class 1 is against them."""
    net = build(classes=2)
    map_BHWD = torch.zeros(1, 3, 3, 160)
    map_BHWD[0, 0, 0, 0], map_BHWD[0, 2, 2, 1] = 3.0, 3.0
    with torch.no_grad():
        for head in (net.head, net.attention.second):
            head.linear.weight.zero_()
            head.linear.weight[0, 0], head.linear.weight[0, 1] = 2.0, 1.0
            head.linear.weight[1] = -head.linear.weight[0]
    return net, contract.mean_pooled(net.attention.first_map(map_BHWD), map=map_BHWD)


@pytest.mark.parametrize("branch", ["1x1", "3x3"])
def test_the_embedding_is_the_mean_of_the_first_branch_and_evidence_sums_to_the_logit(branch):
    net = build(branch=branch, hidden=24)
    output = net(images())
    assert output.embedding.shape == (4, 160 if branch == "1x1" else 24)
    pooled = (output.features * output.attention[:, None]).sum((2, 3))
    torch.testing.assert_close(output.embedding, pooled, rtol=1e-5, atol=1e-5)
    directions, scale, offset = net.head.linear_form(output.embedding)
    maps = evidence.evidence(output.features.detach(), output.attention, directions, torch.arange(3).expand(4, 3))
    torch.testing.assert_close(maps.sum((2, 3)) * scale[:, None] + offset, output.logits, rtol=1e-4, atol=1e-4)


def test_cells_that_reach_delta_go_but_never_more_than_half():
    net = build(delta=0.6)
    few = torch.tensor([[[1.0, 0.59], [0.6, 0.0]], [[1.0, 0.9], [0.8, 0.7]], [[0.0, 0.0], [0.0, 0.0]]])
    assert net.attention.stays(few).tolist() == [[[0, 1], [0, 1]], [[0, 0], [1, 1]], [[1, 1], [1, 1]]]
    alike = torch.ones(1, 3, 3)
    assert net.attention.stays(alike).sum() == 5
    assert net.attention.stays(torch.ones(1, 1, 1)).tolist() == [[[1.0]]]


def test_first_rest_and_fused_are_the_two_pieces_of_evidence():
    net, pooled = two_marks()
    drawn = net.overlays(raum_net.Output(*[None] * 5, pooled), torch.tensor([0]))
    first, rest, fused = (drawn[kind].maps_BHW[0] for kind in net.attention.KINDS)
    assert first[0, 0] == 1.0
    assert first[2, 2] == pytest.approx(0.5, abs=0.02)
    assert rest[0, 0] == 0.0
    assert rest[2, 2] == 1.0
    assert rest[1, 1] == pytest.approx(0.0, abs=0.05)
    torch.testing.assert_close(fused, torch.maximum(first, rest))
    assert all(overlay.class_specific for overlay in drawn.values())
    against = net.overlays(raum_net.Output(*[None] * 5, pooled), torch.tensor([1]))["first"].maps_BHW[0]
    assert against[0, 0] == 0.0  # the class decides
    assert against[1, 1] == 1.0


def test_an_erased_cell_shows_nothing_even_where_all_that_is_left_speaks_against_the_class():
    net, pooled = two_marks()
    pooled.kept["map"][..., 5] = 1.0
    with torch.no_grad():
        net.attention.second.linear.weight[0, 5] = -9.0
    rest = net.attention.overlays(pooled, net.head, torch.tensor([0]))["rest"].maps_BHW[0]
    assert rest[0, 0] == 0.0
    assert rest[2, 2] == 1.0


def test_disagreement_is_what_is_left_when_the_first_evidence_is_gone():
    net, pooled = two_marks()
    with torch.no_grad():
        net.attention.second.linear.weight[:, 1] *= -1  # B takes the second mark for class 1
    output = raum_net.Output(*[None] * 5, pooled)
    votes = net.overlays(output, torch.tensor([0]))["rest"].votes_BSK
    assert votes.shape == (1, 2, 2)
    assert votes[0].argmax(1).tolist() == [0, 1]
    torch.testing.assert_close(votes[0, 0], net.head(pooled.embedding)[0].softmax(0))
    net.attention.recipe = "pn"
    assert net.overlays(output, torch.tensor([0]))["rest"].votes_BSK is None


def test_in_pn_the_second_map_is_what_speaks_against_the_other_classes():
    net, pooled = two_marks()
    net.attention.recipe = "pn"
    with torch.no_grad():
        net.attention.second.linear.weight.mul_(-1)  # B learned to rule class 0 out by its own marks
    rest = net.overlays(raum_net.Output(*[None] * 5, pooled), torch.tensor([0]))["rest"].maps_BHW[0]
    assert rest[2, 2] == 1.0
    assert rest[0, 0] == 0.0


@pytest.mark.parametrize("branch", ["1x1", "3x3"])
def test_the_second_branch_is_told_the_class_from_what_is_left(branch):
    net = build(branch=branch, hidden=16)
    map_BHWD = torch.randn(2, 4, 4, 160, generator=torch.Generator().manual_seed(3))
    pooled = contract.mean_pooled(net.attention.first_map(map_BHWD), map=map_BHWD)
    targets = torch.tensor([1, 2])
    found = net.attention.losses(pooled, net.head, targets, done=0.5)
    assert set(found) == {"acol_rest"}
    early = net.attention.losses(pooled, net.head, targets, done=0.05)["acol_rest"]
    convolve = net.attention.second_map
    for image, target in enumerate(targets):
        row = (net.head.linear.weight * net.head.norm.weight)[target]
        cells = pooled.features[image].detach() @ (row - row.mean())
        cells = (cells - cells.min()) / (cells.max() - cells.min())
        least = max(0.7, cells.flatten().sort().values[-8].item())  # half of 16 cells at most
        assert 1 <= (cells >= least).sum() <= 8
        left = map_BHWD[image] * (cells < least)[..., None]
        for seen, loss in ((left, found["acol_rest"][image]), (map_BHWD[image], early[image])):
            logits = net.attention.second(convolve(seen[None]).mean((1, 2)))
            torch.testing.assert_close(loss, F.cross_entropy(logits, target[None]), rtol=1e-4, atol=1e-5)


def test_the_pn_loss_is_the_share_of_the_mean_of_the_others():
    logits, targets = torch.tensor([[1.0, 2.0, 4.0], [0.5, -1.0, 3.0]]), torch.tensor([2, 0])
    means = torch.tensor([1.5, 1.0])
    expected = -(means.exp() / logits.exp().sum(1)).log()
    torch.testing.assert_close(acol._others(logits, targets), expected)
    assert build(classes=1).attention.losses(None, None, torch.tensor([0]), done=0.5) == {}


def test_cyclic_erasing_teaches_the_first_branch_what_the_second_did_not_need():
    net, pooled = two_marks()
    net.attention.erasing = "cyclic"
    found = net.attention.losses(pooled, net.head, torch.tensor([0]), done=0.5)
    left = pooled.kept["map"].clone()
    left[0, 2, 2] = 0  # B saw the second mark alone, and that is taken from A
    expected = F.cross_entropy(net.head(left.mean((1, 2))), torch.tensor([0]))
    torch.testing.assert_close(found["acol_again"][0], expected, rtol=1e-4, atol=1e-5)
    assert set(net.attention.losses(pooled, net.head, torch.tensor([0]), done=0.05)) == {"acol_rest"}


@pytest.mark.parametrize(("erasing", "reaches"), [("one-way", False), ("cyclic", True)])
def test_erasing_carries_no_gradient(erasing, reaches):
    net = build(erasing=erasing).train()
    map_BHWD = torch.randn(2, 4, 4, 160, generator=torch.Generator().manual_seed(3)).requires_grad_()
    pooled = contract.mean_pooled(net.attention.first_map(map_BHWD), map=map_BHWD)
    found = net.attention.losses(pooled, net.head, torch.tensor([1, 2]), done=0.5)
    sum(found.values()).sum().backward()
    assert (net.head.linear.weight.grad is not None) == reaches  # one way, A only chooses what is erased
    assert net.attention.second.linear.weight.grad.abs().max() > 0
    if not reaches:
        erased = map_BHWD.grad.abs().amax(-1) == 0
        assert 0 < erased.sum() <= 16
        assert not erased.all()


@pytest.mark.parametrize("options", [{}, {"recipe": "pn"}, {"erasing": "cyclic"}, {"branch": "3x3", "hidden": 16}])
def test_a_few_steps_lower_every_loss(options):
    net = build(**options)
    steps = torch.optim.Adam(net.parameters(), lr=2e-3)
    targets, seen = torch.tensor([0, 1, 2, 0]), []
    for _ in range(8):
        output = net.train()(images(), torch.Generator().manual_seed(1))
        losses = {"plain": F.cross_entropy(output.logits, targets, reduction="none")}
        losses |= net.losses(output, targets, done=0.5)
        assert all(loss.shape == (4,) for loss in losses.values())
        seen.append({name: loss.mean().item() for name, loss in losses.items()})
        steps.zero_grad()
        sum(losses.values()).mean().backward()
        steps.step()
    assert all(seen[-1][name] < seen[0][name] for name in seen[0])


def test_no_image_depends_on_its_neighbours():
    net = build(erasing="cyclic")
    together, alone = net(images()), net(images()[2:3])
    both = net.losses(together, torch.tensor([0, 1, 2, 0]), done=0.5)
    one = net.losses(alone, torch.tensor([2]), done=0.5)
    for name, loss in one.items():
        torch.testing.assert_close(both[name][2:3], loss, rtol=1e-4, atol=1e-5)
    drawn, single = net.overlays(together, torch.tensor([0, 1, 2, 0])), net.overlays(alone, torch.tensor([2]))
    for kind, overlay in single.items():
        torch.testing.assert_close(drawn[kind].maps_BHW[2:3], overlay.maps_BHW, rtol=1e-3, atol=1e-4)


def test_new_classes_keep_the_rows_of_both_branches_and_a_checkpoint_the_options(tmp_path):
    net = build(branch="3x3", hidden=24, recipe="pp", erasing="cyclic", delta=0.8)
    checkpoint.save(tmp_path / "net.safetensors", net, class_ids=[4, 5, 6], meta={})
    again = checkpoint.load(tmp_path / "net.safetensors").net
    assert again.config.attention_options == net.config.attention_options
    assert (again.attention.delta, again.attention.erasing) == (0.8, "cyclic")
    before, votes = net(images()), net.overlays(net(images()), torch.tensor([2, 0, 2, 0]))["rest"].votes_BSK.log()
    raum_net.reclass(again, [2, None, 0], seed=0)
    after = again(images())
    torch.testing.assert_close(after.logits[:, [0, 2]], before.logits[:, [2, 0]])
    new = again.overlays(after, torch.tensor([0, 2, 0, 2]))["rest"].votes_BSK.log()
    torch.testing.assert_close(new[..., 0] - new[..., 2], votes[..., 2] - votes[..., 0], rtol=1e-4, atol=1e-4)


def test_a_classifier_of_many_classes_is_no_matrix_for_muon():
    net = build(classes=40)
    chosen = optimizers.Optimizers(net, config.TrainConfig(), torch.nn.Identity())
    rates = {id(p): group["lr"] for group in chosen.groups for p in group["params"]}
    assert rates[id(net.attention.second.linear.weight)] == config.TrainConfig().lr_head
    assert rates[id(net.backbone.layers[0]["blocks"][0].mlp.fc1.weight)] == config.TrainConfig().lr_matrix


def test_the_frame_holds_the_largest_connected_region():
    maps = torch.zeros(2, 8, 8)
    maps[0, 2:6, 1:4] = 1.0
    maps[0, 7, 7] = 1.0
    found = boxes.largest_region(maps, above=0.5)
    torch.testing.assert_close(found[0], torch.tensor([1 / 8, 2 / 8, 4 / 8, 6 / 8]), atol=1 / 56, rtol=0)
    assert found[1].tolist() == [0.0] * 4
    net, pooled = two_marks()
    left, top, right, bottom = net.attention.overlays(pooled, net.head, torch.tensor([0]))["fused"].boxes_B4[0]
    assert (left, top) == (0.0, 0.0) or (right, bottom) == (1.0, 1.0)
    assert 0.2 < right - left < 0.6


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(errors.UnknownName, match="did you mean '3x3'"):
        build(branch="3x33")
    with pytest.raises(errors.UnknownName, match="recipe of acol"):
        build(recipe="ppp")
    with pytest.raises(errors.BadConfig, match="delta is 0"):
        build(delta=0)
