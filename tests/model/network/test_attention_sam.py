"""Self-boosting attention: the target and its loss by hand, the exact split of the bilinear embedding, where gradients go."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from model import checkpoint, config, errors
from model.network import raum_net
from model.network.attention import evidence

NAMES = ["sam", "sam_bilinear"]


def images(count=4):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def build(name, classes=3, **options):
    settings = config.NetworkConfig(
        "vmamba_nano", num_classes=classes, attention=name, attention_options=options, image_size=32, seed=1
    )
    return raum_net.build(settings).eval()


def some_map(seed=0):
    return torch.randn(2, 3, 3, 160, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(params=NAMES)
def net(request):
    return build(request.param)


def test_the_embedding_is_the_mean_of_the_features_and_evidence_sums_to_the_logit(net):
    output = net(images())
    pooled = (output.features * output.attention[:, None]).sum((2, 3))
    torch.testing.assert_close(output.embedding, pooled, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(output.attention.sum((1, 2)), torch.ones(4))
    assert output.embedding.shape == (4, net.dim)
    directions, scale, offset = net.head.linear_form(output.embedding)
    maps = evidence.evidence(output.features.detach(), output.attention, directions, torch.arange(3).expand(4, 3))
    torch.testing.assert_close(maps.sum((2, 3)) * scale[:, None] + offset, output.logits, rtol=1e-4, atol=1e-4)


def test_the_bilinear_embedding_is_roots_of_the_outer_product_at_one_length():
    net = build("sam_bilinear", parts=3, width=5)
    map_BHWD = some_map()
    with torch.no_grad():
        embedding = net.attention.pooled(map_BHWD).embedding
        parts, values = net.attention.parts(map_BHWD), net.attention.reduce(map_BHWD)
    sums = torch.einsum("bhwk,bhwc->bkc", parts, values) / 9
    roots = F.normalize((sums.sign() * sums.abs().sqrt()).flatten(1)) * 15**0.5
    torch.testing.assert_close(embedding, roots, rtol=0.02, atol=0.02)
    whole = build("sam_bilinear", parts=2, width=0)
    assert whole.dim == 2 * 160
    assert whole.attention.pooled(map_BHWD).embedding.shape == (2, 320)


def test_the_maps_are_normed_over_one_image_and_the_overlay_is_the_largest():
    net = build("sam", parts=4)
    with torch.no_grad():
        net.attention.shift.copy_(torch.tensor([0.0, 0.5, -0.5, 1.0]))
    map_BHWD = some_map()
    raw = torch.einsum("bhwd,kd->bhwk", map_BHWD, net.attention.project.weight.detach())
    normed = torch.stack([(one - one.mean()) / (one.var(correction=0) + 1e-5).sqrt() for one in raw])
    parts = (normed + net.attention.shift.detach()).clamp(min=0)
    pooled = net.attention.pooled(map_BHWD)
    torch.testing.assert_close(pooled.kept["parts"].detach(), parts, rtol=1e-4, atol=1e-4)
    drawn = net.attention.overlays(pooled, net.head, torch.tensor([0, 1]))["sam"]
    largest = parts.amax(-1)
    low, high = largest.amin((1, 2), keepdim=True), largest.amax((1, 2), keepdim=True)
    torch.testing.assert_close(drawn.maps_BHW.detach(), (largest - low) / (high - low), rtol=1e-4, atol=1e-4)
    assert not drawn.class_specific
    assert set(net.attention.KINDS) == {"sam"}


def test_the_loss_is_the_divergence_from_the_map_of_the_true_class():
    net = build("sam", tau=0.3, weight=2.0)
    torch.nn.init.normal_(net.head.norm.weight)
    map_BHWD, targets = some_map(), torch.tensor([2, 0])
    pooled = net.attention.pooled(map_BHWD)
    found = net.attention.losses(pooled, net.head, targets, done=0.5)["sam_kl"]
    for image, target in enumerate(targets):
        weights = (net.head.linear.weight * net.head.norm.weight)[target]
        cells = (map_BHWD[image] @ (weights - weights.mean())).clamp(min=0).flatten()
        told = ((cells - cells.min()) / (cells.max() - cells.min()) / 0.3).softmax(0)
        seen = (pooled.kept["parts"][image].amax(-1).flatten() / 0.3).softmax(0)
        torch.testing.assert_close(found[image], 2.0 * (told * (told / seen).log()).sum(), rtol=1e-3, atol=1e-4)


def test_the_gradient_target_weighs_channels_with_the_mean_slope_of_the_logit():
    net = build("sam_bilinear", parts=2, width=4)
    map_BHWD, targets = some_map(), torch.tensor([1, 2])
    found = net.attention._class_map(net.attention.pooled(map_BHWD), net.head, targets)

    def logit(map_HWD, target):
        return net.head(net.attention.pooled(map_HWD[None]).embedding)[0, target].item()

    step, slopes = 3e-2, []
    with torch.no_grad():
        for channel in (0, 7):
            up, down = map_BHWD[0].clone(), map_BHWD[0].clone()
            up[..., channel] += step
            down[..., channel] -= step
            slopes.append((logit(up, 1) - logit(down, 1)) / (2 * step) / 9)  # all cells moved: the mean of nine slopes
    leaf = map_BHWD.clone().requires_grad_()
    logits = net.head(net.attention.pooled(leaf).embedding)
    (logits[0, 1] + logits[1, 2]).backward()
    means = leaf.grad.mean((1, 2))
    torch.testing.assert_close(means[0, [0, 7]], torch.tensor(slopes), rtol=0.05, atol=1e-5)
    torch.testing.assert_close(found, (map_BHWD * means[:, None, None]).sum(-1), rtol=1e-4, atol=1e-6)


def test_an_image_without_evidence_for_its_class_teaches_nothing():
    net = build("sam")
    with torch.no_grad():
        net.head.linear.weight.zero_()
    pooled = net.attention.pooled(some_map())
    assert net.attention.losses(pooled, net.head, torch.tensor([0, 1]), done=0.5)["sam_kl"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("target", ["cam", "gradcam"])
@pytest.mark.parametrize("name", NAMES)
def test_the_loss_moves_projection_and_map_and_never_its_target(name, target):
    net = build(name, target=target).train()
    map_BHWD = some_map().requires_grad_()
    losses = net.attention.losses(net.attention.pooled(map_BHWD), net.head, torch.tensor([0, 1]), done=0.5)
    losses["sam_kl"].sum().backward()
    assert net.attention.project.weight.grad.abs().max() > 0
    assert map_BHWD.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in net.head.parameters())
    if name == "sam_bilinear":
        assert net.attention.reduce.weight.grad is None


def test_the_classifier_trains_the_maps_of_the_bilinear_form_alone():
    for name, reached in (("sam", False), ("sam_bilinear", True)):
        net = build(name)
        net(images()).logits.square().sum().backward()
        assert (net.attention.project.weight.grad is not None) == reached


def test_no_image_depends_on_its_neighbours(net):
    together, alone = net(images()), net(images()[2:3])
    torch.testing.assert_close(together.embedding[2:3], alone.embedding, rtol=1e-4, atol=5e-5)  # roots near 0 are steep
    both = net.losses(together, torch.tensor([0, 1, 2, 0]), done=0.5)["sam_kl"]
    one = net.losses(alone, torch.tensor([2]), done=0.5)["sam_kl"]
    assert both.shape == (4,)
    torch.testing.assert_close(both[2:3], one, rtol=1e-3, atol=1e-5)


def test_a_few_steps_lower_the_divergence(net):
    steps = torch.optim.Adam(net.parameters(), lr=2e-3)
    targets = torch.tensor([0, 1, 2, 0])
    seen = []
    for _ in range(12):
        output = net.train()(images(), torch.Generator().manual_seed(1))
        own = net.losses(output, targets, done=0.5)["sam_kl"].mean()
        plain = F.cross_entropy(output.logits, targets)
        seen.append((own.item(), plain.item()))
        steps.zero_grad()
        (plain + 10 * own).backward()
        steps.step()
    assert seen[-1][0] < 0.7 * seen[0][0]
    assert seen[-1][1] < seen[0][1]


def test_checkpoints_and_new_classes_keep_the_options(tmp_path):
    net = build("sam_bilinear", parts=3, width=8, target="cam")
    checkpoint.save(tmp_path / "net.safetensors", net, class_ids=[4, 5, 6], meta={})
    again = checkpoint.load(tmp_path / "net.safetensors").net
    assert again.config.attention_options == {"parts": 3, "width": 8, "target": "cam"}
    assert again.attention.target == "cam"
    before = net(images()).logits
    torch.testing.assert_close(again(images()).logits, before)
    raum_net.reclass(again, [2, None, 0], seed=0)
    torch.testing.assert_close(again(images()).logits[:, [0, 2]], before[:, [2, 0]])


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(errors.UnknownName, match="did you mean 'gradcam'"):
        build("sam", target="grad-cam")
    with pytest.raises(errors.BadConfig, match="tau above 0"):
        build("sam", tau=0.0)
    with pytest.raises(errors.BadConfig, match="width is -1"):
        build("sam_bilinear", width=-1)
    with pytest.raises(errors.UnknownName, match="option of the attention sam"):
        build("sam", width=8)
