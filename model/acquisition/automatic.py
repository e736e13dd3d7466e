"""The default strategy: typical images while classes are missing, then uncertain ones spread over clusters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from model.acquisition import clustered
from model.acquisition.request import Request

Ints = npt.NDArray[np.int64]
COLD_LABELS_PER_CLASS = 2.0


def auto(request: Request) -> Ints:
    """Typical images until there are about two labels for each class, then the smallest margins of the mean posterior,
    ten for each image asked, one of each cluster.

    `context["num_classes"]` says how many classes there are; else the draws' last axis does.
    """
    if is_cold(request):
        return clustered.typical(request)
    return clustered.by_cluster(request.uncertainty.margin_N, request)


def is_cold(request: Request) -> bool:
    """Whether the posterior has too few labels behind it to say where it is unsure."""
    if request.draws_NSK is None:
        return True
    classes = int(request.context.get("num_classes", request.draws_NSK.shape[2]))
    return len(request.labelled_LD) < COLD_LABELS_PER_CLASS * classes
