"""How good a network is on images whose class is known: accuracy, calibration, and what its uncertainty is worth."""

import dataclasses
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model import calibration, predict, roc, shares, tta, uncertainty

DRAWS = 30


@dataclasses.dataclass(frozen=True)
class Score:
    """right_N: which images were right; figures: what is told."""

    right_N: NDArray[np.bool_]
    figures: dict[str, Any]


def score(
    net: Any, images_NHWC: NDArray[np.uint8], labels_N: NDArray[np.int64], *, seed: int, tta_name: str = "none"
) -> Score:
    """Accuracy with its Wilson interval, calibration, and the AUROC with which uncertainty finds the mistakes.

    With test-time augmentation, images are squares of tta.side, and each draw's probabilities are averaged over the views.
    """
    began = time.perf_counter()
    probs_NSK, views = np.zeros((len(labels_N), DRAWS, net.config.num_classes), np.float32), 0
    for view_NHWC in tta.views(tta_name, images_NHWC, net.config.image_size):
        probs_NSK += _drawn(net, view_NHWC, seed)
        views += 1
    told = uncertainty.decompose(np.log(np.maximum(probs_NSK / views, 1e-30)))
    seconds = time.perf_counter() - began
    right_N = told.mean_NK.argmax(axis=1) == labels_N
    low, high = shares.wilson(int(right_N.sum()), len(right_N))
    figures = {
        "n": len(labels_N),
        "accuracy": float(right_N.mean()),
        "low": low,
        "high": high,
        "ece": calibration.ece(told.mean_NK, labels_N),
        "nll": calibration.nll(told.mean_NK, labels_N),
        "auroc_margin": roc.area(-told.margin_N, ~right_N),
        "auroc_epistemic": roc.area(told.epistemic_N, ~right_N),
        "images_per_s": len(labels_N) / seconds,
    }
    return Score(right_N, figures)


def _drawn(net: Any, images_NHWC: NDArray[np.uint8], seed: int) -> NDArray[np.float32]:
    """Probabilities (N, S, K) under the same draws of the head for every view."""
    found = predict.embed(net, images_NHWC)
    embeddings = torch.from_numpy(found.embeddings_ND).to(next(net.parameters()).device)
    with torch.inference_mode():
        draws_NSK = net.posterior(embeddings, DRAWS, torch.Generator().manual_seed(seed)).float().exp()
    drawn: NDArray[np.float32] = draws_NSK.cpu().numpy()
    return drawn
