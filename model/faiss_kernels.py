"""FAISS with this processor's matrix kernels: import it from here.

The OpenBLAS 0.3.15 inside FAISS' wheels takes every processor younger than itself for a Pentium 4 ("Prescott"; OpenBLAS
issue 3453): k-means took five times as long. NumPy's OpenBLAS is newer; what it found is told while FAISS is loaded.
"""

from __future__ import annotations

import os

import numpy as np  # noqa: F401  its OpenBLAS is loaded first
import threadpoolctl

CHOICE = "OPENBLAS_CORETYPE"  # read by OpenBLAS when it is loaded; whoever sets it has the last word
AS_OF_2021 = {"Cooperlake": "SkylakeX", "SapphireRapids": "SkylakeX", "SkylakeX": "SkylakeX"}
AS_OF_2021 |= {"Haswell": "Haswell", "Zen": "Zen"}


def known() -> str | None:
    """The kernels of NumPy's OpenBLAS by a name that the older one knows; None where there is none to tell."""
    found = [each.get("architecture") for each in threadpoolctl.threadpool_info() if each["user_api"] == "blas"]
    return next((AS_OF_2021[each] for each in found if each in AS_OF_2021), None)


_told = known() if CHOICE not in os.environ else None
if _told:
    os.environ[CHOICE] = _told
try:
    import faiss
finally:
    if _told:
        del os.environ[CHOICE]

__all__ = ["faiss"]
