"""The head that a training of large pretrained weights starts with: what the features tell already, not noise.

A random head takes most of a short run to find what logistic regression on the same features finds in a second; measured on
60 labelled birds with MobileNetV2, 60 steps from a random head reach .29, the features alone .6 to .7.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from model import config as configs
from model import last_layer, predict, probe
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
) -> None:
    """Fit the linear layer of the net's head on the labelled images, by logistic regression on embeddings as it sees them.

    Up to config.head_pool unlabelled images teach it, too: by the probabilities of the class-balanced, self-trained last
    layer (model/last_layer.py), whose labels alone say how frequent classes are. Of several processes each embeds its part,
    and the first one fits.
    """
    joined = together or Together()
    rng, pool = np.random.default_rng([config.seed, 0xF1257]), config.head_pool or 0
    rows_ND = _embedded(net, images, np.arange(len(images)), joined)
    if pool and len(unlabelled):
        chosen = np.sort(rng.permutation(len(unlabelled))[:pool])
        pool_ND = _embedded(net, unlabelled, chosen, joined)
    if not joined.first:
        return
    truth_NK = np.eye(net.config.num_classes)[labels_N] if targets_NK is None else targets_NK.astype(np.float64)
    if pool and len(unlabelled):
        known = np.arange(len(rows_ND))
        rows_ND = np.concatenate([rows_ND, pool_ND])
        layer = last_layer.fit(
            rows_ND, known, labels_N, truth_NK.shape[1], rng=rng, targets_LK=targets_NK
        )  # fmt: skip
        truth_NK = np.concatenate([truth_NK, np.exp(layer.log_probs(pool_ND), dtype=np.float64)])
    normed_ND = F.layer_norm(torch.from_numpy(rows_ND).float(), rows_ND.shape[1:]).numpy().astype(np.float64)
    found_KE = torch.from_numpy(probe.fit(normed_ND, truth_NK, C=STRENGTH))
    with torch.no_grad():
        net.head.linear.weight.copy_(found_KE[:, :-1])
        net.head.linear.bias.copy_(found_KE[:, -1])


def _embedded(net: Any, images: Any, chosen: NDArray[np.int64], together: Together) -> NDArray[np.float32]:
    """Embeddings of the chosen images, of which this process makes its part."""
    own_ND = predict.embed(net, images[chosen[together.part(len(chosen))]]).embeddings_ND
    return together.gather(torch.from_numpy(own_ND), len(chosen)).numpy()
