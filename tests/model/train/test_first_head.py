"""The head that large pretrained weights start with: what the features tell, and batch norms as they came."""

import dataclasses

import numpy as np
import pytest
import torch

from model import averaging, config, predict, train
from model.network import raum_net
from model.semi import first_head

CLASSES = 3


def pictures(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels_N = np.arange(count) % CLASSES
    images = rng.integers(0, 90, (count, 32, 32, 3)).astype(np.uint8)
    for label in range(CLASSES):
        images[labels_N == label, :, :, label] += 60
    return images, labels_N


def network(backbone: str = "vmamba_nano") -> raum_net.RaumNet:
    wanted = config.for_backbone(backbone, num_classes=CLASSES)
    return raum_net.build(dataclasses.replace(wanted, image_size=32, pretrained=False))


def right(net: raum_net.RaumNet, images: np.ndarray, labels_N: np.ndarray) -> float:
    with torch.no_grad():
        logits = net.head.mean_network(torch.from_numpy(predict.embed(net, images).embeddings_ND))
    return float((logits.argmax(1).numpy() == labels_N).mean())


@pytest.mark.parametrize("pool", [0, 40])
def test_the_first_head_knows_what_the_features_tell(pool: int) -> None:
    (images, labels_N), (others, truth_N) = pictures(12, 0), pictures(60, 1)
    net = network()
    first_head.give(net, images, labels_N, others, config.TrainConfig(head_pool=pool))
    assert right(net, others, truth_N) > 0.8


def test_a_share_goes_so_far_towards_it_and_stays_as_sure() -> None:
    images, labels_N = pictures(12, 0)
    net, whole, half = network(), network(), network()
    first_head.give(whole, images, labels_N, images[:0], config.TrainConfig())
    first_head.give(half, images, labels_N, images[:0], config.TrainConfig(), share=0.5)
    between = (net.head.linear.weight + whole.head.linear.weight) / 2
    assert torch.cosine_similarity(half.head.linear.weight.flatten(), between.flatten(), dim=0) > 0.99999
    lengths = [(each - each.mean(0)).norm().item() for each in (half.head.linear.weight, net.head.linear.weight)]
    assert lengths[0] == pytest.approx(lengths[1], rel=1e-5)
    assert not torch.allclose(between, whole.head.linear.weight)


@pytest.mark.parametrize("stopped", [False, True])
def test_in_the_end_the_head_is_refitted_to_the_trained_features_unless_it_was_stopped(stopped: bool) -> None:
    (images, labels_N), (others, _) = pictures(12, 0), pictures(20, 1)
    asked = iter([False, stopped])
    chosen = config.TrainConfig(steps=5, batch_labelled=4, head_pool=20, refit=1.0, spot=0.0)
    net = network()
    train.train(
        net,
        labelled_images=images,
        labels_N=labels_N,
        unlabelled_images=others,
        config=chosen,
        stop=lambda: next(asked, stopped),
    )
    before = net.head.linear.weight.clone()
    first_head.give(net, images, labels_N, others, chosen, hidden=0.4)
    assert torch.allclose(net.head.linear.weight, before, atol=1e-5) != stopped


def test_where_views_are_hidden_it_learns_from_covered_images_too(monkeypatch: pytest.MonkeyPatch) -> None:
    (images, labels_N), (others, _) = pictures(6, 0), pictures(9, 1)
    net, seen, embed = network(), [], predict.embed

    def looked(net: raum_net.RaumNet, each: np.ndarray) -> predict.Embedded:
        seen.append(each)
        return embed(net, each)

    monkeypatch.setattr(predict, "embed", looked)
    first_head.give(net, images, labels_N, others, config.TrainConfig(head_pool=9), hidden=0.4)
    assert [len(each) for each in seen] == [6, 6, 6, 9, 9, 9]
    plain, mirrored, covered = seen[3:]
    np.testing.assert_array_equal(mirrored, plain[:, :, ::-1])
    colour = np.round(np.array(net.config.mean) * 255)
    changed = (covered != plain).any(axis=-1)
    np.testing.assert_array_equal(covered[changed], np.broadcast_to(colour, (changed.sum(), 3)))
    shares = changed.mean(axis=(1, 2))
    assert shares.max() <= 0.4 + 0.01
    assert len(set(shares)) > 5
    first_head.give(network(), images, labels_N, others, config.TrainConfig(head_pool=9), hidden=0.4)
    np.testing.assert_array_equal(seen[-1], covered)


def test_soft_labels_move_the_first_head() -> None:
    images, labels_N = pictures(12, 0)
    soft_NK = np.eye(CLASSES)[labels_N] * 0.4 + 0.2
    plain, unsure = network(), network()
    first_head.give(plain, images, labels_N, images[:0], config.TrainConfig())
    first_head.give(unsure, images, labels_N, images[:0], config.TrainConfig(), soft_NK)
    assert unsure.head.linear.weight.abs().sum() < 0.8 * plain.head.linear.weight.abs().sum()


def test_batch_norms_keep_their_statistics_where_that_is_asked() -> None:
    images, labels_N = pictures(12, 0)
    for kept in (True, False):
        net = network("resnet18")
        before = {name: held.clone() for name, held in net.named_buffers() if "running" in name}
        chosen = config.TrainConfig(method="supervised", steps=2, batch_labelled=4, spot=0.0, keep_norms=kept)
        train.train(net, labelled_images=images, labels_N=labels_N, unlabelled_images=images[:0], config=chosen)
        after = dict(net.named_buffers())
        same = all(torch.equal(held, after[name]) for name, held in before.items())
        assert same == kept
    assert averaging.begin(network("resnet18"), keep_norms=True).training


def test_large_pretrained_weights_start_so_and_nano_does_not() -> None:
    large = dataclasses.replace(config.for_backbone("vmamba_tiny", num_classes=2), weights="somewhere")
    nano = config.for_backbone("vmamba_nano", num_classes=2)
    chosen = [config.training(each, on_cpu=True) for each in (large, nano)]
    assert [(each.first_head, each.keep_norms) for each in chosen] == [(True, True), (False, False)]
