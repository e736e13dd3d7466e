"""The model's word on every image: from what was fitted to the predictions that a publication leaves behind."""

import numpy as np
from numpy.typing import NDArray

from app import predictions
from app.snapshot import Snapshot
from model import last_layer
from model.likeliest import Likeliest


def predict(
    image_ids: NDArray[np.int64],
    layer: last_layer.LastLayer,
    likeliest: Likeliest,
    out_N: NDArray[np.floating],
    bad_N: NDArray[np.floating],
    seen: Snapshot,
) -> predictions.Predictions:
    """Top class, its calibrated probability, that of no class and that of a bad picture for every image."""
    meta = {
        "watermark": seen.watermark,
        "labels": len(seen.labelled),
        "class_ids": seen.class_ids,
        "temperature": layer.temperature,
    }
    top_class_N = np.array(seen.class_ids, np.int32)[likeliest.class_M]
    return predictions.Predictions(
        image_ids, top_class_N, likeliest.top_M, out_N.astype(np.float32), meta, bad_N.astype(np.float32)
    )
