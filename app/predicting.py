"""The model's word on every image: from a fitted last layer to the predictions that a publication leaves behind."""

import numpy as np
from numpy.typing import NDArray

from app import predictions
from app.snapshot import Snapshot
from model import last_layer, out_of_class

Ints = NDArray[np.int64]
Floats = NDArray[np.floating]


def predict(
    image_ids: Ints,
    x_NR: Floats,
    layer: last_layer.LastLayer,
    *,
    known: tuple[Ints, Floats],
    labelled_N: Ints,
    rejected_N: Ints,
    seen: Snapshot,
    rng: np.random.Generator,
) -> predictions.Predictions:
    """Top class and its calibrated probability for every image; `known` are rows and their log-probabilities at hand."""
    top_N, log_confidence_N = np.empty(len(image_ids), np.int64), np.empty(len(image_ids), np.float32)
    other_N = np.ones(len(image_ids), bool)
    other_N[known[0]] = False
    others_N = np.flatnonzero(other_N)
    for rows_N, found_NK in (known, (others_N, layer.log_probs_at(x_NR[others_N]))):
        best_N = found_NK.argmax(axis=1)
        top_N[rows_N], log_confidence_N[rows_N] = best_N, found_NK[np.arange(len(best_N)), best_N]
    meta = {
        "watermark": seen.watermark,
        "labels": len(seen.labelled),
        "class_ids": seen.class_ids,
        "temperature": layer.temperature,
    }
    return predictions.Predictions(
        image_ids,
        np.array(seen.class_ids, np.int32)[top_N],
        np.exp(log_confidence_N),
        out_of_class.probability(x_NR, labelled=labelled_N, rejected=rejected_N, rng=rng),
        meta,
    )
