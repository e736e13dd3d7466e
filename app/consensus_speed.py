"""One method's seconds and memory on many answers, in a process of its own; cleanlab and crowd-kit where installed."""

import importlib.util
import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app import bench_select, consensus_crowd
from model import consensus

EACH = 3  # answers of an image
ARRAYS = ("item_A", "annotator_A", "label_A", "model_log_probs_IK")
WITHOUT = "auto without model"


def names(*, others: bool) -> list[str]:
    """What is timed: our methods, and the others' where they are installed and asked for."""
    found = [*consensus.METHODS, WITHOUT]
    if others and importlib.util.find_spec("cleanlab"):
        found.append("cleanlab crowdlab")
    if others and importlib.util.find_spec("crowdkit"):
        found.append("crowd-kit dawid_skene")
    return found


def make(folder: Path, answers: int, people: int, classes: int) -> None:
    """The arrays of a made-up crowd as files, so that making them is not in a child's memory."""
    crowd = consensus_crowd.make(0, items=answers // EACH, each=EACH, people=people, classes=classes)
    for array in ARRAYS:
        np.save(folder / f"{array}.npy", crowd.given[array])
    np.save(folder / "truth.npy", crowd.truth_I)


def measure(folder: Path, people: int, name: str) -> dict[str, float]:
    """Seconds, processor seconds, memory above the loaded arrays, and how many labels were right."""
    given: dict[str, Any] = {array: np.load(folder / f"{array}.npy") for array in ARRAYS}
    items, classes = given["model_log_probs_IK"].shape
    given |= {"num_items": items, "num_annotators": people, "num_classes": classes}
    truth_I, arrays = np.load(folder / "truth.npy"), sum(given[array].nbytes for array in ARRAYS)
    if name == WITHOUT:
        given["model_log_probs_IK"] = None
    before, began, worked = bench_select._peak(), time.perf_counter(), time.process_time()
    if name == "cleanlab crowdlab":
        label_I = cleanlab_labels(given)
    elif name == "crowd-kit dawid_skene":
        label_I = crowdkit_labels(given)
    else:
        label_I = consensus.consensus(**given, method="auto" if name == WITHOUT else name).labels_I
    seconds, worked = time.perf_counter() - began, time.process_time() - worked
    return {
        "seconds": round(seconds, 2),
        "cpu seconds": round(worked, 2),
        "arrays MB": round(arrays / 1e6),
        "extra MB": round((bench_select._peak() - before) / 1e6),
        "right": round(float((label_I == truth_I).mean()), 4),
    }


def cleanlab_labels(given: dict[str, Any]) -> NDArray[np.int64]:
    """cleanlab's CROWDLAB on the same answers, as its wide table."""
    from cleanlab import multiannotator

    wide = np.full((given["num_items"], given["num_annotators"]), np.nan)
    wide[given["item_A"], given["annotator_A"]] = given["label_A"]
    log_probs = given["model_log_probs_IK"].astype(np.float64)
    probs = np.exp(log_probs - log_probs.max(axis=1, keepdims=True))
    probs /= probs.sum(axis=1, keepdims=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if (np.isfinite(wide).sum(axis=1) < 2).all():
            return np.asarray(multiannotator.get_majority_vote_label(wide, probs, verbose=False), dtype=np.int64)
        found = multiannotator.get_label_quality_multiannotator(
            wide, probs, verbose=False, return_detailed_quality=False, return_annotator_stats=False
        )
    return np.asarray(found["label_quality"]["consensus_label"], dtype=np.int64)


def crowdkit_labels(given: dict[str, Any]) -> NDArray[np.int64]:
    """crowd-kit's Dawid-Skene on the same answers, 100 steps at most."""
    import pandas
    from crowdkit import aggregation

    columns = {"task": given["item_A"], "worker": given["annotator_A"], "label": given["label_A"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = aggregation.DawidSkene(n_iter=100).fit_predict(pandas.DataFrame(columns))
    return np.asarray(found.sort_index().to_numpy(), dtype=np.int64)


def cleanlab_errors(
    given_N: NDArray[np.int64], probs_NK: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """cleanlab's normalised margin (low: suspect) and the positions that it filters by the confident joint."""
    from cleanlab import filter as filtering
    from cleanlab import rank

    probs_NK = probs_NK / probs_NK.sum(axis=1, keepdims=True)
    score_N = rank.get_label_quality_scores(given_N, probs_NK, method="normalized_margin")
    at_E = filtering.find_label_issues(
        given_N, probs_NK, filter_by="confident_learning", return_indices_ranked_by="normalized_margin", n_jobs=1
    )
    return np.asarray(score_N), np.asarray(at_E, dtype=np.int64)


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])))
