"""The head that a training of large pretrained weights starts with: what the features tell already, not noise.

A random head takes most of a short run to find what logistic regression on the same features finds in a second; measured on
60 labelled birds with MobileNetV2, 60 steps from a random head reach .29, the features alone .6 to .7. So short a run also
leaves its head undertrained: in the end it goes most of the way towards the one that the trained features give.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model import config as configs
from model import last_layer, predict, probe
from model.data import occlusion
from model.together import Together

STRENGTH = 0.03  # C of the logistic regression on rows of unit variance


def give(
    net: Any,
    images: Any,
    labels_N: NDArray[np.int64],
    unlabelled: Any,
    config: configs.TrainConfig,
    targets_NK: NDArray[np.floating] | None = None,
    together: Together | None = None,
    *,
    share: float = 1.0,
    hidden: float = 0.0,
) -> None:
    """Fit the linear layer of the net's head on the labelled images, by logistic regression on embeddings as it sees them; a
    `share` below 1 takes the head that there is only so far towards that one, and leaves it as long as it was, since the
    regression, on rows that the features were trained on, does not know how sure it may be.

    Up to config.head_pool unlabelled images teach it, too: by the probabilities of the class-balanced, self-trained last
    layer (model/last_layer.py), whose labels alone say how frequent classes are. Where views are `hidden` up to that share of
    their area, every image teaches three times: as it is, mirrored, and covered. Of several processes each embeds its part,
    and the first one fits.
    """
    joined = together or Together()
    rng, count = np.random.default_rng([config.seed, 0xF1257]), len(images)
    chosen = np.sort(rng.permutation(len(unlabelled))[: config.head_pool or 0])
    rows_VND = _embedded(net, images, np.arange(count), hidden, [config.seed, 0], joined)
    if len(chosen):
        pool_VMD = _embedded(net, unlabelled, chosen, hidden, [config.seed, 1], joined)
        rows_VND = np.concatenate([rows_VND, pool_VMD], axis=1)
    if not joined.first:
        return
    truth_NK = np.eye(net.config.num_classes)[labels_N] if targets_NK is None else targets_NK.astype(np.float64)
    if len(chosen):
        layer = last_layer.fit(
            rows_VND[0], np.arange(count), labels_N, truth_NK.shape[1], rng=rng, targets_LK=targets_NK,
            config=last_layer.Config(weight_noise=0.0),  # it says how far to trust an answer, not what it is
        )  # fmt: skip
        whole_VMD = rows_VND[:2, count:]  # what is covered says less
        told_VMK = [np.exp(layer.log_probs(rows_MD), dtype=np.float64) for rows_MD in whole_VMD]
        truth_NK = np.concatenate([truth_NK, np.mean(told_VMK, axis=0)])
    head, views = net.head, len(rows_VND)
    with torch.no_grad():
        normed_NE = head.norm(torch.from_numpy(np.concatenate(rows_VND)).to(head.linear.weight)).double().cpu().numpy()
        found_KE = probe.fit(normed_NE, np.tile(truth_NK, (views, 1)), C=STRENGTH / views)
        found_KE = torch.from_numpy(found_KE).to(head.linear.weight)
        before = _length(head.linear.weight)
        head.linear.weight.lerp_(found_KE[:, :-1], share)
        head.linear.bias.lerp_(found_KE[:, -1], share)
        if share < 1:
            factor = before / _length(head.linear.weight)
            head.linear.weight.mul_(factor)
            head.linear.bias.mul_(factor)


def _length(weight_KE: torch.Tensor) -> torch.Tensor:
    """Of what tells classes apart."""
    return (weight_KE - weight_KE.mean(dim=0)).norm()


def _embedded(
    net: Any, images: Any, chosen: NDArray[np.int64], hidden: float, seed: list[int], together: Together
) -> NDArray[np.float32]:
    """Embeddings (V, N, D) of the chosen images, of which this process makes its part: V is 1, or 3 with `hidden`."""
    own = chosen[together.part(len(chosen))]
    views = _views(images[own], own, hidden, seed, net.config.mean)
    found = [torch.from_numpy(predict.embed(net, each).embeddings_ND) for each in views]
    return np.stack([together.gather(each, len(chosen)).numpy() for each in found])


def _views(
    images_NHWC: NDArray[np.uint8], numbers_N: NDArray[np.int64], hidden: float, seed: list[int], mean: Sequence[float]
) -> Iterator[NDArray[np.uint8]]:
    """One after the other, as together they are large."""
    yield images_NHWC
    if hidden:
        yield np.ascontiguousarray(images_NHWC[:, :, ::-1])
        yield _covered(images_NHWC, numbers_N, hidden, seed, mean)


def _covered(
    images_NHWC: NDArray[np.uint8], numbers_N: NDArray[np.int64], hidden: float, seed: list[int], mean: Sequence[float]
) -> NDArray[np.uint8]:
    """The images, each with a shape in the mean colour over up to the share `hidden`, which its number alone decides."""
    covered_NHWC, colour = images_NHWC.copy(), np.round(np.array(mean) * 255).astype(np.uint8)
    for image_HWC, number in zip(covered_NHWC, numbers_N, strict=True):
        drawn = np.random.SeedSequence([*seed, int(number)]).generate_state(1, np.uint64)[0]
        generator = torch.Generator().manual_seed(int(drawn >> np.uint64(1)))
        occlusion.hide(image_HWC, hidden * torch.rand(1, generator=generator), colour, generator=generator)
    return covered_NHWC
