"""What a strategy may know beside posterior and embeddings: the `context` of `select`, the same for everyone."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from model import out_of_class

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


def situation(
    x_NR: Floats,
    *,
    labelled: Ints,
    labels: Ints,
    rejected: Ints,
    candidates: Ints,
    num_classes: int,
    rng: np.random.Generator,
    rank_by: str = "margin",
    out_N: npt.ArrayLike | None = None,
) -> dict[str, Any]:
    """The context of `select` for the rows `candidates` of `x_NR`; all others are positions into `x_NR` too.

    num_classes; class_counts_K, labels of each class; rejected_RD, the rejected rows; out_N, each candidate's
    probability of being rejected; rank_by, "margin" or "epistemic", whichever finds the posterior's mistakes. Labels
    are class indices below `num_classes`. `out_N`: that probability of every row, where it is known already.
    """
    if out_N is None:
        out_N = out_of_class.probability(x_NR, labelled=labelled, labels=labels, rejected=rejected, rng=rng)
    return {
        "num_classes": num_classes,
        "class_counts_K": np.bincount(np.asarray(labels, dtype=np.int64), minlength=num_classes),
        "rejected_RD": x_NR[np.asarray(rejected, dtype=np.int64)],
        "out_N": np.asarray(out_N)[np.asarray(candidates, dtype=np.int64)],
        "rank_by": rank_by,
    }
